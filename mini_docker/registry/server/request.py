"""A request to the registry, decoded once at the border: which repository, which thing in it.

Source: OCI distribution specification 1.1, "Endpoints" (end-1 … end-13) and the grammar of names and tags.
"""

from __future__ import annotations

import re

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid
from mini_docker.http.messages import Request
from mini_docker.registry.digest import check_digest
from mini_docker.registry.server.errors import Refused

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>blobs/uploads|blobs|manifests|tags|referrers)/(?P<rest>[^/]*)")
LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for.

    Attributes:
        kind: ``base`` (/v2/), ``catalog``, ``token``, ``uploads``, ``blobs``, ``manifests``, ``tags``, ``referrers``.
        repository: its name; empty where there is none.
        item: the digest, tag, or number of the upload.
        request: the rest of it.
    """

    kind: str
    repository: str
    item: str
    request: Request

    @classmethod
    def decode(cls, request: Request) -> Asked:
        """Read the path.

        Raises:
            Refused: no such path, or a malformed name or digest.
        """
        fixed = {"/v2/": "base", "/v2": "base", "/v2/_catalog": "catalog", "/token": "token"}
        if request.path in fixed:
            return cls(fixed[request.path], "", "", request)
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise Refused("UNSUPPORTED", f"no such path: {request.path}", status=404)
        name, kind, item = match["name"], match["kind"].removeprefix("blobs/"), match["rest"]
        if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
            raise Refused("NAME_INVALID", f"invalid repository name: {name}")
        if kind in ("blobs", "referrers") or (kind == "manifests" and ":" in item):
            checked_digest(item)
        elif kind == "manifests" and not _TAG.fullmatch(item):
            raise Refused("TAG_INVALID", f"invalid tag: {item}")
        elif kind == "tags" and item != "list":
            raise Refused("UNSUPPORTED", f"no such path: {request.path}", status=404)
        return cls(kind, name, item, request)

    def query(self, name: str) -> str:
        """A query parameter; empty when absent."""
        return next((value for key, value in self.request.query if key == name), "")

    def has_already(self, digest: str) -> bool:
        """Whether the client says that it has the content already (RFC 9110, 13.1.2)."""
        said = self.request.header("if-none-match")
        return said.strip() == "*" or digest in _entity_tags(said)

    def range_for(self, digest: str) -> str:
        """The range that is wanted of the content; none when the client's part is of other content (13.1.5)."""
        condition = self.request.header("if-range")
        return self.request.header("range") if not condition or digest in _entity_tags(condition) else ""


def _entity_tags(header: str) -> list[str]:
    """The tags of a list: ``"sha256:…"``, ``W/"sha256:…"``; without quotes, too, as Docker's registry takes them."""
    return [word.strip().removeprefix("W/").strip('"') for word in header.split(",")]


def checked_digest(text: str) -> str:
    """*text* itself, when it is a digest.

    Raises:
        Refused: it is none. Digests become file names: this is also the wall against ``..``.
    """
    try:
        check_digest(text)
    except Invalid as error:
        raise Refused("DIGEST_INVALID", str(error)) from None
    return text


def checked_name(text: str) -> str:
    """*text* itself, when it is a repository's name.

    Raises:
        Refused: it is none.
    """
    if not _NAME.fullmatch(text) or len(text) > LONGEST_NAME:
        raise Refused("NAME_INVALID", f"invalid repository name: {text}")
    return text
