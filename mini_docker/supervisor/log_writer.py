"""The log writer: cuts a container's output into lines and writes them into its json log.

It writes whole entries or, when the disk is full, keeps the rest and says so: whoever feeds it
then stops reading the container's pipe, so that a full disk slows this container down and loses
nothing. It knows lines and files, not containers.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from mini_docker.remote_api import STDERR, STDOUT
from mini_docker.supervisor.json_log import MAX_LINE_BYTES, encode_entries


class LogWriter:
    """Writes one container's log.

    Args:
        path: the newest file.
        limit_bytes: begin a new file when this one has so many bytes; 0 never.
        files: how many files to keep, the newest included.
    """

    def __init__(self, path: str | os.PathLike[str], limit_bytes: int = 0, files: int = 1) -> None:
        self._path = os.fspath(path)
        self._limit = limit_bytes
        self._files = max(files, 1)
        self._unfinished = {STDOUT: b"", STDERR: b""}
        self._backlog = b""
        self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o640)
        self._size = os.fstat(self._file).st_size

    def write(self, stream: int, data: bytes) -> bool:
        """Log a piece of output; False when the disk was full: then call `retry` before writing more."""
        text = self._unfinished[stream] + data
        # Not splitlines(): a carriage return ends no line.
        *whole, rest = text.split(b"\n")
        lines = [line + b"\n" for line in whole]
        while len(rest) >= MAX_LINE_BYTES:
            lines.append(rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        self._unfinished[stream] = rest
        return self._append(lines, stream) if lines else True

    def finish(self) -> bool:
        """Log the lines that never got their newline; the output has ended."""
        whole = True
        for stream, rest in self._unfinished.items():
            self._unfinished[stream] = b""
            if rest:
                whole = self._append([rest], stream)
        return whole

    def retry(self) -> bool:
        """Write what the full disk did not take; whether it does now."""
        return self._append([], STDOUT)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._file)

    def _append(self, lines: list[bytes], stream: int) -> bool:
        pieces = [piece for line in lines for piece in _pieces(line)]
        self._backlog += encode_entries(stream, pieces, time.time_ns())
        while self._backlog:
            try:
                written = os.write(self._file, self._backlog)
            except OSError:  # ENOSPC, EDQUOT, EIO: it may pass
                return False
            self._backlog = self._backlog[written:]
            self._size += written
        if self._limit and self._size >= self._limit:
            try:
                self._rotate()
            except OSError:
                # The file in hand still takes lines; the next ones try again.
                return True
        return True

    def _rotate(self) -> None:
        """``log`` becomes ``log.1``, and so on; the oldest falls off."""
        full = self._file
        for number in range(self._files - 1, 0, -1):
            newer = f"{self._path}.{number - 1}" if number > 1 else self._path
            with suppress(FileNotFoundError):
                os.replace(newer, f"{self._path}.{number}")
        if self._files == 1:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
        self._open()
        os.close(full)


def _pieces(line: bytes) -> list[bytes]:
    if len(line) <= MAX_LINE_BYTES:
        return [line]
    return [line[start : start + MAX_LINE_BYTES] for start in range(0, len(line), MAX_LINE_BYTES)]
