"""The newer dialect: one tree has every controller.

A controller works in a directory only if every directory above it passed it down, through
cgroup.subtree_control. Devices are guarded by a BPF program that is attached to the directory.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
import select
from typing import Any

from mini_docker.libcontainer.cgroups import v2
from mini_docker.libcontainer.cgroups.device_bpf import allows_everything, compile_device_rules
from mini_docker.libcontainer.cgroups.dialect import checked_path
from mini_docker.libcontainer.cgroups.features import CgroupFeatures
from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy
from mini_docker.libcontainer.cgroups.oom import OomWatch
from mini_docker.libcontainer.cgroups.plan import CgroupWrite, flat, read_or_empty
from mini_docker.libcontainer.cgroups.stats import stats_v2
from mini_docker.libcontainer.config import DeviceRule, Resources
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel


class CgroupDialectV2:
    """`CgroupDialect` where `Hierarchy.version` is 2."""

    freeze = CgroupWrite("cgroup.freeze", "1")
    thaw = CgroupWrite("cgroup.freeze", "0")
    oom_counter = "memory.events"
    join_file = "cgroup.procs"

    def __init__(self, kernel: Kernel, hierarchy: Hierarchy, features: CgroupFeatures) -> None:
        self._kernel = kernel
        self._unified = hierarchy.unified
        self._features = features

    def directory(self, controller: str, path: str) -> str:
        return f"{self._unified}/{checked_path(path)}"

    def directories(self, path: str) -> tuple[str, ...]:
        return (self.directory("cgroup", path),)

    def make(self, path: str) -> None:
        directory = self._unified
        for part in checked_path(path).split("/"):
            self._pass_down(directory)
            directory = f"{directory}/{part}"
            self._kernel.mkdir(directory)

    def _pass_down(self, directory: str) -> None:
        """Let every controller that arrives here work in the directories below."""
        arriving = self._kernel.read_file(f"{directory}/cgroup.controllers").split()
        passed = self._kernel.read_file(f"{directory}/cgroup.subtree_control").split()
        missing = [controller for controller in arriving if controller not in passed]
        if missing:
            self._kernel.write_file(f"{directory}/cgroup.subtree_control", " ".join(f"+{name}" for name in missing))

    def plan(self, resources: Resources, current_memory_bytes: int | None) -> tuple[CgroupWrite, ...]:
        return v2.plan(resources, self._features.bfq)

    def memory_limit(self, path: str) -> int | None:
        return None  # swap is counted apart: no order of writes is wrong

    def guard_devices(self, path: str, rules: tuple[DeviceRule, ...]) -> None:
        if allows_everything(rules):
            return
        cgroup = self.open_for_clone(path)
        try:
            self._kernel.guard_devices(cgroup, compile_device_rules(rules))
        finally:
            os.close(cgroup)

    def open_for_clone(self, path: str) -> int:
        directory = self.directory("cgroup", path)
        try:
            return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SyscallError("open", (directory,), error.errno or 0) from None

    def is_frozen(self, path: str) -> bool:
        events = read_or_empty(self._kernel, f"{self.directory('cgroup', path)}/cgroup.events")
        return flat(events).get("frozen") == 1

    def stats(self, path: str) -> dict[str, Any]:
        directory = self.directory("cgroup", path)
        return stats_v2(
            lambda file: read_or_empty(self._kernel, f"{directory}/{file}"),
            self._kernel.read_file("/proc/stat"),
            self._kernel.read_file("/proc/meminfo"),
        )

    def watch_oom(self, path: str) -> OomWatch:
        events = f"{self.directory('memory', path)}/{self.oom_counter}"
        try:
            watched = os.open(events, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SyscallError("open", (events,), error.errno or 0) from None
        return OomWatch(watched, select.EPOLLPRI, lambda: flat(self._kernel.read_file(events)).get("oom_kill", 0))
