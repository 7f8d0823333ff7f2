"""The compiled BPF program says what the profile says: for every number, any arguments, on both machines."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seccomp_reference import ALLOW, AUDIT_ARCH, ENOSYS, EPERM, KILL_PROCESS, Reference, interpret

from mini_docker.errors import Invalid
from mini_docker.libcontainer.capabilities import DEFAULT_CAPABILITIES
from mini_docker.libcontainer.seccomp.compiler import compile_profile
from mini_docker.libcontainer.seccomp.profile import default_profile
from mini_docker.libcontainer.seccomp.syscall_table import syscall_numbers

KERNEL = (6, 1)
TABLES = {arch: dict(syscall_numbers(arch)) for arch in ("x86_64", "x86", "aarch64", "arm")}
PROFILE = default_profile()
CAPABILITIES = {
    "none": (),
    "default": DEFAULT_CAPABILITIES,
    "admin": (*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_NICE", "CAP_BPF", "CAP_SYS_TIME"),
}
PROGRAMS = {
    (machine, caps): compile_profile(PROFILE, CAPABILITIES[caps], machine, KERNEL)
    for machine in ("x86_64", "aarch64")
    for caps in CAPABILITIES
}
# Values at which a comparison of 64 bits in two halves could go wrong, and those that Docker's profile names.
EDGES = sorted(
    {0, 1, 8, 39, 40, 41, 0x20000, 0x20008, 0x7E020000, 0xFFFFFFFF}
    | {(high << 32) + low for high in (0, 1, 2, 0xFFFFFFFF) for low in (0, 1, 40, 0x7FFFFFFF, 0xFFFFFFFF)}
)
NUMBERS = [*range(1100), 0xF0000, 0xF0001, 0xF0005, 0xF0010, 0x3FFFFFFF, 0x40000000, 0x40000001, 0x400001FF, 2**32 - 1]


def values() -> st.SearchStrategy[int]:
    return st.sampled_from(EDGES) | st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("caps", list(CAPABILITIES))
def test_default_profile_agrees_for_every_number(machine: str, caps: str) -> None:
    """Every number of every architecture, with the arguments that Docker's own rules turn on: a range cut one
    number too far would allow a call that Docker forbids."""
    reference = Reference(PROFILE, CAPABILITIES[caps], machine, KERNEL, TABLES)
    program = PROGRAMS[machine, caps]
    for arch, number in itertools.product(AUDIT_ARCH, NUMBERS):
        for first in (0, 8, 40, 0x10000000, 1 << 32 | 40):
            args = (first, 0, 0, 0, 0, 0)
            assert interpret(program, number, AUDIT_ARCH[arch], args)[0] == reference.evaluate(arch, number, args), (
                f"{arch} call {number} with first argument {first:#x}"
            )


@settings(max_examples=300, deadline=None)
@given(
    machine=st.sampled_from(["x86_64", "aarch64"]),
    caps=st.sampled_from(list(CAPABILITIES)),
    name=st.sampled_from(["socket", "personality", "clone", "clone3", "unshare"]),
    args=st.tuples(*[values()] * 6),
)
def test_default_profile_agrees_for_any_arguments(machine: str, caps: str, name: str, args: tuple[int, ...]) -> None:
    """The calls that Docker tells apart by argument, with whole 64-bit words."""
    reference = Reference(PROFILE, CAPABILITIES[caps], machine, KERNEL, TABLES)
    for arch in reference.architectures:
        number = TABLES[arch][name]
        verdict, _ = interpret(PROGRAMS[machine, caps], number, AUDIT_ARCH[arch], args)
        assert verdict == reference.evaluate(arch, number, args)


NAMES = ["read", "write", "getpid", "mount", "clone", "socket", "openat2", "io_uring_setup", "no_such_call", "set_tls"]
OPERATORS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
ACTIONS = ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG"]


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    return draw(
        st.fixed_dictionaries(
            {},
            optional={
                "caps": st.lists(st.sampled_from(["CAP_SYS_ADMIN", "CAP_CHOWN"]), min_size=1, max_size=2),
                "arches": st.lists(st.sampled_from(["amd64", "arm64", "s390x"]), min_size=1, max_size=2),
                "minKernel": st.sampled_from(["4.8", "6.1", "6.2"]),
            },
        )
    )


def comparisons() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "index": st.integers(0, 5),
            "value": values(),
            "op": st.sampled_from([f"SCMP_CMP_{operator}" for operator in OPERATORS]),
        },
        optional={"valueTwo": values()},
    )


def profiles() -> st.SearchStrategy[dict[str, Any]]:
    actions = st.sampled_from([f"SCMP_ACT_{action}" for action in ACTIONS])
    rules = st.fixed_dictionaries(
        {"names": st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True), "action": actions},
        optional={
            "errnoRet": st.integers(0, 4095),
            "args": st.lists(comparisons(), max_size=3),
            "includes": conditions(),
            "excludes": conditions(),
        },
    )
    architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X"]
    return st.fixed_dictionaries(
        {"defaultAction": actions, "syscalls": st.lists(rules, max_size=5)},
        optional={
            "defaultErrnoRet": st.integers(0, 4095),
            "architectures": st.lists(st.sampled_from(architectures), max_size=3),
        },
    )


@settings(max_examples=200, deadline=None)
@given(profile=profiles(), machine=st.sampled_from(["x86_64", "aarch64"]), data=st.data())
def test_any_profile_agrees(profile: dict[str, Any], machine: str, data: st.DataObject) -> None:
    """Profiles that nobody wrote: several rules for a call, contradicting actions, every operator, conditions."""
    caps = ("CAP_CHOWN",)
    reference = Reference(profile, caps, machine, KERNEL, TABLES)
    program = compile_profile(profile, caps, machine, KERNEL)
    used = [comparison["value"] for rule in profile["syscalls"] for comparison in rule.get("args", ())]
    near = sorted({0, *(max(0, min(2**64 - 1, value + step)) for value in used for step in (-1, 0, 1))})
    args = data.draw(st.tuples(*[st.sampled_from(near) | values()] * 6))
    for arch in AUDIT_ARCH:
        for number in {TABLES[arch].get(name, 999) for name in NAMES} | {0, 400, 500, 0x40000000, 2**32 - 1}:
            verdict, _ = interpret(program, number, AUDIT_ARCH[arch], args)
            assert verdict == reference.evaluate(arch, number, args), f"{arch} call {number}"


def test_long_programs_jump_over_255_instructions() -> None:
    """A conditional jump reaches 255 instructions: a program of thousands needs stepping stones, and stays right."""
    profile: dict[str, Any] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {
                "names": [name],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": i, "value": number << 20 | i, "op": "SCMP_CMP_EQ"} for i in range(3)],
            }
            for name, number in list(TABLES["x86_64"].items())[:250]
        ],
    }
    program = compile_profile(profile, (), "x86_64", KERNEL)
    assert len(program) // 8 > 2000
    reference = Reference(profile, (), "x86_64", KERNEL, TABLES)
    for number in range(500):
        right = (number << 20, number << 20 | 1, number << 20 | 2, 0, 0, 0)
        for args in (right, (0, *right[1:]), (*right[:2], right[2] + (1 << 40), 0, 0, 0)):
            verdict, _ = interpret(program, number, AUDIT_ARCH["x86_64"], args)
            assert verdict == reference.evaluate("x86_64", number, args)


def test_profile_larger_than_the_kernel_takes_is_refused() -> None:
    """The kernel would answer EINVAL without a word."""
    rules = [
        {"names": [name], "action": "SCMP_ACT_TRAP", "args": [{"index": 0, "value": number, "op": "SCMP_CMP_LT"}] * 4}
        for name, number in TABLES["x86_64"].items()
    ]
    with pytest.raises(Invalid, match=r"BPF instructions, and the kernel takes 4096"):
        compile_profile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}, (), "x86_64", KERNEL)


def test_tree_is_shallow() -> None:
    """The reason for the tree: the kernel runs the program for every number when it is loaded, and a deep one
    makes every container's start slower."""
    steps = [interpret(PROGRAMS["x86_64", "default"], number, AUDIT_ARCH["x86_64"])[1] for number in range(470)]
    assert max(steps) < 20
    assert len(PROGRAMS["x86_64", "default"]) // 8 < 300


