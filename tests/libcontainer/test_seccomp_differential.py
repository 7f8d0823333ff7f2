"""Our compiler beside libseccomp, the library that Docker's runtimes use: the same profile, the same verdicts."""

from __future__ import annotations

import ctypes
import os
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seccomp_reference import ALLOW, AUDIT_ARCH, ENOSYS, EPERM, interpret

from mini_docker.libcontainer.capabilities import DEFAULT_CAPABILITIES
from mini_docker.libcontainer.seccomp.compiler import compile_profile
from mini_docker.libcontainer.seccomp.profile import Action, default_profile, parse_profile
from mini_docker.libcontainer.seccomp.resolver import resolve, verdict
from mini_docker.libcontainer.seccomp.syscall_table import syscall_numbers

try:
    LIBSECCOMP = ctypes.CDLL("libseccomp.so.2")
except OSError:
    pytest.skip("libseccomp is not installed: nothing to compare with", allow_module_level=True)

LIBSECCOMP.seccomp_init.restype = ctypes.c_void_p
OPERATORS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]  # SCMP_CMP_NE is 1
KERNEL = (6, 1)


class ScmpArgCmp(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def compile_with_libseccomp(
    profile: dict[str, Any], caps: tuple[str, ...], architecture: str
) -> tuple[bytes, frozenset[int]]:
    """The same resolved rules, handed to the library one by one as runc does; and the calls too young for it."""
    unknown = set()
    (native,) = resolve(parse_profile(profile | {"archMap": []}), caps, architecture, KERNEL)
    token = ctypes.c_uint32(AUDIT_ARCH[architecture])
    filter_ = ctypes.c_void_p(LIBSECCOMP.seccomp_init(ctypes.c_uint32(native.default)))
    try:
        if LIBSECCOMP.seccomp_arch_exist(filter_, token) != 0:
            assert LIBSECCOMP.seccomp_arch_add(filter_, token) == 0
            assert LIBSECCOMP.seccomp_arch_remove(filter_, ctypes.c_uint32(0)) == 0  # the machine's own
        names = {number: name for name, number in syscall_numbers(architecture).items()}
        for number, clauses in native.clauses.items():
            # The library takes the number on the machine that it runs on, or one that it invents for a foreign name.
            local = LIBSECCOMP.seccomp_syscall_resolve_name(names[number].encode())
            if local == -1:
                unknown.add(number)
                continue
            for clause in clauses:
                if clause.verdict == native.default:
                    continue
                comparisons = (ScmpArgCmp * len(clause.comparisons))(
                    *(
                        ScmpArgCmp(
                            c.index,
                            OPERATORS.index(c.operator.value.removeprefix("SCMP_CMP_")) + 1,
                            c.value,
                            c.value_two,
                        )
                        for c in clause.comparisons
                    )
                )
                added = LIBSECCOMP.seccomp_rule_add_array(
                    filter_, ctypes.c_uint32(clause.verdict), ctypes.c_int(local),
                    ctypes.c_uint(len(comparisons)), comparisons,
                )  # fmt: skip
                assert added == 0, f"call {number}: {os.strerror(-added)}"
        with tempfile.TemporaryFile() as file:
            assert LIBSECCOMP.seccomp_export_bpf(filter_, file.fileno()) == 0
            file.seek(0)
            return file.read(), frozenset(unknown)
    finally:
        LIBSECCOMP.seccomp_release(filter_)


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("caps", [DEFAULT_CAPABILITIES, (*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN", "CAP_BPF")])
def test_docker_default_agrees_with_libseccomp(architecture: str, caps: tuple[str, ...]) -> None:
    """Every number that has a meaning, with the arguments that matter; and ours is the shorter walk."""
    profile = default_profile()
    ours = compile_profile(profile, caps, architecture, KERNEL)
    theirs, unknown = compile_with_libseccomp(profile, caps, architecture)
    (native, *_) = resolve(parse_profile(profile), caps, architecture, KERNEL)
    arch, steps = AUDIT_ARCH[architecture], [0, 0]
    for number in set(range(native.horizon)) - unknown:
        for first in (0, 8, 40, 0x20008, 0xFFFFFFFF, 0x10000000, 0x3D0F00, 1 << 32 | 40):
            our_verdict, our_steps = interpret(ours, number, arch, (first,))
            their_verdict, their_steps = interpret(theirs, number, arch, (first,))
            assert our_verdict == their_verdict, f"call {number} with first argument {first:#x}"
            steps[0] += our_steps
            steps[1] += their_steps
    assert steps[0] < steps[1]
    assert {EPERM, ALLOW} <= {interpret(ours, number, arch)[0] for number in range(native.horizon)}
    assert interpret(ours, native.horizon, arch)[0] == ENOSYS


NAMES = ["read", "write", "mount", "socket", "clone", "openat", "ioctl"]
values = st.sampled_from([0, 1, 40, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)


@settings(max_examples=120, deadline=None)
@given(
    rules=st.dictionaries(
        st.sampled_from(NAMES),
        st.lists(
            st.tuples(st.integers(0, 5), st.sampled_from(OPERATORS), values, values),
            max_size=3,
            unique_by=lambda c: c[0],
        ),
        min_size=1,
    ),
    action=st.sampled_from(["ALLOW", "LOG", "TRAP", "KILL_PROCESS"]),
    data=st.data(),
)
def test_comparisons_agree_with_libseccomp(
    rules: dict[str, list[tuple[int, str, int, int]]], action: str, data: st.DataObject
) -> None:
    """Every operator on whole 64-bit words, several conditions to a rule."""
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {
                "names": [name],
                "action": f"SCMP_ACT_{action}",
                "args": [
                    # What stands outside its mask can never be equal; libseccomp masks it away, so leave none.
                    {"index": i, "op": f"SCMP_CMP_{op}", "value": a, "valueTwo": a & b if op == "MASKED_EQ" else 0}
                    for i, op, a, b in comparisons
                ],
            }
            for name, comparisons in rules.items()
        ],
    }
    ours = compile_profile(profile, (), "x86_64", KERNEL)
    theirs, _ = compile_with_libseccomp(profile, (), "x86_64")
    near = sorted({(a + step) % 2**64 for all_ in rules.values() for _, _, a, _ in all_ for step in (-1, 0, 1)} | {0})
    args = data.draw(st.tuples(*[st.sampled_from(near) | values] * 6))
    for name in rules:
        number = syscall_numbers("x86_64")[name]
        ours_says, theirs_says = (
            interpret(program, number, AUDIT_ARCH["x86_64"], args)[0] for program in (ours, theirs)
        )
        assert ours_says == theirs_says
        assert ours_says in (EPERM, verdict(Action(f"SCMP_ACT_{action}"), None))
