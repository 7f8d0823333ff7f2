"""The chroot exec driver: another root folder, and nothing else. What isolation is *not*.

This is how programs were "contained" from 1979 on: the process sees another file system at "/", and everything
else is the machine's: processes, names, network, devices, privileges. Root walks out of it with three calls. It
is here to be compared with `native`, wall by wall.

Limits are kept, since cgroups are also how a container's processes are found again.
Source: chroot(2), NOTES: "This call does not change the current working directory ... and is not intended to be
used for any kind of security purpose".
"""

from __future__ import annotations

import os
from pathlib import Path

from mini_docker.dataclasses import replace
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.execdriver.contract import Walls
from mini_docker.drivers.execdriver.supervised import SupervisedDriver
from mini_docker.errors import Unsupported
from mini_docker.libcontainer.capabilities import permitted_capabilities
from mini_docker.libcontainer.config import Capabilities, ContainerSpec, ProcessSpec


class ChrootDriver(SupervisedDriver):
    """Implements `ExecDriver`."""

    name = "chroot"

    def available(self) -> Availability:
        return AVAILABLE if os.geteuid() == 0 else Availability("chroot and cgroups need root")

    def walls(self) -> Walls:
        return Walls(limits=True)

    def fit(self, spec: ContainerSpec) -> ContainerSpec:
        """The command, its root and its limits."""
        return ContainerSpec(
            self.fit_process(spec.process), namespaces=(), cgroup=spec.cgroup, resources=spec.resources, init=spec.init
        )

    def fit_process(self, process: ProcessSpec) -> ProcessSpec:
        """All of root's powers, for whoever is root.

        Raises:
            Unsupported: it wants a terminal.
        """
        if process.terminal:
            raise Unsupported("the chroot driver gives no terminal: that would need a devpts mounted in the container")
        powers = permitted_capabilities(Path("/proc/self/status").read_text())
        sets = Capabilities(bounding=powers, effective=powers, permitted=powers)
        return replace(process, capabilities=sets, seccomp=None, apparmor_profile="", selinux_label="")
