"""How the supervisor starts: sealed, with everything loaded, before the first container.

It is begun by the daemon through the launcher, in a session of its own, and says on a pipe when
it listens.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import sys
from contextlib import suppress

from mini_docker.libcontainer.sealed import seal_interpreter

STAGE = "stage"
"""In the run folder: where containers attach their roots for the pivot. To the host it is empty for ever."""


def main(args: list[str]) -> int:
    """Run the supervisor.

    Args:
        args: the run folder, and the number of a descriptor to write a byte to once it listens.

    Returns:
        0 at its own end; 1 when another supervisor holds the run folder.
    """
    run, ready = args[0], int(args[1])
    os.makedirs(run, exist_ok=True, mode=0o711)
    stage = f"{run}/{STAGE}"
    os.makedirs(stage, exist_ok=True)
    seal_interpreter(empty=stage)
    # Only now: the process has just started once more.
    from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
    from mini_docker.libcontainer.cgroups.manager import CgroupManager
    from mini_docker.linux.linux_kernel import LinuxKernel
    from mini_docker.supervisor import protocol
    from mini_docker.supervisor.loop import Loop
    from mini_docker.supervisor.supervisor import Supervisor

    lock = os.open(f"{run}/supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # One of our own version would have been found at its socket.
        print(f"another supervisor holds {run}: end its containers with the daemon that made them", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # It must not end while it holds containers; without them it ends by itself.
        signal.signal(number, signal.SIG_IGN)
    kernel = LinuxKernel()
    loop = Loop()
    path = f"{run}/{protocol.SOCKET_NAME}"
    listener = _listen(path)
    supervisor = Supervisor(loop, kernel, CgroupManager(kernel, find_hierarchy()), run, stage, listener)
    # What is loaded by now stays in memory shared with every child: the collector shall not
    # touch (and so copy) it.
    gc.collect()
    gc.freeze()
    os.write(ready, b"\0")
    os.close(ready)
    loop.run()
    supervisor.close()
    # Under the lock, so that no newer supervisor's socket is removed.
    _remove(path)
    return 0


def _listen(path: str) -> socket.socket:
    _remove(path)  # under the lock: a leftover of one that was killed
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(128)
    return listener


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
