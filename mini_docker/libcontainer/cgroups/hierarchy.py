"""The lie of the land: which cgroup hierarchies this machine has, and where.

It reads the texts of /proc/self/mountinfo and /proc/self/cgroup and tries nothing out.

On v1 every controller (or pair, as ``cpu,cpuacct``) is a tree of its own; on v2 one tree has them all;
a hybrid machine has v1's trees beside an empty v2 one. Only the tree that has the controllers counts here.

Source: cgroups(7), proc(5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Unsupported

V1_CONTROLLERS = (
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls", "net_prio",
    "perf_event", "rdma", "misc",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """How cgroups are mounted here.

    Attributes:
        version: 1 or 2: where the controllers are.
        mounts: v1's mount points by controller; co-mounted controllers share one; a hierarchy without controllers
            counts by its name, ``name=systemd``.
        unified: the v2 mount point; on v1 it is empty, or a hybrid machine's.
        own: this process's own cgroup by controller, the v2 one under the empty name.
    """

    version: int
    mounts: Mapping[str, str]
    unified: str
    own: Mapping[str, str]

    @property
    def is_hybrid(self) -> bool:
        """Whether v2 is mounted beside v1's controllers."""
        return self.version == 1 and bool(self.unified)

    def directories(self) -> tuple[str, ...]:
        """The mount points in which a container gets a directory of its own, each once."""
        return (self.unified,) if self.version == 2 else tuple(dict.fromkeys(self.mounts.values()))


def find_hierarchy() -> Hierarchy:
    """How cgroups are mounted on this machine, as this process sees it.

    Raises:
        Unsupported: no cgroup file system is mounted.
    """
    return parse_hierarchy(_proc_file("mountinfo"), _proc_file("cgroup"))


def _proc_file(name: str) -> str:
    with open(f"/proc/self/{name}", "rb") as file:
        return file.read().decode(errors="surrogateescape")


def parse_hierarchy(mountinfo: str, own_cgroup: str) -> Hierarchy:
    """Find the hierarchies.

    Args:
        mountinfo: text of /proc/self/mountinfo.
        own_cgroup: text of /proc/self/cgroup.

    Raises:
        Unsupported: no cgroup file system is mounted.
    """
    mounts: dict[str, str] = {}
    unified = ""
    for line in mountinfo.splitlines():
        # 32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
        before, _, after = line.partition(" - ")
        point = _unescape(before.split()[4])
        fstype, _, options = after.split(maxsplit=2)
        if fstype == "cgroup2":
            unified = unified or point
        elif fstype == "cgroup":
            for option in options.split(","):
                # The first mount counts: later ones are copies, for a chroot or a container.
                if option in V1_CONTROLLERS or option.startswith("name="):
                    mounts.setdefault(option, point)
    has_controllers = any(name in V1_CONTROLLERS for name in mounts)
    if not has_controllers and not unified:
        raise Unsupported("no cgroup file system is mounted: mount one at /sys/fs/cgroup")
    return Hierarchy(
        version=1 if has_controllers else 2,
        mounts=mounts if has_controllers else {},
        unified=unified,
        own=parse_own_cgroup(own_cgroup),
    )


def parse_own_cgroup(text: str) -> dict[str, str]:
    """/proc/PID/cgroup as controller → path; v2's line ``0::/path`` has the empty name."""
    own: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller] = path
    return own


def _unescape(text: str) -> str:
    """Spaces and such stand in mountinfo as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
