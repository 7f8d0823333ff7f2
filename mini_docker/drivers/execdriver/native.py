"""The native exec driver: libcontainer, through the supervisor. Every wall that Linux has.

It takes every spec as it is.
"""

from __future__ import annotations

import os
from pathlib import Path

from mini_docker import VERSION
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.execdriver.contract import Walls
from mini_docker.drivers.execdriver.supervised import SupervisedDriver


class NativeDriver(SupervisedDriver):
    """Implements `ExecDriver`."""

    name = f"native-{VERSION}"

    def available(self) -> Availability:
        if os.geteuid() != 0:
            return Availability("namespaces and cgroups need root")
        missing = [name for name in ("pid", "mnt", "uts", "ipc", "net") if not Path(f"/proc/self/ns/{name}").exists()]
        return Availability(f"this kernel lacks namespaces: {', '.join(missing)}") if missing else AVAILABLE

    def walls(self) -> Walls:
        return Walls(
            pid=True, mount=True, uts=True, ipc=True, network=True, cgroup=True, user=True, limits=True,
            capabilities=True, seccomp=True,
        )  # fmt: skip
