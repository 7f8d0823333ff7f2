"""One daemon a root folder: a lock on it, and a file with the process id for who wants to send signals.

It knows files, not what the daemon does.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mini_docker.errors import Conflict


@contextmanager
def hold_root(root: Path) -> Iterator[None]:
    """Hold the root folder while the block runs; the kernel lets go when the process ends, however it ends.

    Raises:
        Conflict: another daemon holds it.
    """
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another daemon uses the root folder {root}: stop it, or choose another with -g") from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def pidfile(path: Path) -> Iterator[None]:
    """Have the process id in a file while the block runs. A leftover of a dead daemon is replaced.

    Raises:
        Conflict: the process it names lives.
    """
    try:
        pid = int(path.read_text())
        # The state follows the command's name, which stands in brackets and may hold anything.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        alive = state not in "ZX" and pid != os.getpid()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        alive = False
    if alive:
        raise Conflict(f"pid file {path} names process {pid}, which lives: stop it, or choose another file with -p")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(os.getpid()))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
