"""The older dialect: every controller is a tree of its own.

A container gets a directory in every tree, limited or not: the meters are in them too.

Source: the kernel's Documentation/admin-guide/cgroup-v1.
"""

from __future__ import annotations

import errno
import os
import select
from typing import Any

from mini_docker.libcontainer.cgroups import v1
from mini_docker.libcontainer.cgroups.dialect import checked_path
from mini_docker.libcontainer.cgroups.features import CgroupFeatures
from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy
from mini_docker.libcontainer.cgroups.oom import OomWatch
from mini_docker.libcontainer.cgroups.plan import CgroupWrite, flat, read_or_empty
from mini_docker.libcontainer.cgroups.stats import stats_v1
from mini_docker.libcontainer.config import DeviceRule, Resources
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel


class CgroupDialectV1:
    """`CgroupDialect` where `Hierarchy.version` is 1."""

    freeze = CgroupWrite("freezer.state", "FROZEN")
    thaw = CgroupWrite("freezer.state", "THAWED")
    oom_counter = "memory.oom_control"
    # A single thread that moves itself through `tasks` is the one case in which the kernel need not stop
    # all forks of the machine: 0.2 ms for nine trees, where cgroup.procs may take 11.
    join_file = "tasks"

    def __init__(self, kernel: Kernel, hierarchy: Hierarchy, features: CgroupFeatures) -> None:
        self._kernel = kernel
        self._hierarchy = hierarchy
        self._features = features

    def directory(self, controller: str, path: str) -> str:
        mounts = self._hierarchy.mounts
        mount = next(iter(mounts.values())) if controller == "cgroup" else mounts[controller]
        return f"{mount}/{checked_path(path)}"

    def directories(self, path: str) -> tuple[str, ...]:
        return tuple(f"{mount}/{checked_path(path)}" for mount in self._hierarchy.directories())

    def make(self, path: str) -> None:
        for directory in self.directories(path):
            self._make(directory)
        if "cpuset" in self._hierarchy.mounts:
            self._fill_cpuset(self.directory("cpuset", path))

    def _make(self, directory: str) -> None:
        """One mkdir when the parent is there, as it is for all but the first container."""
        try:
            self._kernel.mkdir(directory)
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
            parent = os.path.dirname(directory)
            self._make(parent)
            if parent.startswith(f"{self._hierarchy.mounts.get('cpuset')}/"):
                self._fill_cpuset(parent)
                # The kernel then fills the children's, which saves each container four files.
                self._kernel.write_file(f"{parent}/cgroup.clone_children", "1")
            self._kernel.mkdir(directory)

    def _fill_cpuset(self, directory: str) -> None:
        """An empty cpuset takes no process: without a wish of its own it gets what its parent has."""
        parent = os.path.dirname(directory)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not self._kernel.read_file(f"{directory}/{file}").strip():
                inherited = self._kernel.read_file(f"{parent}/{file}").strip()
                if not inherited:  # made by someone else, and empty: fill from the top
                    self._fill_cpuset(parent)
                    inherited = self._kernel.read_file(f"{parent}/{file}").strip()
                self._kernel.write_file(f"{directory}/{file}", inherited)

    def plan(self, resources: Resources, current_memory_bytes: int | None) -> tuple[CgroupWrite, ...]:
        current = v1.UNLIMITED_BYTES if current_memory_bytes is None else current_memory_bytes
        return v1.plan(resources, current, self._features.bfq)

    def memory_limit(self, path: str) -> int | None:
        if not self._features.memory:
            return None
        return int(self._kernel.read_file(f"{self.directory('memory', path)}/memory.limit_in_bytes"))

    def guard_devices(self, path: str, rules: tuple[DeviceRule, ...]) -> None:
        """Nothing: the plan's writes to devices.allow and devices.deny are the guard."""

    def open_for_clone(self, path: str) -> int:
        return -1

    def is_frozen(self, path: str) -> bool:
        return read_or_empty(self._kernel, f"{self.directory('freezer', path)}/freezer.state").strip() == "FROZEN"

    def stats(self, path: str) -> dict[str, Any]:
        def read(file: str) -> str:
            controller = file.partition(".")[0]
            if controller not in self._hierarchy.mounts:
                return ""
            return read_or_empty(self._kernel, f"{self.directory(controller, path)}/{file}")

        return stats_v1(read, self._kernel.read_file("/proc/stat"), self._kernel.read_file("/proc/meminfo"))

    def watch_oom(self, path: str) -> OomWatch:
        directory = self.directory("memory", path)
        control = f"{directory}/{self.oom_counter}"
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            try:
                watched = os.open(control, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise SyscallError("open", (control,), error.errno or 0) from None
            try:
                self._kernel.write_file(f"{directory}/cgroup.event_control", f"{event} {watched}")
            finally:
                os.close(watched)  # the kernel keeps what it needs
            return OomWatch(event, select.EPOLLIN, lambda: flat(self._kernel.read_file(control)).get("oom_kill", 0))
        except BaseException:
            os.close(event)
            raise
