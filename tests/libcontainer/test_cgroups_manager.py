"""The manager's orders, written down by a recording kernel: v2 here, where this machine may have only v1."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from mini_docker.errors import Invalid, Unsupported
from mini_docker.libcontainer.cgroups.features import CgroupFeatures
from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.config import Resources
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.recording import RecordingKernel

V2 = Hierarchy(2, {}, "/cg", {"": "/"})
V1 = Hierarchy(1, {"cpu": "/cg/cpu", "memory": "/cg/memory", "cpuset": "/cg/cpuset"}, "", {})
ALL = CgroupFeatures(
    memory=True, memory_swap=True, pids=True, cpu_shares=True, cpuset=True, kernel_memory=True, freezer=True
)


class Files:
    """What the files of a pretended kernel say."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts

    def read_file(self, path: str) -> str:
        if path not in self._texts:
            raise SyscallError("read_file", (path,), errno.ENOENT)
        return self._texts[path]


def recording(texts: dict[str, str], **failures: int) -> RecordingKernel:
    results: dict[str, Any] = {"read_file": Files(texts).read_file}
    return RecordingKernel(results=results, failures=failures)


def orders(kernel: RecordingKernel) -> list[tuple[str, tuple[Any, ...]]]:
    return [call for call in kernel.calls if call[0] != "read_file"]


def test_v2_passes_controllers_down_before_it_goes_down() -> None:
    """A controller works in a directory only if every one above it has passed it on; what was passed is not again."""
    kernel = recording(
        {
            "/cg/cgroup.controllers": "cpu memory pids\n",
            "/cg/cgroup.subtree_control": "cpu memory pids\n",
            "/cg/docker/cgroup.controllers": "cpu memory pids\n",
            "/cg/docker/cgroup.subtree_control": "cpu\n",
        }
    )
    CgroupManager(kernel.door(), V2, ALL).create("docker/abc", Resources(pids=5))
    assert orders(kernel) == [
        ("mkdir", ("/cg/docker",)),
        ("write_file", ("/cg/docker/cgroup.subtree_control", "+memory +pids")),
        ("mkdir", ("/cg/docker/abc",)),
        ("write_file", ("/cg/docker/abc/pids.max", "5")),
    ]


def test_v1_a_cpuset_is_filled_from_its_parent() -> None:
    """An empty cpuset takes no process: attaching would end in ENOSPC."""
    kernel = recording(
        {
            "/cg/cpuset/abc/cpuset.cpus": "\n",
            "/cg/cpuset/abc/cpuset.mems": "0\n",
            "/cg/cpuset/cpuset.cpus": "0-1\n",
            "/cg/cpuset/cpuset.mems": "0\n",
        }
    )
    CgroupManager(kernel.door(), V1, ALL).create("abc", Resources())
    assert orders(kernel) == [
        ("mkdir", ("/cg/cpu/abc",)),
        ("mkdir", ("/cg/memory/abc",)),
        ("mkdir", ("/cg/cpuset/abc",)),
        ("write_file", ("/cg/cpuset/abc/cpuset.cpus", "0-1")),
    ]


def test_v1_update_looks_at_the_present_limit_first() -> None:
    """Raising: memory and swap together first, or the kernel refuses."""
    kernel = recording({"/cg/memory/abc/memory.limit_in_bytes": "1000000\n"})
    wished = Resources(memory_bytes=2000000, memory_swap_bytes=3000000)
    assert CgroupManager(kernel.door(), V1, ALL).update("abc", wished) == ()
    assert orders(kernel) == [
        ("write_file", ("/cg/memory/abc/memory.memsw.limit_in_bytes", "3000000")),
        ("write_file", ("/cg/memory/abc/memory.limit_in_bytes", "2000000")),
    ]


def test_an_optional_limit_that_fails_is_a_warning_and_others_an_error() -> None:
    """Newer kernels kept the kernel-memory file and took its function; a wrong value must still be heard of."""
    kernel = recording({"/cg/memory/abc/memory.limit_in_bytes": "1\n"}, write_file=errno.EOPNOTSUPP)
    manager = CgroupManager(kernel.door(), V1, ALL)
    assert manager.update("abc", Resources(kernel_memory_bytes=1 << 24)) == (
        "Your kernel does not support memory.kmem.limit_in_bytes. Limitation discarded.",
    )
    with pytest.raises(SyscallError, match=r"cpu\.shares"):
        manager.update("abc", Resources(cpu_shares=5))


@pytest.mark.parametrize("path", ["", "/", "..", "docker/../..", "docker/./x"])
def test_paths_stay_below_the_root(path: str) -> None:
    """delete("") would remove the host's own cgroups."""
    kernel = recording({})
    with pytest.raises(Invalid, match="it must name a cgroup below the root"):
        CgroupManager(kernel.door(), V1, ALL).delete(path)
    assert kernel.calls == []


def test_pause_without_a_freezer_says_so() -> None:
    """The kernel's ENOENT would tell the user nothing."""
    manager = CgroupManager(recording({}).door(), V1, CgroupFeatures())
    with pytest.raises(Unsupported, match="cannot pause processes"):
        manager.freeze("abc")
    assert not manager.is_frozen("abc")


def test_a_newborn_moves_itself_through_tasks() -> None:
    """Through cgroup.procs it would wait for a grace period of the kernel, up to 11 ms."""
    kernel = recording({})
    CgroupManager(kernel.door(), V1, ALL).join("abc")
    assert orders(kernel) == [("write_file", (f"/cg/{name}/abc/tasks", "0")) for name in ("cpu", "memory", "cpuset")]


def test_what_does_not_exist_has_no_kills_and_no_processes() -> None:
    """An exit may be handled after the cgroup was removed."""
    manager = CgroupManager(recording({}).door(), V2, ALL)
    assert manager.oom_kill_count("abc") == 0
    assert manager.pids("abc") == ()
    assert not manager.is_frozen("abc")


def test_v1_a_cgroup_is_renamed_in_every_tree() -> None:
    """Each controller has a directory of its own for it."""
    kernel = recording({})
    CgroupManager(kernel.door(), V1, ALL).rename("docker/waiting-1", "docker/abc")
    assert orders(kernel) == [
        ("rename", (f"/cg/{tree}/docker/waiting-1", f"/cg/{tree}/docker/abc")) for tree in ("cpu", "memory", "cpuset")
    ]
