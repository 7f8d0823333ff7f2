"""The sorter at the end of the line: takes apart the frames in which two outputs share one connection.

Pure: bytes in, (stream, payload) out, however the bytes were cut on the way.
Source: Docker Engine API, "Attach to a container", section "Stream format".
"""

from __future__ import annotations

from mini_docker.errors import MiniDockerError
from mini_docker.remote_api import FRAME_HEADER_SIZE, STDERR, STDIN, STDOUT, parse_frame_header

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM_ERROR = 3
"""The stream on which a daemon reports its own failure; its payload is the sentence."""


class BrokenStream(MiniDockerError):
    """What came is no frame: the two ends disagree on whether there is a terminal."""


class Demultiplexer:
    """Turns a framed stream back into pieces of output.

    Invariant: the payloads given out, joined a stream, depend on the bytes fed and not on how they were cut;
    no more than a header is ever kept back.
    """

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0  # bytes of the open frame's payload that are still to come

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The pieces of output in *data*: (STDOUT or STDERR, bytes).

        Raises:
            BrokenStream: a header names no stream.
            MiniDockerError: the daemon reports its failure in the stream.
        """
        position = 0
        while position < len(data):
            if self._left:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                if self._stream == SYSTEM_ERROR:
                    raise MiniDockerError(f"error from daemon in stream: {piece.decode(errors='replace')}")
                yield (STDERR if self._stream == STDERR else STDOUT), piece
                continue
            missing = FRAME_HEADER_SIZE - len(self._header)
            self._header += data[position : position + missing]
            position += missing
            if len(self._header) == FRAME_HEADER_SIZE:
                self._stream, self._left = parse_frame_header(self._header)
                if self._stream not in (STDIN, STDOUT, STDERR, SYSTEM_ERROR) or any(self._header[1:4]):
                    raise BrokenStream(f"unrecognized stream: the header {self._header.hex()} names none")
                self._header = b""
