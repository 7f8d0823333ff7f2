"""The handlers for manifests, tags, referrers and the catalog.

Source: OCI distribution specification 1.1, end-3, 7, 8, 9, 12; ``_catalog`` of the distribution project.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mini_docker.http.messages import Answer
from mini_docker.http.responder import Responder
from mini_docker.media_types import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST
from mini_docker.registry.digest import Verifier, digest_of
from mini_docker.registry.manifest import LARGEST_MANIFEST
from mini_docker.registry.server.errors import Refused
from mini_docker.registry.server.request import Asked, checked_digest
from mini_docker.registry.server.storage import Storage

MOST_NAMES = 1000
"""Names on one page of a list, unless the client asks for fewer."""


class Manifests:
    """GET, HEAD, PUT and DELETE of ``/v2/<name>/manifests/<reference>``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, asked: Asked, responder: Responder) -> None:
        """Send a manifest."""
        digest = self._digest(asked)
        media_type, data = self._storage.manifest(asked.repository, digest)
        headers = (("Content-Type", media_type), ("Docker-Content-Digest", digest), ("ETag", f'"{digest}"'))
        if asked.has_already(digest):
            responder.answer(Answer(304, headers))
        else:
            responder.answer(Answer(200, headers, data))

    def put(self, asked: Asked, responder: Responder) -> None:
        """Keep a manifest, and let the tag name it."""
        asked.request.body.allow(LARGEST_MANIFEST)
        data = asked.request.body.read()
        value = _decode(data)
        media_type = asked.request.header("content-type").partition(";")[0].strip()
        named = value.get("mediaType")
        if not media_type or (isinstance(named, str) and named != media_type):
            raise Refused("MANIFEST_INVALID", f"the content type is {media_type!r}, the manifest says {named!r}")
        digest = digest_of(data)
        if ":" in asked.item:
            verifier = Verifier(asked.item)
            verifier.update(data)
            if not verifier.verified:
                raise Refused("DIGEST_INVALID", "provided digest did not match uploaded content")
            digest = asked.item
        self._check_parts(asked.repository, value)
        subject = _digest_in(value.get("subject"))
        self._storage.put_manifest(asked.repository, digest, media_type, data, subject)
        if ":" not in asked.item:
            self._storage.set_tag(asked.repository, asked.item, digest)
        headers = [("Location", f"/v2/{asked.repository}/manifests/{digest}"), ("Docker-Content-Digest", digest)]
        responder.answer(Answer(201, [*headers, *([("OCI-Subject", subject)] if subject else [])]))

    def delete(self, asked: Asked, responder: Responder) -> None:
        """Forget a tag, or a manifest with all its tags."""
        if ":" in asked.item:
            self._storage.delete_manifest(asked.repository, asked.item)
        else:
            self._storage.delete_tag(asked.repository, asked.item)
        responder.answer(Answer(202))

    def _digest(self, asked: Asked) -> str:
        return asked.item if ":" in asked.item else self._storage.tag(asked.repository, asked.item)

    def _check_parts(self, repository: str, value: Mapping[str, Any]) -> None:
        """A manifest is only taken when all that it names is here: whoever pulls it later will want it."""
        for entry in [value.get("config"), *_entries(value, "layers")]:
            # Layers with addresses of their own may not be distributed, and so are not here.
            if entry is not None and not (isinstance(entry, Mapping) and entry.get("urls")):
                digest = _digest_in(entry)
                if not self._storage.has_blob(repository, digest):
                    raise Refused("MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {digest}")
        for entry in _entries(value, "manifests"):
            digest = _digest_in(entry)
            if not self._storage.has_manifest(repository, digest):
                raise Refused("MANIFEST_BLOB_UNKNOWN", f"manifest unknown to registry: {digest}")


