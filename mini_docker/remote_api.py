"""Values that both ends of the Remote API speak: versions, stream frames, progress lines. No I/O.

Source: Docker Engine API 1.41, "Attach to a container" (stream format) and "Create an image".
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms: the client imports this module
if TYPE_CHECKING:
    from typing import Any

API_VERSION = "1.41"
MIN_API_VERSION = "1.12"
DEFAULT_HOST = "unix:///run/mini-docker.sock"

STDIN, STDOUT, STDERR = 0, 1, 2

RAW_STREAM = "application/vnd.docker.raw-stream"

FRAME_HEADER_SIZE = 8
_HEADER = struct.Struct(">BxxxI")


def frame_header(stream: int, length: int) -> bytes:
    """The eight bytes before each piece of output of a process without a terminal.

    Args:
        stream: STDIN, STDOUT or STDERR.
        length: bytes of payload that follow, below 2**32.
    """
    return _HEADER.pack(stream, length)


def parse_frame_header(header: bytes) -> tuple[int, int]:
    """The inverse of `frame_header`: (stream, length)."""
    return _HEADER.unpack(header)


class Progress:
    """One line of a pull, push or load, as both clients draw it.

    A plain class, treated as frozen: ``dataclasses`` would cost each run of the client 10 ms.

    Args:
        status: the words.
        id: the layer's short id the line is about; empty for a line about the whole.
        current, total: bytes; a total of 0 draws no bar.
        aux: an object for programs, such as a push's digest.
    """

    __slots__ = ("aux", "current", "id", "status", "total")

    def __init__(
        self, status: str = "", id: str = "", current: int = 0, total: int = 0, aux: dict[str, Any] | None = None
    ) -> None:
        self.status = status
        self.id = id
        self.current = current
        self.total = total
        self.aux = aux

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Progress) and self.encode() == other.encode()

    def __hash__(self) -> int:
        return hash(self.encode())

    def __repr__(self) -> str:
        return f"Progress({self.encode().decode().strip()})"

    def encode(self) -> bytes:
        """The line, newline included."""
        import json

        line: dict[str, Any] = {"status": self.status} if self.status else {}
        if self.id:
            detail = {"current": self.current, "total": self.total} if self.current or self.total else {}
            line |= {"progressDetail": detail, "id": self.id}
        if self.aux is not None:
            line |= {"progressDetail": {}, "aux": self.aux}
        return json.dumps(line).encode() + b"\n"


def encode_stream_error(message: str, code: int = 0) -> bytes:
    """The line that ends a progress stream whose status was already sent as 200."""
    import json

    detail: dict[str, Any] = {"message": message}
    if code:
        detail["code"] = code
    return json.dumps({"errorDetail": detail, "error": message}).encode() + b"\n"
