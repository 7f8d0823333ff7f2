"""The topmost directory of a stack, read as a diary: what was written, deleted and replaced, without comparing trees.

The cost grows with what changed, not with what lies below. It reads an overlay's upper directory, if that was mounted
without redirect_dir and metacopy, which would put notes there instead of files; and an aufs branch.

It knows nothing of how they are mounted.

Source: the kernel's Documentation/filesystems/overlayfs.rst, "Upper and Lower", "whiteouts and opaque directories";
aufs(5), "Whiteout".
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from mini_docker.archive.change import Change, ChangeKind
from mini_docker.archive.changes import absolute, is_modified, root_change, with_parents
from mini_docker.archive.directory_cache import DirectoryCache, opened
from mini_docker.archive.whiteout import (
    META_PREFIX,
    OPAQUE,
    OVERLAY_OPAQUE,
    OVERLAY_OPAQUE_VALUE,
    PREFIX,
    WhiteoutForm,
    is_overlay_whiteout,
)
from mini_docker.linux.kernel import Kernel


def read_upper(
    upper: int | str | Path, lower: int | str | Path | None, kernel: Kernel, form: WhiteoutForm = WhiteoutForm.OVERLAY
) -> list[Change]:
    """What the topmost directory of a stack says about the tree below, sorted by path.

    Args:
        upper: the directory, or a descriptor of it.
        form: in whose spelling deletions are marked there: OVERLAY or AUFS.
        lower: the root of all that lies below as one tree; None for nothing.

    Returns:
        the same as comparing the trees would give, but that a file copied up and not changed counts as modified.
    """
    with opened(upper) as upper_root, DirectoryCache(kernel, upper_root, follow_links=False) as upper_tree:
        if lower is None:
            return _Reading(upper_tree, None, form).run()
        with opened(lower) as lower_root, DirectoryCache(kernel, lower_root, follow_links=False) as lower_tree:
            return _Reading(upper_tree, lower_tree, form).run()


class _Reading:
    def __init__(self, upper: DirectoryCache, lower: DirectoryCache | None, form: WhiteoutForm) -> None:
        self._upper = upper
        self._lower = lower
        self._form = form
        self._changes: list[Change] = []

    def run(self) -> list[Change]:
        self._changes += root_change(self._lower, self._upper)
        # Directories still to read, with whether the tree below has a directory there too, and whether
        # that is hidden by an opaque one at or above it.
        pending: list[tuple[bytes, bool, bool]] = [(b"", self._lower is not None, False)]
        while pending:
            path, in_lower, hidden = pending.pop()
            pending += self._directory(path, in_lower, hidden)
        return sorted(with_parents(self._changes))

    def _directory(self, path: bytes, in_lower: bool, hidden: bool) -> list[tuple[bytes, bool, bool]]:
        lower = self._lower if in_lower else None
        prefix = path + b"/" if path else b""
        names = self._upper.names(path)
        if self._form is WhiteoutForm.AUFS:
            hidden = hidden or OPAQUE in names
            marked, names = _marked_by_name(names)
            gone = [name for name in marked if lower and lower.lstat(prefix + name) is not None]
            self._changes += [Change(absolute(prefix + name), ChangeKind.DELETED) for name in gone]
            spoken_of = {*names, *marked}
        else:
            hidden = hidden or _is_opaque(self._upper.open(path))
            spoken_of = set(names)
        below: list[tuple[bytes, bool, bool]] = []
        for name in names:
            child = prefix + name
            status = self._upper.lstat(child)
            if status is None or stat.S_ISSOCK(status.st_mode):
                continue
            old = lower.lstat(child) if lower else None
            if is_overlay_whiteout(status):
                if old is not None:
                    self._changes.append(Change(absolute(child), ChangeKind.DELETED))
                continue
            is_directory = stat.S_ISDIR(status.st_mode)
            if lower is None or old is None:
                self._changes.append(Change(absolute(child), ChangeKind.ADDED))
            elif not is_directory or is_modified(lower, old, self._upper, status, child):
                self._changes.append(Change(absolute(child), ChangeKind.MODIFIED))
            if is_directory:
                below.append((child, old is not None and stat.S_ISDIR(old.st_mode), hidden))
        if lower and hidden:
            lost = set(lower.names(path)).difference(spoken_of)
            self._changes += [Change(absolute(prefix + name), ChangeKind.DELETED) for name in lost]
        return below


def _marked_by_name(names: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The names that an aufs branch's directory deletes, and those that it has; its own book-keeping is neither."""
    marks = [name for name in names if name.startswith(PREFIX) and not name.startswith(META_PREFIX)]
    return [mark.removeprefix(PREFIX) for mark in marks], [name for name in names if not name.startswith(PREFIX)]


def _is_opaque(directory: int) -> bool:
    try:
        return os.getxattr(directory, OVERLAY_OPAQUE) == OVERLAY_OPAQUE_VALUE
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return False  # no such mark, or a file system that knows none
        raise  # taken for "no mark", the diff would lack deletions, and nobody would know
