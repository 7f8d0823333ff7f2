"""Gives birth again and again, and notes the time: the library alone, then the exec driver with its supervisor.

It is a program of its own, so that it forks from a small process with one thread as the supervisor does:
``python -m bench.anatomy.birth BUNDLE CGROUP ROUNDS`` writes a JSON list of stages a birth, the library's first.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.anatomy.stages import Stage, stages_of
from bench.anatomy.timed_kernel import CallLog, TimedKernel
from mini_docker.dataclasses import asdict, replace
from mini_docker.drivers.execdriver.contract import Exited, Stdio
from mini_docker.drivers.execdriver.native import NativeDriver
from mini_docker.drivers.execdriver.supervised import SeccompFilters
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.errors import MiniDockerError
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.cgroups.view import spell_out
from mini_docker.libcontainer.config import ContainerSpec, from_json, to_json
from mini_docker.libcontainer.dialogue import Proceed, Ready, Sandboxed, hear, say
from mini_docker.libcontainer.init import Birth, Terms
from mini_docker.libcontainer.parent import Newborn, Parent, born_into, house
from mini_docker.libcontainer.parent import name as give_name
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.runc.oci import decode_config

WARM_UP = 5


def main(argv: Sequence[str]) -> int:
    """Measure, and write the stages to standard output."""
    bundle, cgroup, rounds = Path(argv[0]), argv[1], int(argv[2])
    document = json.loads((bundle / "config.json").read_text())
    spec = decode_config(document, cgroup).spec
    from_json(ContainerSpec, to_json(spec))  # as the supervisor has done
    gc.collect()
    gc.freeze()  # as the supervisor does
    library, ahead = (
        [library_birth(spec, bundle, f"{cgroup}/{number}", born_ahead) for number in range(WARM_UP + rounds)]
        for born_ahead in (False, True)
    )
    driver = driver_births(spec, bundle, cgroup, WARM_UP + rounds)
    births = {"library": library[WARM_UP:], "ahead": ahead[WARM_UP:], "driver": driver[WARM_UP:]}
    json.dump({depth: [[asdict(stage) for stage in one] for one in made] for depth, made in births.items()}, sys.stdout)
    return 0


def library_birth(spec: ContainerSpec, bundle: Path, cgroup: str, born_ahead: bool) -> list[Stage]:
    """One container through libcontainer, from nothing, or from an init that waits for its name, to its end."""
    parent_log, init_log = CallLog(), CallLog()
    kernel = LinuxKernel()
    timed = TimedKernel(kernel, parent_log, init_log).door()
    cgroups = CgroupManager(kernel, find_hierarchy())
    spec = replace(spec, cgroup=cgroup, mounts=spell_out(replace(spec, cgroup=cgroup), cgroups.hierarchy))
    program = SeccompFilters().program(spec.process)
    stage_folder = bundle / "stage"
    stage_folder.mkdir(exist_ok=True)
    birth = Birth(
        spec, -1, str(bundle / "rootfs"), str(stage_folder),
        Terms(program, int(kernel.read_file("/proc/sys/kernel/cap_last_cap")), keyring="bench"),
    )  # fmt: skip
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    parent = Parent(timed)
    try:
        if born_ahead:
            newborn = parent.bear_unnamed(birth, cgroups.join)
            _hear(newborn, Sandboxed)
        began = time.monotonic_ns()
        if born_ahead:
            give_name(newborn, birth, birth)
        cgroups.create(cgroup, spec.resources)
        made = time.monotonic_ns()
        if born_ahead:
            house(newborn, birth, (null, null, null))
        else:
            newborn = born_into(
                cgroups, cgroup, birth.terms,
                lambda terms, directory: parent.bear(replace(birth, terms=terms), (null, null, null), directory),
            )  # fmt: skip
        if not born_ahead:
            _hear(newborn, Sandboxed)
        _hear(newborn, Ready)
        say(newborn.dialogue, Proceed())
        message, _ = hear(newborn.dialogue)
        if message is not None:
            raise MiniDockerError(f"init could not execute the command: {message}")
        running = time.monotonic_ns()
        os.waitid(os.P_PIDFD, newborn.pidfd, os.WEXITED)
        ended = time.monotonic_ns()
        newborn.dialogue.close()
        os.close(newborn.pidfd)
        cgroups.delete(cgroup)
        gone = time.monotonic_ns()
    finally:
        os.close(null)
    calls = [call for call in init_log.calls() if call.began >= made]
    stages = [
        _stage("cgroups made and limited", began, made),
        _stage("told who it is" if born_ahead else "parent made ready", made, calls[0].began),
        *stages_of(calls),
        _stage("execve, until the parent knows", calls[-1].ended, running),
        _stage("the command, until the parent knows", running, ended),
        _stage("cgroups removed", ended, gone),
        _stage("TOTAL", began, gone),
    ]
    parent_log.close()
    init_log.close()
    return stages


def _hear(newborn: Newborn, word: type[Sandboxed] | type[Ready]) -> None:
    message, descriptors = hear(newborn.dialogue)
    for descriptor in descriptors:
        os.close(descriptor)
    if not isinstance(message, word):
        raise MiniDockerError(f"init said {message} where {word.__name__} was due")


def driver_births(spec: ContainerSpec, bundle: Path, cgroup: str, rounds: int) -> list[list[Stage]]:
    """The same through the native driver: what the supervisor's dialogue adds."""
    driver = NativeDriver(bundle / "run", CgroupManager(LinuxKernel(), find_hierarchy()))
    ends: queue.SimpleQueue[Exited] = queue.SimpleQueue()
    driver.on_exit(ends.put)
    driver.restore()
    try:
        return [
            _driver_birth(driver, ends, replace(spec, cgroup=f"{cgroup}/driver-{number}"), bundle, f"bench-{number}")
            for number in range(rounds)
        ]
    finally:
        driver.close()


def _driver_birth(
    driver: NativeDriver, ends: queue.SimpleQueue[Exited], spec: ContainerSpec, bundle: Path, name: str
) -> list[Stage]:
    began = time.monotonic_ns()
    sandbox = driver.create(name, spec, lambda: MountedRoot(path=str(bundle / "rootfs")), Stdio())
    for descriptor in (sandbox.namespace, sandbox.netlink):
        if descriptor >= 0:
            os.close(descriptor)
    created = time.monotonic_ns()
    driver.start(name)
    started = time.monotonic_ns()
    ends.get()
    ended = time.monotonic_ns()
    driver.delete(name)
    gone = time.monotonic_ns()
    return [
        _stage("create: cgroups, fork, namespaces shown", began, created),
        _stage("start: root file system, until the command runs", created, started),
        _stage("the command, until the daemon hears of its end", started, ended),
        _stage("delete: cgroups", ended, gone),
        _stage("TOTAL", began, gone),
    ]


def _stage(name: str, began: int, ended: int) -> Stage:
    return Stage(name, ended - began, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
