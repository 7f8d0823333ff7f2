"""The json log: a container's diary, one JSON object a line, in the format of Docker's json-file driver.

``encode_entries`` makes lines for the writer; `JsonLogReader` reads a diary that is still being written,
may have been continued in a new volume (rotation), and may end in the middle of a line (a crash, a full
disk). It knows files and lines, and nothing of containers, sockets or who writes.

Source: Docker's ``daemon/logger/jsonfilelog``.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring

from mini_docker.dataclasses import dataclass
from mini_docker.remote_api import STDERR, STDOUT

_STREAMS = {STDOUT: "stdout", STDERR: "stderr"}
_NUMBERS = {name: number for number, name in _STREAMS.items()}

_BLOCK = 1 << 16
_NANO = 10**9

MAX_LINE_BYTES = 16 * 1024
"""A longer line of output becomes several entries; only the last of them ends with a newline."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: a line of output, or a piece of a long or unfinished one.

    Attributes:
        stream: STDOUT or STDERR.
        line: what was written; bytes that are not UTF-8 became U+FFFD, as in Docker.
        time: RFC 3339 with nine digits of nanoseconds, UTC: sorts as text.
    """

    stream: int
    line: bytes
    time: str


def encode_entries(stream: int, lines: Iterable[bytes], nanoseconds: int) -> bytes:
    """Entries as their lines in the file, newlines included.

    Args:
        stream: STDOUT or STDERR.
        lines: each a line of output with its newline, or a piece of one.
        nanoseconds: since the epoch; all of them were written then.
    """
    rest = f',"stream":"{_STREAMS[stream]}","time":"{log_time(nanoseconds)}"}}\n'
    return "".join([f'{{"log":{encode_basestring(line.decode(errors="replace"))}{rest}' for line in lines]).encode()


def decode_entry(line: bytes) -> Entry | None:
    """The inverse of `encode_entries`, for one line; None for a line that is none (torn by a crash)."""
    try:
        data = json.loads(line)
        return Entry(_NUMBERS[data["stream"]], data["log"].encode(errors="replace"), data["time"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def log_time(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as ``2014-08-20T17:03:05.120000000Z``."""
    seconds, rest = divmod(nanoseconds, _NANO)
    return f"{_second(seconds)}.{rest:09d}Z"


@functools.lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@dataclass(frozen=True, slots=True)
class _Volume:
    """One file of a log, by name and by what does not change when it is renamed."""

    path: str
    device: int
    inode: int


class JsonLogReader:
    """Reads one container's log from a chosen place to its end, again and again as it grows.

    Args:
        path: the newest file; ``path.1`` is the one before it, and so on.
        tail: begin so many entries before the end; None begins at the beginning.

    Laws: every whole entry after the start is given exactly once and in order, whatever is appended or
    rotated between two calls of `read` (as long as the volume being read is kept); a torn line is
    skipped; a line without its newline is kept until the newline comes.

    One thread's own; it holds a descriptor until `close`.
    """

    def __init__(self, path: str | os.PathLike[str], tail: int | None = None) -> None:
        self._path = os.fspath(path)
        self._file = -1
        self._rest = b""
        volumes = self._volumes()
        if tail is None:
            self._enter(volumes[-1:])
        else:
            self._start_at_tail(volumes, max(tail, 0))

    def read(self) -> Iterator[Entry]:
        """Every entry that is there now and was not given before."""
        if self._file < 0:
            self._enter(self._volumes()[-1:])
        while self._file >= 0:
            # Look before reading: what an older volume holds then is all that it will ever hold.
            newer = self._newer()
            while block := os.read(self._file, _BLOCK):
                lines = (self._rest + block).split(b"\n")
                self._rest = lines.pop()
                for line in lines:
                    entry = decode_entry(line)
                    if entry is not None:
                        yield entry
            if newer:
                self._enter(newer)
            elif not self._newer():
                return

    def close(self) -> None:
        """Let the file go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._rest = b""

    def _volumes(self) -> list[_Volume]:
        """All files of the log, newest first."""
        volumes: list[_Volume] = []
        while True:
            path = f"{self._path}.{len(volumes)}" if volumes else self._path
            try:
                status = os.stat(path)
            except FileNotFoundError:
                return volumes
            volumes.append(_Volume(path, status.st_dev, status.st_ino))

    def _newer(self) -> list[_Volume]:
        """The volume after the open one, as a list of one; empty when the open one is the newest."""
        mine = os.fstat(self._file)
        newer: list[_Volume] = []
        for volume in self._volumes():
            if (volume.device, volume.inode) == (mine.st_dev, mine.st_ino):
                break
            newer = [volume]  # names move on with every rotation; a file's number stays
        return newer

    def _enter(self, volume: list[_Volume]) -> None:
        """Go on with a volume, if there is one, from its beginning."""
        self.close()
        for each in volume:
            try:
                self._file = os.open(each.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                pass  # the log is being removed

    def _start_at_tail(self, volumes: list[_Volume], wanted: int) -> None:
        for volume in volumes:
            self._enter([volume])
            if self._file < 0:
                return
            offset, found = _tail_offset(self._file, wanted)
            wanted -= found
            if wanted <= 0 or volume is volumes[-1]:
                os.lseek(self._file, offset, os.SEEK_SET)
                return


def _tail_offset(descriptor: int, wanted: int) -> tuple[int, int]:
    """Where the last *wanted* whole lines of a file begin, and how many there are (at most *wanted*)."""
    position = os.lseek(descriptor, 0, os.SEEK_END)
    if wanted == 0:
        # Follow from here; an unfinished last line was begun before and is left out.
        return position, 0
    found = -1  # the newline that ends the last line begins none
    while position > 0:
        length = min(_BLOCK, position)
        position -= length
        block = os.pread(descriptor, length, position)
        count = block.count(b"\n")
        if found + count >= wanted:
            end = len(block)
            while True:
                end = block.rindex(b"\n", 0, end)
                found += 1
                if found == wanted:
                    return position + end + 1, wanted
        found += count
    return 0, max(found + 1, 0)
