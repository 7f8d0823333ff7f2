"""A tap on a pipe: whoever reads through it also feeds the listeners (a hash, a file), and notices nothing.

It knows nothing of what flows.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, cast

CHUNK_BYTES = 1 << 18


class Tap(io.RawIOBase):
    """A readable stream that shows every byte to its listeners as it passes.

    Args:
        source: where the bytes come from; not closed with the tap.
        listeners: called with each piece, in order, before the reader gets it.
    """

    def __init__(self, source: BinaryIO, *listeners: Callable[[bytes], object]) -> None:
        super().__init__()
        self._source = source
        self._listeners = listeners

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """The next piece, at most as long as *buffer*; 0 at the end."""
        piece = self._source.read(len(buffer))
        for listener in self._listeners:
            listener(piece)
        buffer[: len(piece)] = piece
        return len(piece)

    def drain(self) -> None:
        """Read to the end, for the listeners' sake."""
        scratch = bytearray(CHUNK_BYTES)
        while self.readinto(scratch):
            pass

    def buffered(self) -> BinaryIO:
        """A buffered view, whose reads are only short at the end."""
        return cast(BinaryIO, io.BufferedReader(self, CHUNK_BYTES))
