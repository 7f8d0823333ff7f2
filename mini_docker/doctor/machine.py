"""The machine, as far as containers are concerned: the facts that the doctor judges. Values, and no judgement."""

from __future__ import annotations

from collections.abc import Mapping

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.availability import Availability


@dataclass(frozen=True, slots=True)
class Driver:
    """One driver of this build.

    Attributes:
        family: exec, graph or network.
        availability: what it said itself; None when only root could have asked it.
    """

    family: str
    name: str
    availability: Availability | None


@dataclass(frozen=True, slots=True)
class Cgroups:
    """How control groups are mounted.

    Attributes:
        version: 1 or 2, where the controllers are; 0 when no cgroup file system is mounted.
        hybrid: v2 stands, without controllers, beside v1.
        controllers: which there are, in v2's words: v1's ``blkio`` is ``io``. Without ``freezer`` and ``devices``,
            which v2 has no controllers for.
    """

    version: int = 0
    hybrid: bool = False
    controllers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that was looked at.

    Attributes:
        kernel: its release, as uname(2) has it: ``6.1.0-18-cloud-amd64``.
        python: the version of the interpreter that runs us.
        is_root: whether the effective user is root.
        capabilities: names of those that this process has.
        container: what kind of container this is itself; empty on a machine of its own.
        kernel_options: the kernel's configuration, ``CONFIG_VETH`` → ``y`` or ``m``; None when it can't be read.
        namespaces: kinds that the kernel has, by their names in /proc/self/ns.
        seccomp: whether the kernel filters system calls.
        apparmor: whether AppArmor is on.
        drivers: of every family, in the order in which they are to be shown.
        tools: name of a program → its path; empty when it is not on PATH.
        folder: the root folder, or what exists of the way to it; its file system's type, and free bytes.
        memory_bytes: of the machine; available_memory_bytes: what a new process could have of it.
    """

    system: str
    kernel: str
    python: tuple[int, int, int]
    is_root: bool
    capabilities: frozenset[str]
    container: str
    kernel_options: Mapping[str, str] | None
    namespaces: frozenset[str]
    seccomp: bool
    apparmor: bool
    cgroups: Cgroups
    drivers: tuple[Driver, ...]
    tools: Mapping[str, str]
    folder: str
    file_system: str
    free_bytes: int
    memory_bytes: int
    available_memory_bytes: int
