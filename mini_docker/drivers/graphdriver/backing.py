"""The backing file system: the ground that a driver's folder stands on. A fact for ``docker info``.

It knows nothing of drivers.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

_ESCAPED = re.compile(r"\\([0-7]{3})")


def backing_file_system(folder: Path, kernel: Kernel) -> str:
    """The type of the file system that *folder* lies in (or will lie in, once it is made).

    Source: proc_pid_mountinfo(5): the fifth field is the mount point, the first after " - " the type.
    """
    try:
        table = kernel.read_file("/proc/self/mountinfo")
    except SyscallError:
        return "unknown"
    path = os.path.realpath(folder)
    found = ("", "unknown")
    for line in table.splitlines():
        mount, _, super_block = line.partition(" - ")
        point = _ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), mount.split(" ")[4])
        # The longest mount point on the way; of several on one point the last, which covers the others.
        if os.path.commonpath((point, path)) == point and len(point) >= len(found[0]):
            found = (point, super_block.split(" ")[0])
    return found[1]
