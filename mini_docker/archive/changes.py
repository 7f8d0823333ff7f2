"""Changes between two trees: spot the difference, two pictures side by side.

Two files are the same when their metadata is: kind, mode, owner, device, size, time in nanoseconds, extended
attributes. Contents are not read, as in Docker. A directory's own size tells nothing; the root's time neither,
as any file in it changes that. A directory in which something changed is listed as modified, so that a
layer carries every directory above its files.

It knows nothing of drivers: it is for those whose layers are whole trees.

Source: Docker's pkg/archive/changes.go, for the rules.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from mini_docker.archive.attributes import path_in, read_attributes
from mini_docker.archive.change import Change, ChangeKind
from mini_docker.archive.directory_cache import DirectoryCache, opened
from mini_docker.linux.kernel import Kernel


def compare_trees(old: int | str | Path | None, new: int | str | Path, kernel: Kernel) -> list[Change]:
    """What must be done to *old* to get *new*, sorted by path.

    Args:
        old, new: the trees' root directories, or descriptors of them; None is an empty tree.
    """
    with opened(new) as new_root, DirectoryCache(kernel, new_root, follow_links=False) as new_tree:
        if old is None:
            return _Comparison(None, new_tree).run()
        with opened(old) as old_root, DirectoryCache(kernel, old_root, follow_links=False) as old_tree:
            return _Comparison(old_tree, new_tree).run()


def content_bytes(root: int | str | Path, changes: Iterable[Change], kernel: Kernel) -> int:
    """The size of the files that the changes add or modify, hard links counted once."""
    total = 0
    linked: set[tuple[int, int]] = set()
    with opened(root) as descriptor, DirectoryCache(kernel, descriptor, follow_links=False) as tree:
        for change in changes:
            if change.kind is ChangeKind.DELETED:
                continue
            status = tree.lstat(os.fsencode(change.path).strip(b"/"))
            if status is None or not stat.S_ISREG(status.st_mode):
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in linked:
                    continue
                linked.add((status.st_dev, status.st_ino))
            total += status.st_size
    return total


def absolute(path: bytes) -> str:
    """A path from a tree's root as a `Change` has it."""
    return "/" + os.fsdecode(path)


def root_change(old_tree: DirectoryCache | None, new_tree: DirectoryCache) -> list[Change]:
    """The change of the root directory itself. Without an old one, one that root owns with mode 0755 is no change."""
    status = os.fstat(new_tree.open(b""))
    dress = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, dict(read_attributes(new_tree.open(b""))))
    old_dress: tuple[int, int, int, dict[str, bytes]] = (0o755, 0, 0, {})
    if old_tree is not None:
        old_status = os.fstat(old_tree.open(b""))
        old_attributes = dict(read_attributes(old_tree.open(b"")))
        old_dress = (stat.S_IMODE(old_status.st_mode), old_status.st_uid, old_status.st_gid, old_attributes)
    return [] if dress == old_dress else [Change("/", ChangeKind.MODIFIED)]


def is_modified(
    old_tree: DirectoryCache, old: os.stat_result, new_tree: DirectoryCache, new: os.stat_result, path: bytes
) -> bool:
    """Whether two files of the same path differ, by their metadata."""
    if (old.st_mode, old.st_uid, old.st_gid, old.st_rdev, old.st_mtime_ns) != (
        new.st_mode, new.st_uid, new.st_gid, new.st_rdev, new.st_mtime_ns,
    ):  # fmt: skip
        return True
    if not stat.S_ISDIR(new.st_mode):
        # One more name for a file: listed as well, so that the layer has all its names and can link them.
        if old.st_size != new.st_size or new.st_nlink > old.st_nlink:
            return True
        if stat.S_ISLNK(new.st_mode) and _link_target(old_tree, path) != _link_target(new_tree, path):
            return True
    return _attributes(old_tree, path) != _attributes(new_tree, path)


def _link_target(tree: DirectoryCache, path: bytes) -> bytes:
    parent, _, name = path.rpartition(b"/")
    return os.readlink(name, dir_fd=tree.open(parent))


def _attributes(tree: DirectoryCache, path: bytes) -> dict[str, bytes]:
    parent, _, name = path.rpartition(b"/")
    return dict(read_attributes(path_in(tree.open(parent), name)))


class _Comparison:
    """Two trees, walked in step."""

    def __init__(self, old: DirectoryCache | None, new: DirectoryCache) -> None:
        self._old = old
        self._new = new
        self._changes: list[Change] = []

    def run(self) -> list[Change]:
        self._changes += root_change(self._old, self._new)
        # Directories still to compare, with whether the old tree has a directory there too.
        pending: list[tuple[bytes, bool]] = [(b"", self._old is not None)]
        while pending:
            path, in_old = pending.pop()
            pending += self._directory(path, in_old)
        return sorted(with_parents(self._changes))

    def _directory(self, path: bytes, in_old: bool) -> list[tuple[bytes, bool]]:
        """Compare what two directories hold; the directories in them are returned."""
        new_tree, old_tree = self._new, self._old if in_old else None
        prefix = path + b"/" if path else b""
        try:
            names = new_tree.names(path)
        except (FileNotFoundError, NotADirectoryError):
            return []  # a running container removed it since
        below: list[tuple[bytes, bool]] = []
        for name in names:
            child = prefix + name
            status = new_tree.lstat(child)
            if status is None or stat.S_ISSOCK(status.st_mode):
                continue
            old_status = old_tree.lstat(child) if old_tree else None
            if old_tree is None or old_status is None:
                self._changes.append(Change(absolute(child), ChangeKind.ADDED))
            elif is_modified(old_tree, old_status, new_tree, status, child):
                self._changes.append(Change(absolute(child), ChangeKind.MODIFIED))
            if stat.S_ISDIR(status.st_mode):
                below.append((child, old_status is not None and stat.S_ISDIR(old_status.st_mode)))
        if old_tree:
            gone = set(old_tree.names(path)).difference(names)
            self._changes += [Change(absolute(prefix + name), ChangeKind.DELETED) for name in gone]
        return below


def with_parents(changes: list[Change]) -> list[Change]:
    """The changes, and as modified each directory above one that is not listed itself (but the root)."""
    listed = {change.path for change in changes}
    parents: list[Change] = []
    for change in changes:
        parent = change.path.rpartition("/")[0]
        while parent and parent not in listed:
            listed.add(parent)
            parents.append(Change(parent, ChangeKind.MODIFIED))
            parent = parent.rpartition("/")[0]
    return changes + parents
