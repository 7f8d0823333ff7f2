"""The backing file system: the ground that a driver's folder stands on. A fact for ``docker info``.

It knows nothing of drivers.
"""

from __future__ import annotations

import os
from pathlib import Path

from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel


def backing_file_system(folder: Path, kernel: Kernel) -> str:
    """The type of the file system that *folder* lies in (or will: its nearest ancestor that exists does).

    Source: proc_pid_mountinfo(5): the third field is the device, the type is the first after " - ".
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        table = kernel.read_file("/proc/self/mountinfo")
    except SyscallError:
        return "unknown"
    for line in table.splitlines():
        mount, _, super_block = line.partition(" - ")
        if mount.split(" ")[2] == wanted:
            return super_block.split(" ")[0]
    return "unknown"
