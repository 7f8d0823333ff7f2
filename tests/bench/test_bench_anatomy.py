"""How calls become stages and job records lives; the door that keeps the time."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
from pathlib import Path

import pytest

from bench.anatomy.report import job_stages
from bench.anatomy.stages import rows, stages_of
from bench.anatomy.timed_kernel import Call, CallLog, TimedKernel
from bench.bundle import config, seccomp
from bench.processes import PAGE_BYTES, Weight, forget_peak, held_bytes, peak_bytes, resident_frames
from mini_docker.linux.recording import RecordingKernel


def calls(*names: str) -> list[Call]:
    """Each takes 4 ns, after 6 ns of something else."""
    return [Call(name, 10 * number + 6, 10 * number + 10) for number, name in enumerate(names)]


LIFE = calls(
    "born", "close_range", "prctl", "write_file", "mount", "open_tree", "open_tree", "sethostname", "fsopen",
    "fsmount", "mknod", "move_mount", "mount", "pivot_root", "umount", "move_mount", "move_mount", "open_tree",
    "move_mount", "open_tree", "move_mount", "close_range at exec", "seccomp", "prctl", "capset", "execve",
)  # fmt: skip


def test_every_call_belongs_to_one_stage_and_no_time_is_lost() -> None:
    """The stages of a life add up to the life."""
    stages = stages_of(LIFE)
    assert sum(stage.calls for stage in stages) == len(LIFE)
    assert sum(stage.took for stage in stages) == LIFE[-1].ended - LIFE[0].began
    assert sum(stage.in_kernel for stage in stages) == 4 * len(LIFE)


def test_landmarks_open_stages_in_order() -> None:
    """A call of one name may belong to several; a container without a keyring passes its stage over."""
    names = [stage.name for stage in stages_of(LIFE)]
    assert "session keyring" not in names
    by_name = {stage.name: stage.calls for stage in stages_of(LIFE)}
    assert by_name["the host's files and the root picked up"] == 3
    assert by_name["own file systems made, device nodes"] == 3
    assert by_name["pivot into the root"] == 4
    assert by_name["mounts attached"] == 2
    assert by_name["paths masked and write-protected"] == 4
    assert by_name["capabilities and user"] == 2


def test_rows_are_medians_over_births() -> None:
    """A stage that one birth of three lacked is the median of the two others."""
    (row,) = rows([stages_of(calls("born", "born")), stages_of(calls("born")), []])
    assert (row.took.count, row.calls) == (2, 1.5)


def test_a_timed_door_passes_everything_on() -> None:
    """Arguments, results and the order of calls are the real door's."""
    recording = RecordingKernel()
    parent, child = CallLog(), CallLog()
    door = TimedKernel(recording.door(), parent, child).door()
    door.sethostname("box")
    door.close_range(3, close_on_exec=True)
    noted = parent.calls()
    assert [call.name for call in noted] == ["sethostname", "close_range at exec"]
    assert all(call.took >= 0 for call in noted) and noted[0].ended <= noted[1].began
    assert child.calls() == []
    parent.close()
    child.close()


def test_a_full_log_loses_the_rest_and_nothing_else() -> None:
    """Whoever is measured must not fail of it."""
    log = CallLog(capacity=2)
    for number in range(1, 4):
        log.note("mkdir", number, number)
    assert len(log.calls()) == 2
    log.close()


def test_jobs_are_grouped_by_life() -> None:
    """A life begins with ``create``; what runs for a job stands below it; a running job has no time yet."""

    def record(number: int, parent: int, name: str, duration: float | None = 0.001) -> dict[str, object]:
        return {"Id": number, "Parent": parent, "Name": name, "Duration": duration}

    lives = job_stages([
        record(1, 0, "ping"), record(2, 0, "create"), record(3, 0, "start"), record(4, 3, "allocate_interface"),
        record(5, 0, "create"), record(6, 0, "wait", None),
    ])  # fmt: skip
    assert [[stage.name for stage in life] for life in lives] == [
        ["create", "start", "start / allocate_interface"], ["create"],
    ]  # fmt: skip
    assert lives[0][0].took == 1_000_000


def test_the_bundle_asks_for_the_walls_of_a_plain_container() -> None:
    """Beside a runtime that had less to do, a daemon would look slow."""
    made = config("x86_64", "bench/container")
    assert [space["type"] for space in made["linux"]["namespaces"]] == ["mount", "pid", "ipc", "uts", "network"]
    assert len(made["process"]["capabilities"]["bounding"]) == 14
    names = {name for rule in made["linux"]["seccomp"]["syscalls"] for name in rule["names"]}
    assert {"read", "arch_prctl", "execve"} <= names


def test_rules_for_other_machines_and_capabilities_are_left_out() -> None:
    """They are conditions of Docker's form; the runtime's form has none."""
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
            {"names": ["arm_sync"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        ],
    }
    assert [rule["names"] for rule in seccomp(profile, "x86_64")["syscalls"]] == [["read"], ["chroot"]]


def test_processes_together_hold_a_shared_page_once() -> None:
    """Whoever maps it."""
    first, second = Weight(1, "a", frozenset({1, 2, 3})), Weight(2, "b", frozenset({3, 4}))
    assert held_bytes([first]) == 3 * PAGE_BYTES
    assert held_bytes([first, second]) == 4 * PAGE_BYTES
    assert held_bytes([]) == 0


@pytest.mark.root
def test_one_process_alone_holds_its_resident_set() -> None:
    """Frames add up to what the kernel tells in smaps_rollup, but for pages that it counts for nobody."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            process.send_signal(signal.SIGSTOP)  # its memory holds still
            os.waitpid(process.pid, os.WUNTRACED)
            rollup = (Path("/proc") / str(process.pid) / "smaps_rollup").read_text().split()
            resident = int(rollup[rollup.index("Rss:") + 1]) * 1024
            held = held_bytes([Weight(process.pid, "sleep", resident_frames(process.pid))])
            assert 0 <= held - resident <= 8 * PAGE_BYTES
        finally:
            process.kill()


@pytest.mark.root
def test_what_a_fork_left_shared_is_held_once() -> None:
    """Of memory that neither has written to since, both have mapped the same frames."""
    with mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[:] = b"x" * len(memory)
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(ready, 1)
            os._exit(0)
        try:
            mine, other = (Weight(pid, "", resident_frames(pid)) for pid in (os.getpid(), child))
            assert held_bytes([mine, other]) <= held_bytes([mine]) + held_bytes([other]) - (16 << 20)
        finally:
            os.write(told, b"x")
            os.waitpid(child, 0)
            os.close(ready)
            os.close(told)


def test_a_peak_is_remembered_until_it_is_forgotten() -> None:
    """The kernel keeps the most that was ever resident; a bench asks it to begin anew before each sample."""
    forget_peak(os.getpid())
    before = peak_bytes(os.getpid())
    with mmap.mmap(-1, 64 << 20) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1
    assert peak_bytes(os.getpid()) >= before + (60 << 20)
    forget_peak(os.getpid())
    assert peak_bytes(os.getpid()) < before + (30 << 20)
