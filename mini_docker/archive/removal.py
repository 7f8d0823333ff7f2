"""Removal: the wrecking crew. It takes a tree down, however deep, and never walks out of it over a link.

It holds two descriptors whatever the depth: it goes down by name without following links, and back up by "..".

It knows nothing of layers.
"""

from __future__ import annotations

import os
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(name: bytes | str | Path, *, dir_fd: int | None = None) -> None:
    """Remove the file or the tree *name*.

    Raises:
        OSError: FileNotFoundError when it is not there, and whatever unlink(2) and rmdir(2) say.
    """
    try:
        os.unlink(name, dir_fd=dir_fd)
    except IsADirectoryError:
        empty(name, dir_fd=dir_fd)
        os.rmdir(name, dir_fd=dir_fd)


def empty(name: bytes | str | Path, *, dir_fd: int | None = None) -> None:
    """Remove everything in the directory *name*, and leave it."""
    here = os.open(name, _DIRECTORY, dir_fd=dir_fd)
    try:
        # Per level: the directories still to be taken down; the last one of a level is the one we are in.
        pending = [_unlink_files(here)]
        while True:
            if pending[-1]:
                below = os.open(pending[-1][-1], _DIRECTORY, dir_fd=here)
                os.close(here)
                here = below
                pending.append(_unlink_files(here))
                continue
            pending.pop()
            if not pending:
                return
            above = os.open("..", _DIRECTORY, dir_fd=here)
            os.close(here)
            here = above
            os.rmdir(pending[-1].pop(), dir_fd=here)
    finally:
        os.close(here)


def _unlink_files(directory: int) -> list[str]:
    """Remove the files of a directory; what is left are its directories, which are returned."""
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=directory)
    return [name for name, is_directory in found if is_directory]
