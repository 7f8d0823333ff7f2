"""`run --narrate`: both halves of a container's birth tell what they do, as it happens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mini_docker.drivers.execdriver.contract import Stdio
from mini_docker.drivers.execdriver.native import NativeDriver
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.linux.kernel import Kernel, LinuxKernel
from mini_docker.linux.narrated import WORDS, narrate_to
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


@pytest.mark.root
def test_both_halves_tell_their_steps(tmp_path: Path, busybox_root: Path) -> None:
    """In order, with arguments, results and manual pages; the end of the pipe is the start of the command."""
    driver = NativeDriver(tmp_path / "run", CgroupManager(LinuxKernel(), find_hierarchy()))
    driver.restore()
    bench = Bench(driver, busybox_root, tmp_path)
    readable, writable = os.pipe()
    bench.made.append("told")
    made = driver.create(
        "told", spec(process("true"), "mini-docker-test/told"), MountedRoot(path=str(busybox_root)), Stdio(), writable
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
