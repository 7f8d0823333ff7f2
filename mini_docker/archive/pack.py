"""Packing: the stocktaker walks a tree and writes it down as a tar stream, always in the same order.

It gives chunks as they are asked for and holds one of them, however large the tree. A file that
shrinks under its hands is filled up with zero bytes to the size in its header; one that vanishes is left out.
Sockets are left out always: without the process that listens they are nothing.

It knows nothing of images, drivers or compression.

Source: tar(5); OCI image spec, "Layer Filesystem Changeset".
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from mini_docker.archive import member as kinds
from mini_docker.archive import whiteout
from mini_docker.archive.attributes import path_in, read_attributes
from mini_docker.archive.change import Change, ChangeKind
from mini_docker.archive.directory_cache import DirectoryCache, opened, walk
from mini_docker.archive.member import Member, Segment, shown
from mini_docker.archive.ownership import to_container
from mini_docker.archive.tar_reader import CHUNK_BYTES
from mini_docker.archive.tar_writer import END_OF_ARCHIVE, encode_header, padding
from mini_docker.errors import Invalid
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping
from mini_docker.linux.kernel import Kernel

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: kinds.REGULAR,
    stat.S_IFLNK: kinds.SYMLINK,
    stat.S_IFCHR: kinds.CHARACTER_DEVICE,
    stat.S_IFBLK: kinds.BLOCK_DEVICE,
    stat.S_IFDIR: kinds.DIRECTORY,
    stat.S_IFIFO: kinds.FIFO,
}
_STATUS_BLOCK_BYTES = 512


def pack(root: int | str | Path, kernel: Kernel, ids: IdMapping = NO_MAPPING) -> Iterator[bytes]:
    """A whole tree as a tar stream, the root directory itself (``./``) first.

    Args:
        root: the directory, or a descriptor of it.
        ids: what the owners of its files are in the container.
    """
    with opened(root) as descriptor, DirectoryCache(kernel, descriptor, follow_links=False) as tree:
        packing = _Packing(tree, ids)
        yield from packing.file(b"", os.fstat(descriptor))
        for path, status in walk(tree):
            yield from packing.file(path, status)
        yield END_OF_ARCHIVE


def pack_changes(
    root: int | str | Path, changes: Iterable[Change], kernel: Kernel, ids: IdMapping = NO_MAPPING
) -> Iterator[bytes]:
    """Some paths of a tree as a layer: the added and modified as they are, the deleted as whiteouts.

    Args:
        changes: sorted by path.
        ids: what the owners of its files are in the container.

    Raises (while iterating):
        Invalid: a file has a name that would be read as a whiteout.
    """
    with opened(root) as descriptor, DirectoryCache(kernel, descriptor, follow_links=False) as tree:
        packing = _Packing(tree, ids)
        for change in changes:
            path = os.fsencode(change.path).strip(b"/")
            parent, slash, name = path.rpartition(b"/")
            if change.kind is ChangeKind.DELETED:
                yield encode_header(Member(parent + slash + whiteout.PREFIX + name, kinds.REGULAR, mode=0))
                continue
            if name.startswith(whiteout.PREFIX):
                raise Invalid(f"a layer cannot hold the file {shown(path)}: its name would be read as a deletion mark")
            status = tree.lstat(path)
            if status is not None:
                yield from packing.file(path, status)
        yield END_OF_ARCHIVE


def as_stream(chunks: Iterator[bytes]) -> BinaryIO:
    """Chunks as a file to read; closing it closes their generator."""
    return cast(BinaryIO, io.BufferedReader(_ChunkReader(chunks), CHUNK_BYTES))


class _ChunkReader(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As much as is there: small chunks are joined until the buffer is full."""
        filled = 0
        while filled < len(buffer):
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            count = min(len(self._rest), len(buffer) - filled)
            buffer[filled : filled + count] = self._rest[:count]
            self._rest = self._rest[count:]
            filled += count
        return filled

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close and not self.closed:
            close()
        super().close()


