"""`run --narrate`: both halves of a container's birth tell what they do, as it happens."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.drivers.execdriver.contract import Stdio
from mini_docker.drivers.execdriver.native import NativeDriver
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.linux import constants
from mini_docker.linux.kernel import Kernel
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.linux.narrated import WORDS, narrate_to, spelled
from mini_docker.linux.recording import RecordingKernel
from tests.drivers.execdriver.contract_suite import Bench, process, spec


def test_every_call_of_the_door_has_words() -> None:
    """A step without words would be a hole in the story."""
    methods = {name for name in vars(Kernel) if not name.startswith("_")}
    assert methods == set(WORDS)


def test_silence_costs_nothing() -> None:
    """Without a listener the door itself is used, not one that says nothing."""
    door = RecordingKernel().door()
    assert narrate_to(door, -1, "init") is door


def test_a_full_pipe_stops_nobody() -> None:
    """The supervisor has other containers: a listener that does not listen misses the rest."""
    readable, writable = os.pipe()
    kernel = narrate_to(RecordingKernel().door(), writable, "init")
    for _ in range(2000):
        kernel.mkdir("/sys/fs/cgroup/memory/docker")
    os.close(readable)
    kernel.mkdir("/sys/fs/cgroup/memory/docker")
    os.close(writable)


@given(st.integers(0, 2**40), st.sampled_from(["MS_", "CLONE_", "MOUNT_ATTR_", "AT_", "RESOLVE_"]))
def test_a_spelled_number_is_the_number(number: int, prefix: str) -> None:
    """Read back by whoever has the kernel's headers, nothing is lost and nothing added."""
    words = spelled(number, prefix).split("|")
    value = 0
    for word in words:
        value |= getattr(constants, word, None) or int(word, 0)
    assert value == number


def test_arguments_are_said_in_the_kernels_words() -> None:
    """540672 teaches nobody."""
    readable, writable = os.pipe()
    kernel = narrate_to(RecordingKernel().door(), writable, "init")
    kernel.mount("", "/", flags=constants.MS_SLAVE | constants.MS_REC)
    kernel.open_tree(constants.AT_FDCWD, "/v", constants.OPEN_TREE_CLONE | constants.AT_RECURSIVE)
    kernel.prctl(constants.PR_CAPBSET_DROP, 7)
    kernel.prctl(constants.PR_SET_PDEATHSIG, signal.SIGKILL)
    kernel.unshare(constants.CLONE_NEWNS)
    os.close(writable)
    with open(readable) as pipe:
        said = [line.partition("  #")[0].partition(" = ")[0] for line in pipe]
    assert said == [
        "init: mount('', '/', flags=MS_REC|MS_SLAVE)",
        "init: open_tree(AT_FDCWD, '/v', OPEN_TREE_CLONE|AT_RECURSIVE)",
        "init: prctl(PR_CAPBSET_DROP, 7)",
        "init: prctl(PR_SET_PDEATHSIG, SIGKILL)",
        "init: unshare(CLONE_NEWNS)",
    ]


@pytest.mark.root
def test_both_halves_tell_their_steps(tmp_path: Path, busybox_root: Path) -> None:
    """In order, with arguments, results and manual pages; the end of the pipe is the start of the command."""
    driver = NativeDriver(tmp_path / "run", CgroupManager(LinuxKernel(), find_hierarchy()))
    driver.restore()
    bench = Bench(driver, busybox_root, tmp_path)
    readable, writable = os.pipe()
    bench.made.append("told")
    made = driver.create(
        "told",
        spec(process("true"), "mini-docker-test/told"),
        lambda: MountedRoot(path=str(busybox_root)),
        Stdio(),
        writable,
    )
    os.close(writable)
    os.close(made.namespace)
    os.close(made.netlink)
    driver.start("told")
    bench.end("told")
    with open(readable) as pipe:
        lines = pipe.read().splitlines()
    bench.close()
    speakers = [line.partition(": ")[0] for line in lines]
    assert set(speakers) == {"daemon", "parent", "init"}
    story = [line.partition(": ")[2] for line in lines]
    told = [sentence.partition("(")[0] for sentence in story]
    order = ("mkdir", "clone3", "sethostname", "pivot_root", "capset", "execve")
    assert [told.index(name) for name in order] == sorted(told.index(name) for name in order)
    assert all("  # " in sentence and sentence.endswith(")") for sentence in story)
    assert told[-1] == "execve"
