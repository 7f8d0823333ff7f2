"""Upload: blobs and manifests on their way into a registry.

    HEAD blob ─ there ──────────────────────────▶ nothing to do
        │ not there
        ▼
    POST uploads?mount&from ─ 201 ──────────────▶ taken over from another repository
        │ 202, Location
        ├─ a small one: PUT ?digest, bytes ─ 201 ▶ all at once; the registry verified it
        ▼
    PATCH bytes ◀─ broke off: GET Location says how far it came; if it doesn't, start again with POST
        ▼
    PUT ?digest ─ 201 ──────────────────────────▶ the registry verified it

It knows no layers and no images: a blob is bytes behind a function that opens them.

Source: OCI distribution specification 1.1, "Pushing blobs", "Pushing manifests".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlencode, urljoin

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid, MiniDockerError
from mini_docker.registry.conversation import Conversation
from mini_docker.registry.errors import RegistryError, Unreachable
from mini_docker.registry.session import Session

if TYPE_CHECKING:
    from mini_docker.registry.transport import Response

PIECE_BYTES = 256 * 1024
SMALL_BYTES = 64 * 1024
"""A blob of this size or less, a config most of all, is not worth a request more and the bookkeeping to resume it."""
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")


class Outcome(Enum):
    """How a blob came to be in the registry."""

    EXISTED = "existed"
    MOUNTED = "mounted"
    PUSHED = "pushed"


@dataclass(frozen=True, slots=True)
class Blob:
    """What is to be uploaded.

    Attributes:
        size: bytes.
        open: gives the content from its start; the upload closes it.
    """

    digest: str
    size: int
    open: Callable[[], BinaryIO]


def push_blob(
    session: Session, blob: Blob, mount_from: str = "", on_sent: Callable[[int], None] = lambda sent: None
) -> Outcome:
    """Bring a blob into the session's repository.

    Args:
        mount_from: a repository of the same registry that probably has it; empty for none.
        on_sent: told how many bytes are sent.

    Raises:
        Denied, Unauthorized: in the registry's words. Unreachable: it broke off too often.
    """
    return session.at_endpoint(lambda conversation: _Upload(session, conversation, blob, on_sent).run(mount_from))


def push_manifest(session: Session, name: str, data: bytes, media_type: str) -> None:
    """Store a manifest under a tag or its digest.

    Raises:
        Invalid: the registry lacks a blob of it, or does not take it.
    """
    path = f"v2/{session.reference.path}/manifests/{name}"

    def put(conversation: Conversation) -> None:
        headers = {"Content-Type": media_type}
        conversation.request("PUT", path, headers, lambda: data, accepted=(201, 202, 200)).read_small()

    session.at_endpoint(put)


class _Upload:
    """One blob on its way."""

    def __init__(
        self, session: Session, conversation: Conversation, blob: Blob, on_sent: Callable[[int], None]
    ) -> None:
        self._session = session
        self._conversation = conversation
        self._blob = blob
        self._on_sent = on_sent
        self._path = f"v2/{session.reference.path}/blobs"

    def run(self, mount_from: str) -> Outcome:
        """Do it."""
        if self._exists():
            return Outcome.EXISTED
        answer = self._begin({"mount": self._blob.digest, "from": mount_from} if mount_from else {})
        if answer.status == 201:
            return Outcome.MOUNTED
        if self._blob.size <= SMALL_BYTES:
            self._send_whole(self._location(answer))
        else:
            closing = self._closing(self._send(self._location(answer)))
            self._conversation.request("PUT", closing, accepted=(201, 204)).read_small()
        return Outcome.PUSHED

    def _begin(self, query: dict[str, str]) -> Response:
        answer = self._conversation.request("POST", f"{self._path}/uploads/?{urlencode(query)}", accepted=(201, 202))
        answer.read_small()
        return answer

    def _exists(self) -> bool:
        try:
            self._conversation.request("HEAD", f"{self._path}/{self._blob.digest}").read_small()
        except RegistryError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _closing(self, location: str) -> str:
        return f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': self._blob.digest})}"

    def _send_whole(self, location: str) -> None:
        """Send all bytes in the request that closes the upload."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(self._blob.size)}
        failures = 0
        while True:
            try:
                self._conversation.request(
                    "PUT", self._closing(location), headers, lambda: self._pieces(0), repeatable=False,
                    accepted=(201, 204),
                ).read_small()  # fmt: skip
                return
            except MiniDockerError as error:
                failures += 1
                self._pause(error, failures)
                if self._exists():
                    return  # it had arrived: only the answer was lost
                location = self._location(self._begin({}))

    def _send(self, location: str) -> str:
        """Send all bytes; returns where the upload goes on."""
        offset = failures = 0
        while True:
            try:
                answer = self._patch(location, offset)
                return self._location(answer)
            except MiniDockerError as error:
                failures += 1
                self._pause(error, failures)
                location, reached = self._resume(location)
                failures = 1 if reached > offset else failures
                offset = reached

    def _pause(self, error: MiniDockerError, failures: int) -> None:
        """Wait before the next try; the error goes on when there is none."""
        passing = isinstance(error, Unreachable) or (isinstance(error, RegistryError) and error.worth_retrying)
        retries = self._session.retries
        if not passing or failures >= retries.attempts:
            raise error
        self._session.cancellation.sleep(retries.pause(failures))

    def _patch(self, location: str, offset: int) -> Response:
        size = self._blob.size
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size - offset)}
        if offset:
            headers["Content-Range"] = f"{offset}-{size - 1}"
        answer = self._conversation.request(
            "PATCH", location, headers, lambda: self._pieces(offset), repeatable=False, accepted=(201, 202, 204)
        )
        answer.read_small()
        return answer

    def _pieces(self, offset: int) -> Iterator[bytes]:
        with self._blob.open() as file:
            file.seek(offset)
            sent = offset
            while sent < self._blob.size:
                self._session.cancellation.check()
                piece = file.read(PIECE_BYTES)
                if not piece:
                    raise Invalid(f"blob {self._blob.digest} is shorter than its {self._blob.size} bytes")
                yield piece
                sent += len(piece)
                self._on_sent(sent)

    def _resume(self, location: str) -> tuple[str, int]:
        """Ask how far the upload came, or begin a new one: (where it goes on, bytes that are there)."""
        try:
            answer = self._conversation.request("GET", location, accepted=(200, 202, 204))
        except RegistryError:
            # The distribution project's registry seals the offset into the location: after a break
            # it does not know the upload any more.
            return self._location(self._begin({})), 0
        answer.read_small()
        found = _RANGE.fullmatch(answer.headers.get("Range", "").strip())
        # "0-0" is what registries say of one byte and, some of them, of none: then the byte is sent again from 0.
        last = int(found[1]) if found else 0
        return self._location(answer, location), last + 1 if last else 0

    def _location(self, answer: Response, default: str = "") -> str:
        location = answer.headers.get("Location") or default
        if not location:
            raise Invalid("the registry did not say where the upload goes on (no Location header)")
        return urljoin(self._conversation.endpoint.url + "/", location)