class _Packing:
    """One tree's way into one archive."""

    def __init__(self, tree: DirectoryCache, ids: IdMapping) -> None:
        self._tree = tree
        self._ids = ids
        self._linked: dict[tuple[int, int], bytes] = {}  # files of several names: the one they were packed under

    def file(self, path: bytes, status: os.stat_result) -> Iterator[bytes]:
        """The file at *path*: header and content."""
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return
        if kind != kinds.DIRECTORY and status.st_nlink > 1:
            first = self._linked.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                yield self._header(_member(path, kinds.HARD_LINK, status)._replace(link=first))
                return
        parent, _, name = path.rpartition(b"/")
        try:
            if kind == kinds.REGULAR:
                yield from self._regular(path, name, self._tree.open(parent))
            elif kind == kinds.DIRECTORY:
                attributes = read_attributes(self._tree.open(path))
                yield self._header(
                    _member(path + b"/" if path else b"./", kind, status)._replace(attributes=attributes)
                )
            else:
                yield self._header(self._special(path, name, kind, status))
        except (FileNotFoundError, NotADirectoryError):
            self._linked.pop((status.st_dev, status.st_ino), None)  # it vanished, or is something else by now

    def _header(self, member: Member) -> bytes:
        return encode_header(to_container(member, self._ids))

    def _regular(self, path: bytes, name: bytes, directory: int) -> Iterator[bytes]:
        file = os.open(name, _FILE, dir_fd=directory)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise FileNotFoundError(path)
            segments = _segments(file, status)
            attributes = read_attributes(file)
            member = _member(path, kinds.REGULAR, status)._replace(
                size=status.st_size, attributes=attributes, segments=segments
            )
            header = self._header(member)
            if segments is None and status.st_size <= CHUNK_BYTES:
                content = os.pread(file, status.st_size, 0)
                yield header + content.ljust(status.st_size, b"\0") + padding(status.st_size)
                return
            yield header
            for offset, length in segments if segments is not None else (Segment(0, status.st_size),):
                yield from _content(file, offset, length)
            yield padding(sum(length for _, length in segments) if segments is not None else status.st_size)
        finally:
            os.close(file)

    def _special(self, path: bytes, name: bytes, kind: bytes, status: os.stat_result) -> Member:
        directory = self._tree.open(path.rpartition(b"/")[0])
        member = _member(path, kind, status)._replace(attributes=read_attributes(path_in(directory, name)))
        if kind == kinds.SYMLINK:
            return member._replace(link=os.readlink(name, dir_fd=directory))
        return member._replace(device=(os.major(status.st_rdev), os.minor(status.st_rdev)))


def _member(name: bytes, kind: bytes, status: os.stat_result) -> Member:
    return Member(
        name, kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, mtime_ns=status.st_mtime_ns
    )  # fmt: skip


def _content(file: int, offset: int, length: int) -> Iterator[bytes]:
    end = offset + length
    while offset < end:
        chunk = os.pread(file, min(CHUNK_BYTES, end - offset), offset)
        if not chunk:
            chunk = bytes(min(CHUNK_BYTES, end - offset))  # the file shrank: keep what the header promised
        yield chunk
        offset += len(chunk)


def _segments(file: int, status: os.stat_result) -> tuple[Segment, ...] | None:
    """Where a file with holes has data; None for one without. lseek(2): SEEK_DATA, SEEK_HOLE."""
    if status.st_blocks * _STATUS_BLOCK_BYTES >= status.st_size:
        return None
    segments: list[Segment] = []
    at = 0
    while at < status.st_size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
        except OSError:  # ENXIO: a hole up to the end
            break
        at = min(os.lseek(file, start, os.SEEK_HOLE), status.st_size)
        if start < at:
            segments.append(Segment(start, at - start))
    if segments == [Segment(0, status.st_size)]:
        return None
    return tuple(segments)
