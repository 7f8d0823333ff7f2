"""What registries answer when they refuse, and how Docker says it to its users.

A registry sends ``{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}``. The
code, never the text, decides the kind of our error.

Source: OCI distribution specification 1.1, "Error Codes"; Docker's ``distribution/errors.go`` for the sentences.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from mini_docker.errors import Denied, Invalid, MiniDockerError, NotFound, Unauthorized, Unavailable
from mini_docker.registry.reference import Reference

_CODE_OF_STATUS = {
    400: ("UNKNOWN", "bad request"),
    401: ("UNAUTHORIZED", "authentication required"),
    403: ("DENIED", "requested access to the resource is denied"),
    404: ("NOT_FOUND", "not found"),
    405: ("UNSUPPORTED", "The operation is unsupported."),
    429: ("TOOMANYREQUESTS", "too many requests"),
}
_KIND_OF_CODE: dict[str, type[MiniDockerError]] = {
    "UNAUTHORIZED": Unauthorized, "DENIED": Denied, "TOOMANYREQUESTS": Unavailable, "UNAVAILABLE": Unavailable,
    "MANIFEST_UNKNOWN": NotFound, "NAME_UNKNOWN": NotFound, "BLOB_UNKNOWN": NotFound, "NOT_FOUND": NotFound,
    "BLOB_UPLOAD_UNKNOWN": NotFound, "DIGEST_INVALID": Invalid, "MANIFEST_INVALID": Invalid, "NAME_INVALID": Invalid,
    "TAG_INVALID": Invalid, "SIZE_INVALID": Invalid, "MANIFEST_BLOB_UNKNOWN": Invalid,
}  # fmt: skip


class Unreachable(Unavailable):
    """No registry answered at this endpoint: nobody listens, TLS failed, or what answers is no registry."""


class BrokenOff(Unreachable):
    """An answer began and did not come to its end."""


class RegistryError(MiniDockerError):
    """A registry's "no".

    Attributes:
        status: of HTTP.
        code: the registry's own word for it: ``MANIFEST_UNKNOWN``.
        retry_after: seconds it asks us to wait; None when it does not say.

    ``str()`` reads as Docker prints it: ``manifest unknown: manifest unknown``.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code.lower().replace('_', ' ')}: {message}" if code != "UNKNOWN" else message)
        self.status = status
        self.code = code
        self.retry_after = retry_after

    @property
    def worth_retrying(self) -> bool:
        """Whether the same request may do better later."""
        return self.status in (408, 429, 500, 502, 503, 504)

    def as_kind(self) -> MiniDockerError:
        """The same sentence as an error of our tree."""
        kind = _KIND_OF_CODE.get(self.code, Unavailable if self.status >= 500 else MiniDockerError)
        return kind(str(self))


def refusal(status: int, body: bytes, where: str, retry_after: float | None = None) -> RegistryError:
    """Read an answer that is not a success.

    Args:
        where: ``GET https://host/v2/…``, for answers that give no reason themselves.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    errors = value.get("errors") if isinstance(value, Mapping) else None
    if isinstance(errors, list) and errors and isinstance(errors[0], Mapping):
        code = str(errors[0].get("code") or "UNKNOWN").upper()
        return RegistryError(status, code, str(errors[0].get("message") or code.lower().replace("_", " ")), retry_after)
    # Token servers answer {"details": …} or {"message": …}; a proxy in between answers a page of HTML.
    if isinstance(value, Mapping) and (detail := value.get("details") or value.get("message") or value.get("detail")):
        return RegistryError(status, _CODE_OF_STATUS.get(status, ("UNKNOWN", ""))[0], str(detail), retry_after)
    code, message = _CODE_OF_STATUS.get(status, ("UNKNOWN", ""))
    said = f"{where}: unexpected HTTP status {status}" if code == "UNKNOWN" else message
    return RegistryError(status, code, said, retry_after)


def for_pull(refused: RegistryError, reference: Reference) -> MiniDockerError:
    """Say a refused pull as ``docker pull`` prints it."""
    if refused.code == "DENIED" or (refused.code == "UNAUTHORIZED" and refused.status == 403):
        return NotFound(
            f"pull access denied for {reference.repository}, repository does not exist or may require "
            f"'docker login': {refused}"
        )
    if refused.code in ("MANIFEST_UNKNOWN", "NOT_FOUND"):
        return NotFound(f"manifest for {reference.familiar()} not found: {_as_manifest_unknown(refused)}")
    if refused.code == "NAME_UNKNOWN":
        return NotFound(f"repository {reference.repository} not found: {refused}")
    return refused.as_kind()


def _as_manifest_unknown(refused: RegistryError) -> str:
    return "manifest unknown: manifest unknown" if refused.code == "NOT_FOUND" else str(refused)
