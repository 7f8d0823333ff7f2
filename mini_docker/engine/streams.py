"""Streams: the pipes of a job. Output fans out to many, Input has exactly one source.

They know bytes and nothing of what flows through them.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections import deque
from typing import Protocol


class Writer(Protocol):
    """Anything that takes bytes: a file, a socket's file, a Buffer, another Output."""

    def write(self, data: bytes, /) -> object:
        """Take all of *data* or raise OSError."""


class Reader(Protocol):
    """Anything that gives bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """At most *size* bytes, as soon as there are some; empty only at the end."""


class Buffer:
    """A Writer that keeps all it is given, for a caller that wants the whole output."""

    def __init__(self) -> None:
        self._data = io.BytesIO()

    def write(self, data: bytes) -> None:
        """Keep *data*."""
        self._data.write(data)

    def getvalue(self) -> bytes:
        """All that was written so far."""
        return self._data.getvalue()


class Tail:
    """A Writer that remembers only the last lines, as `tail -n` does.

    Args:
        lines: how many lines to keep.
        line_limit: bytes of one line to keep; the rest of a longer line is dropped, so that
            memory stays bounded whatever is written.
    """

    def __init__(self, lines: int = 10, line_limit: int = 4096) -> None:
        self._lines: deque[bytes] = deque(maxlen=lines)
        self._line_limit = line_limit
        self._open_line = b""

    def write(self, data: bytes) -> None:
        """Take *data*; a line counts once it has its newline, the open rest counts as the last."""
        *whole, rest = (self._open_line + data).split(b"\n")
        self._lines.extend(line[: self._line_limit] for line in whole)
        self._open_line = rest[: self._line_limit]

    def lines(self) -> list[str]:
        """The remembered lines, oldest first, without newlines."""
        kept = [*self._lines, self._open_line] if self._open_line else list(self._lines)
        return [line.decode(errors="replace") for line in kept[-(self._lines.maxlen or 0) :]]


class Output:
    """A stream that copies what is written to each of its destinations, in order.

    A destination that fails is dropped so that the others go on; when the last one fails its
    error reaches the writer, as EPIPE does in a pipeline. With no destination bytes vanish, as
    into /dev/null.

    Invariant: every destination sees a suffix of the same byte sequence (what was written since
    it was added), never reordered, however many threads write.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._destinations: list[Writer] = []
        self._closed = False

    def add(self, destination: Writer) -> None:
        """From now on, copy to *destination* as well."""
        with self._lock:
            self._destinations.append(destination)

    def set(self, destination: Writer) -> None:
        """From now on, copy to *destination* alone."""
        with self._lock:
            self._destinations = [destination]

    def add_buffer(self) -> Buffer:
        """Add and return a `Buffer`."""
        buffer = Buffer()
        self.add(buffer)
        return buffer

    def add_tail(self, lines: int) -> Tail:
        """Add and return a `Tail` of *lines* lines."""
        tail = Tail(lines)
        self.add(tail)
        return tail

    def write(self, data: bytes) -> int:
        """Copy *data* to every destination.

        Raises:
            ValueError: the stream is closed.
            OSError: the last remaining destination failed.
        """
        with self._lock:
            if self._closed:
                raise ValueError("write to a closed output")
            for destination in list(self._destinations):
                try:
                    destination.write(data)
                except OSError:
                    self._destinations.remove(destination)
                    if not self._destinations:
                        raise
        return len(data)

    def flush(self) -> None:
        """Flush the destinations that can be flushed."""
        with self._lock:
            for destination in self._destinations:
                flush = getattr(destination, "flush", None)
                if flush is not None:
                    with contextlib.suppress(OSError):
                        flush()

    def close(self) -> None:
        """End the stream: later writes are errors. Destinations belong to those who added them."""
        self.flush()
        with self._lock:
            self._closed = True


class Input:
    """A stream with exactly one source; without one it is at its end, as </dev/null."""

    def __init__(self) -> None:
        self._source: Reader | None = None

    def set(self, source: Reader) -> None:
        """Give the stream its source.

        Raises:
            ValueError: it has one already.
        """
        if self._source is not None:
            raise ValueError("an input has exactly one source, and this one has it already")
        self._source = source

    @property
    def connected(self) -> bool:
        """Whether a source was given."""
        return self._source is not None

    def read(self, size: int = -1) -> bytes:
        """At most *size* bytes (all that is left when negative); empty at the end."""
        return b"" if self._source is None else self._source.read(size)
