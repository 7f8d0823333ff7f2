"""An overlay's upper directory, read as a diary: what was written, deleted and replaced, without comparing trees.

The cost grows with what changed, not with what lies below. It is valid for an overlay that was mounted
without redirect_dir and metacopy, which would put notes in the upper directory instead of files.

It knows nothing of how overlays are mounted.

Source: the kernel's Documentation/filesystems/overlayfs.rst, "Upper and Lower", "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mini_docker.archive.change import Change, ChangeKind
from mini_docker.archive.changes import absolute, is_modified, root_change, with_parents
from mini_docker.archive.directory_cache import DirectoryCache, opened
from mini_docker.archive.whiteout import OVERLAY_OPAQUE, OVERLAY_OPAQUE_VALUE, is_overlay_whiteout
from mini_docker.linux.kernel import Kernel


def read_upper(upper: int | str | Path, lower: int | str | Path | None, kernel: Kernel) -> list[Change]:
    """What an overlay's upper directory says about the tree below, sorted by path.

    Args:
        upper: the upper directory, or a descriptor of it.
        lower: the root of all that lies below as one tree; None for nothing.

    Returns:
        the same as comparing the trees would give, but that a file copied up and not changed counts as modified.
    """
    with opened(upper) as upper_root, DirectoryCache(kernel, upper_root, follow_links=False) as upper_tree:
        if lower is None:
            return _Reading(upper_tree, None).run()
        with opened(lower) as lower_root, DirectoryCache(kernel, lower_root, follow_links=False) as lower_tree:
            return _Reading(upper_tree, lower_tree).run()


class _Reading:
    def __init__(self, upper: DirectoryCache, lower: DirectoryCache | None) -> None:
        self._upper = upper
        self._lower = lower
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
        hidden = hidden or _is_opaque(self._upper.open(path))
        names = self._upper.names(path)
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
            gone = set(lower.names(path)).difference(names)
            self._changes += [Change(absolute(prefix + name), ChangeKind.DELETED) for name in gone]
        return below


def _is_opaque(directory: int) -> bool:
    try:
        return os.getxattr(directory, OVERLAY_OPAQUE) == OVERLAY_OPAQUE_VALUE
    except OSError:  # ENODATA, ENOTSUP: no such mark
        return False
