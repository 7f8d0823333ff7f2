"""The ground that a sitting runs on: a fresh file system, so that no earlier run's files slow this one.

A tmpfs takes the disk out of the measurement; a loop ext4 puts a real file system into it. Both are mounted in the
bench's own mount namespace (`script/bench` makes it) and end with it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOP_BYTES = 16 << 30
"""Size of the loop file: sparse, it takes only what is written."""


@contextmanager
def ground(disk: bool) -> Iterator[Path]:
    """An empty folder on a file system of its own, while the block lasts.

    Args:
        disk: on a loop ext4 instead of a tmpfs.
    """
    folder = Path(tempfile.mkdtemp(prefix="mdbench-", dir="/var/tmp" if disk else "/tmp"))
    mounted = False
    try:
        if disk:
            _mount_loop(folder)
        else:
            _run("mount", "-t", "tmpfs", "-o", "mode=755,size=75%", "mdbench", str(folder))
        mounted = True
        yield folder
    finally:
        if mounted:
            # Lazily: a daemon's last mounts may go a moment later.
            _run("umount", "-l", str(folder))
        folder.rmdir()


def _mount_loop(folder: Path) -> None:
    image = folder.with_suffix(".ext4")
    try:
        with image.open("wb") as file:
            os.truncate(file.fileno(), LOOP_BYTES)
        _run("mkfs.ext4", "-q", "-F", str(image))
        _run("mount", "-o", "loop", str(image), str(folder))
    finally:
        image.unlink()  # the mount holds it, and with the mount it goes


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