def docker_says(name: str, *args: int, caps: str = "default", machine: str = "x86_64") -> int:
    number = TABLES[machine][name]
    return interpret(PROGRAMS[machine, caps], number, AUDIT_ARCH[machine], args)[0]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_known_facts_of_dockers_default(machine: str) -> None:
    """What users know of Docker's profile: no mounts, no keyrings, no namespaces, no io_uring; threads are fine."""
    for name in ("mount", "umount2", "unshare", "setns", "keyctl", "add_key", "bpf", "perf_event_open", "reboot",
                 "io_uring_setup", "userfaultfd", "pivot_root", "open_by_handle_at", "swapon"):  # fmt: skip
        assert docker_says(name, machine=machine) == EPERM, name
    for name in ("read", "execve", "openat", "ptrace", "chroot", "mknodat", "seccomp", "futex"):
        assert docker_says(name, machine=machine) == ALLOW, name
    newuser, threads = 0x10000000, 0x3D0F00
    assert docker_says("clone", threads, machine=machine) == ALLOW
    assert docker_says("clone", threads | newuser, machine=machine) == EPERM
    assert docker_says("clone3", machine=machine) == ENOSYS
    assert docker_says("socket", 2, machine=machine) == ALLOW
    assert docker_says("socket", 40, machine=machine) == EPERM
    assert docker_says("personality", 0x40000, machine=machine) == EPERM
    for name in ("mount", "unshare", "clone3", "bpf"):
        assert docker_says(name, caps="admin", machine=machine) == ALLOW
    assert docker_says("clone", newuser, caps="admin", machine=machine) == ALLOW
    assert docker_says("chroot", caps="none", machine=machine) == EPERM