class Listings:
    """GET of ``tags/list``, ``referrers/<digest>`` and ``_catalog``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def tags(self, asked: Asked, responder: Responder) -> None:
        """The tags of a repository, page by page."""
        if not self._storage.has_repository(asked.repository):
            raise Refused("NAME_UNKNOWN", "repository name not known to registry")
        page, headers = _page(asked, self._storage.tags(asked.repository))
        _send(responder, {"name": asked.repository, "tags": page}, headers)

    def catalog(self, asked: Asked, responder: Responder) -> None:
        """The names of all repositories, page by page."""
        page, headers = _page(asked, self._storage.catalog())
        _send(responder, {"repositories": page}, headers)

    def referrers(self, asked: Asked, responder: Responder) -> None:
        """What refers to a manifest (signatures, bills of material), as an index; none is an empty one."""
        wanted = asked.query("artifactType")
        found = [
            self._describe(asked.repository, digest) for digest in self._storage.referrers(asked.repository, asked.item)
        ]
        if wanted:
            found = [entry for entry in found if entry.get("artifactType") == wanted]
        headers = [("OCI-Filters-Applied", "artifactType")] if wanted else []
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        _send(responder, index, headers, OCI_INDEX)

    def _describe(self, repository: str, digest: str) -> dict[str, Any]:
        media_type, data = self._storage.manifest(repository, digest)
        value = _decode(data)
        entry: dict[str, Any] = {"mediaType": media_type, "digest": digest, "size": len(data)}
        config = value.get("config")
        artifact = value.get("artifactType") or (config.get("mediaType") if isinstance(config, Mapping) else None)
        if artifact and media_type in (OCI_MANIFEST, OCI_INDEX):
            entry["artifactType"] = artifact
        if value.get("annotations"):
            entry["annotations"] = value["annotations"]
        return entry


def names_in(data: bytes) -> tuple[list[str], list[str]]:
    """What a manifest names: (blobs, manifests), by digest. For the garbage collection.

    Raises:
        Refused: it is no manifest.
    """
    value = _decode(data)
    blobs = [value["config"]] if "config" in value else []
    return [_digest_in(entry) for entry in (*blobs, *_entries(value, "layers"))], [
        _digest_in(entry) for entry in _entries(value, "manifests")
    ]


def _decode(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refused("MANIFEST_INVALID", f"not JSON: {error}") from None
    if not isinstance(value, Mapping) or value.get("schemaVersion") != 2:
        raise Refused("MANIFEST_INVALID", "not a manifest of schema version 2")
    if value.get("mediaType") in (DOCKER_LIST, OCI_INDEX) and not isinstance(value.get("manifests"), list):
        raise Refused("MANIFEST_INVALID", "an index without a list of manifests")
    return value


def _entries(value: Mapping[str, Any], name: str) -> Sequence[object]:
    entries = value.get(name, [])
    if not isinstance(entries, list):
        raise Refused("MANIFEST_INVALID", f"{name} is not a list")
    return entries


def _digest_in(entry: object) -> str:
    if entry is None:
        return ""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("digest"), str):
        raise Refused("MANIFEST_INVALID", "a descriptor without a digest")
    return checked_digest(entry["digest"])


def _page(asked: Asked, names: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The names behind ``last``, ``n`` of them, and the Link to the next page if there is one."""
    text, last = asked.query("n"), asked.query("last")
    if text and not (text.isascii() and text.isdigit()):
        raise Refused("PAGINATION_NUMBER_INVALID", f"n is not a number: {text}")
    count = min(int(text), MOST_NAMES) if text else MOST_NAMES
    rest = [name for name in names if name > last] if last else names
    page = rest[:count]
    if not page or len(rest) == len(page):
        return page, []
    return page, [("Link", f'<{asked.request.path}?n={count}&last={page[-1]}>; rel="next"')]


def _send(
    responder: Responder, value: object, headers: list[tuple[str, str]], media_type: str = "application/json"
) -> None:
    responder.answer(Answer(200, [("Content-Type", media_type), *headers], json.dumps(value).encode()))
