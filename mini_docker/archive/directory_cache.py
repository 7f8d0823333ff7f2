"""The directory cache: a ring of keys to one house. It opens rooms of that house and no door to the street.

Directories of a tree are opened by their path from the tree's root, by openat2(2), and kept open while
they are in use, so that a file costs calls on a descriptor and not walks along a path. Symbolic links
on the way either are resolved as if the tree's root were ``/`` (RESOLVE_IN_ROOT: what unpacking does) or are refused
(RESOLVE_NO_SYMLINKS: what reading does); neither ever leaves the tree, whoever swaps a
directory for a link meanwhile.

It knows nothing of archives.

Source: openat2(2).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from mini_docker.linux.constants import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

_CAPACITY = 64
"""Archives go depth first, so that a few dozen directories are in use at a time."""
_TRIES = 16
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class DirectoryCache:
    """Open directories of one tree, the least recently used closed first.

    A descriptor that `open` returns stays open until 63 other directories have been asked for.

    Args:
        kernel: the door to openat2.
        root: descriptor of the tree's root directory; stays the caller's.
        follow_links: whether links on the way are resolved inside the root, or refused.
    """

    def __init__(self, kernel: Kernel, root: int, *, follow_links: bool) -> None:
        self._kernel = kernel
        self._root = root
        self._resolve = (RESOLVE_IN_ROOT if follow_links else RESOLVE_NO_SYMLINKS) | RESOLVE_NO_MAGICLINKS
        self._open: dict[bytes, int] = {}

    def __enter__(self) -> DirectoryCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.forget()

    def open(self, path: bytes) -> int:
        """The descriptor of the directory at *path* (relative; ``b""`` is the root). The cache's: do not close it.

        Raises:
            FileNotFoundError, NotADirectoryError and other OSErrors, as open(2) would.
        """
        if not path:
            return self._root
        descriptor = self._open.pop(path, -1)
        if descriptor < 0:
            if len(self._open) >= _CAPACITY:
                os.close(self._open.pop(next(iter(self._open))))
            descriptor = self._openat2(path)
        self._open[path] = descriptor  # a dict keeps the order of insertion: the first is the least recently used
        return descriptor

    def lstat(self, path: bytes) -> os.stat_result | None:
        """What stands at *path* (a link itself, not its target), or None if nothing does."""
        if not path:
            return os.fstat(self._root)
        parent, _, name = path.rpartition(b"/")
        try:
            return os.lstat(name, dir_fd=self.open(parent))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise

    def names(self, path: bytes) -> list[bytes]:
        """The names in the directory at *path*, sorted."""
        return sorted(os.fsencode(name) for name in os.listdir(self.open(path)))

    def forget(self, keep: int = -1) -> None:
        """Close all but the descriptor *keep*: what stands at the paths may be something else now."""
        for path, descriptor in list(self._open.items()):
            if descriptor != keep:
                os.close(self._open.pop(path))

    def _openat2(self, path: bytes) -> int:
        for _ in range(_TRIES):
            try:
                return self._kernel.openat2(
                    self._root, os.fsdecode(path), os.O_RDONLY | os.O_DIRECTORY, resolve=self._resolve
                )
            except SyscallError as error:
                # A rename elsewhere while a ".." was resolved; openat2(2) says: try again.
                if error.errno != errno.EAGAIN:
                    raise OSError(error.errno, os.strerror(error.errno), path) from None
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def walk(tree: DirectoryCache, path: bytes = b"") -> Iterator[tuple[bytes, os.stat_result]]:
    """Everything below the directory at *path*, as (path, lstat): depth first, a directory before what is in
    it, names in the order of their bytes. What vanishes meanwhile is left out."""
    pending = [(path, tree.names(path)[::-1])]
    while pending:
        directory, names = pending[-1]
        if not names:
            pending.pop()
            continue
        child = directory + b"/" + names.pop() if directory else names.pop()
        status = tree.lstat(child)
        if status is None:
            continue
        yield child, status
        if stat.S_ISDIR(status.st_mode):
            try:
                pending.append((child, tree.names(child)[::-1]))
            except (FileNotFoundError, NotADirectoryError):
                continue  # removed, or swapped for a file, since lstat


@contextmanager
def opened(root: int | str | Path) -> Iterator[int]:
    """A descriptor of one's own of the directory *root*, closed afterwards.

    A descriptor may be given that only stands for the directory (O_PATH), as those of mounts do.
    """
    descriptor = os.open(".", _DIRECTORY, dir_fd=root) if isinstance(root, int) else os.open(root, _DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
