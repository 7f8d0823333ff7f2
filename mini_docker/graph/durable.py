"""Durable files: what was acknowledged outlives a power cut, and nobody ever sees half of it.

The recipe is always the same: write a scratch file, fsync it, rename it to its name, fsync the
folder. It knows nothing of what the files hold.

Source: rename(2) (atomic replacement), fsync(2) (a new name is durable once its folder is synced).
"""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and make its content durable; its name is not, before `sync_folder`."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def publish(scratch: Path, target: Path) -> None:
    """Give a finished scratch file or folder its name, replacing a file of that name, durably."""
    os.rename(scratch, target)
    sync_folder(target.parent)


def replace_file(path: Path, data: bytes, scratch: Path | None = None) -> None:
    """Put *data* in place of whatever *path* held, whole or not at all.

    Args:
        scratch: where to write first, on the same file system; by default a hidden neighbour, which
            a caller with several writers at once must not rely on.
    """
    scratch = scratch or path.with_name(f".{path.name}.new")
    write_file(scratch, data)
    publish(scratch, path)
