"""Implied directories: those that an archive's members lie in and that the archive does not describe.

In a driver that stacks sheets such a directory is made anew on the topmost one, and would hide the looks that it has
below. It knows nothing of mounts.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from mini_docker.archive.attributes import copy_directory_metadata
from mini_docker.archive.directory_cache import DirectoryCache, opened
from mini_docker.linux.kernel import Kernel


def dress_implied(sheet: Path, below: int | Path, implied: Iterable[bytes], kernel: Kernel) -> None:
    """Give the directories *implied* of a layer's own sheet the looks that they have below, if they are there.

    Args:
        below: the tree of all that lies below, or a descriptor of it.
    """
    with (
        opened(below) as below_descriptor,
        opened(sheet) as sheet_descriptor,
        DirectoryCache(kernel, below_descriptor, follow_links=False) as old,
        DirectoryCache(kernel, sheet_descriptor, follow_links=False) as new,
    ):
        for path in implied:
            statuses = (old.lstat(path), new.lstat(path))  # a later member may have replaced it
            if all(status is not None and stat.S_ISDIR(status.st_mode) for status in statuses):
                copy_directory_metadata(old.open(path), new.open(path))
