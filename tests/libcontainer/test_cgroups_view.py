"""What a container sees of its cgroups: its own groups, and no others."""

from __future__ import annotations

from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy
from mini_docker.libcontainer.cgroups.view import spell_out
from mini_docker.libcontainer.config import ContainerSpec, Mount, Namespace, ProcessSpec

V1 = Hierarchy(1, {"cpu": "/cg/cpu,cpuacct", "cpuacct": "/cg/cpu,cpuacct", "memory": "/cg/memory"}, "", {})
V2 = Hierarchy(2, {}, "/cg", {})
PROC = Mount("/proc", "proc", "proc")


def spec(*kinds: str) -> ContainerSpec:
    mounts = (PROC, Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid")))
    return ContainerSpec(ProcessSpec(("true",)), tuple(map(Namespace, kinds)), mounts=mounts, cgroup="docker/abc")


def test_v1_is_a_folder_with_one_group_a_hierarchy() -> None:
    """Controllers that share a hierarchy share a directory."""
    assert spell_out(spec(), V1) == (
        PROC,
        Mount("/sys/fs/cgroup", "tmpfs", "tmpfs", ("ro", "nosuid", "mode=755", "size=64k")),
        Mount("/sys/fs/cgroup/cpu,cpuacct", "bind", "/cg/cpu,cpuacct/docker/abc", ("bind", "ro", "nosuid")),
        Mount("/sys/fs/cgroup/memory", "bind", "/cg/memory/docker/abc", ("bind", "ro", "nosuid")),
    )


def test_v2_with_a_namespace_is_a_mount_of_its_own() -> None:
    """Its root is the container's group: the namespace sees to that."""
    assert spell_out(spec("cgroup"), V2)[1] == Mount("/sys/fs/cgroup", "cgroup2", "cgroup", ("ro", "nosuid"))


def test_v2_without_a_namespace_is_a_bind_of_the_group() -> None:
    """A new cgroup2 mount would show the whole tree."""
    assert spell_out(spec(), V2)[1].source == "/cg/docker/abc"