def test_ptrace_needs_a_kernel_where_it_cannot_trick_the_filter() -> None:
    """Before Linux 4.8 a tracer could swap the call after seccomp had looked."""
    old = compile_profile(PROFILE, DEFAULT_CAPABILITIES, "x86_64", (4, 7))
    assert interpret(old, TABLES["x86_64"]["ptrace"], AUDIT_ARCH["x86_64"])[0] == EPERM


def test_foreign_architectures_and_x32_find_no_way_around() -> None:
    """One call has several numbers, by the way a program enters the kernel: each way is guarded."""
    program = PROGRAMS["x86_64", "default"]
    assert interpret(program, 0, AUDIT_ARCH["aarch64"])[0] == KILL_PROCESS
    assert interpret(program, 0x40000000, AUDIT_ARCH["x86_64"])[0] == ENOSYS
    assert interpret(program, TABLES["x86"]["mount"], AUDIT_ARCH["x86"])[0] == EPERM
    assert interpret(program, TABLES["x86"]["read"], AUDIT_ARCH["x86"])[0] == ALLOW
    deny_list = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO"}]}
    program = compile_profile(deny_list, (), "x86_64", KERNEL)
    assert interpret(program, 0x40000000 + 165, AUDIT_ARCH["x86_64"])[0] == ENOSYS
    assert interpret(program, 21, AUDIT_ARCH["x86"])[0] == KILL_PROCESS  # i386 was not listed


def test_calls_younger_than_the_profile_answer_enosys() -> None:
    """EPERM would make a new C library give up instead of falling back; runc does the same."""
    program = PROGRAMS["x86_64", "default"]
    assert interpret(program, 490, AUDIT_ARCH["x86_64"])[0] == ENOSYS
    assert interpret(program, 390, AUDIT_ARCH["x86_64"])[0] == EPERM  # a gap in the table is not young
