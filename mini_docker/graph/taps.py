"""A tap on a pipe: whoever reads through it also feeds the listeners (a hash, a file), and notices nothing.

A listener may sit aside, in a thread of its own: hashing and writing let go of Python's lock, so a second core does
them while the first unpacks. It knows nothing of what flows.
"""

from __future__ import annotations

import io
import queue
import threading
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

    def read(self, size: int = -1) -> bytes:
        """The next piece, uncopied: as the source gives it when it is asked for *size* bytes; empty at the end."""
        if size < 0:
            return self.readall() or b""
        piece = self._source.read(size)
        for listener in self._listeners:
            listener(piece)
        return piece

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """The next piece, at most as long as *buffer*; 0 at the end."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def drain(self) -> None:
        """Read to the end, for the listeners' sake."""
        while self.read(CHUNK_BYTES):
            pass

    def stream(self) -> BinaryIO:
        """Itself, as the type checker should see it."""
        return cast(BinaryIO, self)


class Aside:
    """Has a listener called in a thread of its own, in order. When the block has ended, all calls have been made.

    *Its thread's*: the error, until the thread has ended. A few pieces wait at most, so memory stays bounded.

    Raises (at the block's end, or at a call):
        What the listener raised.
    """

    _WAITING = 4

    def __init__(self, listener: Callable[[bytes], object]) -> None:
        self._listener = listener
        self._pieces: queue.Queue[bytes | None] = queue.Queue(self._WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._listen, name="graph-aside", daemon=True)

    def __enter__(self) -> Aside:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        self._pieces.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def __call__(self, piece: bytes) -> None:
        if self._error is not None:
            raise self._error
        self._pieces.put(piece)

    def _listen(self) -> None:
        while (piece := self._pieces.get()) is not None:
            if self._error is None:
                try:
                    self._listener(piece)
                except BaseException as error:
                    self._error = error  # the pieces to come are taken and dropped: nobody may block on the queue
