"""Scratch folders: where checks work, and what is left of them when they are killed.

A lock on each folder, held for as long as its process lives, tells one that is in use from one that was left.
It knows nothing of what is in them. Source: flock(2).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mini_docker.archive.directory_cache import opened

PREFIX = "mini-docker-lab-"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of one's own for the length of the block."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with opened(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            yield folder
        finally:
            # A killed live check may have left a mount in it: `clean` tries again.
            shutil.rmtree(folder, ignore_errors=True)


def left_behind() -> Iterator[Path]:
    """Scratch folders of this user's that nobody works in any more."""
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        if folder.stat().st_uid == os.geteuid() and not _is_in_use(folder):
            yield folder


def _is_in_use(folder: Path) -> bool:
    with opened(folder) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
