"""Loose folders: sheets on the workbench, painted before they are laid on the pile.

A scratch folder whose ``diff/`` is being unpacked into, perhaps by another process; a lock on that directory, shared by
all who hold its descriptor, tells the next daemon whether one of them is left. It knows nothing of stacks and mounts.

Source: flock(2): a lock belongs to the open file, whichever processes have it open, and goes with the last of them.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

LOOSE = "loose"
"""Begins the names of such folders."""
DIFF = "diff"
_MODE = 0o755
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_loose(folder: Path) -> int:
    """Make ``diff/`` in the new *folder*; returns its descriptor, locked."""
    (folder / DIFF).mkdir()
    os.chmod(folder / DIFF, _MODE)  # whatever the umask is
    descriptor = os.open(folder / DIFF, _DIRECTORY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def wait_until_left(folder: Path) -> None:
    """Wait until no process of a daemon that died writes below *folder*: they are killed with it, a moment later."""
    with suppress(FileNotFoundError):
        descriptor = os.open(folder / DIFF, _DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)
