"""A seccomp profile is decoded from both JSON forms, and a broken one is named as such."""

from __future__ import annotations

from typing import Any

import pytest

from mini_docker.errors import Invalid, Unsupported
from mini_docker.libcontainer.seccomp.compiler import compile_profile
from mini_docker.libcontainer.seccomp.profile import (
    Action,
    Architecture,
    Comparison,
    Condition,
    Operator,
    Rule,
    default_profile,
    load_flags,
    parse_profile,
)
from mini_docker.libcontainer.seccomp.syscall_table import syscall_numbers


def test_docker_form() -> None:
    """Every field of Docker's form arrives."""
    profile = parse_profile(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
            "syscalls": [
                {
                    "names": ["clone"],
                    "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 1, "value": 7, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
                    "comment": "ignored",
                    "includes": {"caps": ["CAP_SYS_ADMIN"], "minKernel": "4.8"},
                    "excludes": {"arches": ["s390x"]},
                }
            ],
        }
    )
    assert profile.default_action is Action.ERRNO
    assert profile.default_errno == 38
    assert profile.sub_architectures == {Architecture.X86_64: (Architecture.X86,)}
    assert profile.rules == (
        Rule(
            names=("clone",),
            action=Action.ALLOW,
            comparisons=(Comparison(1, Operator.MASKED_EQ, 7, 3),),
            includes=Condition(capabilities=("CAP_SYS_ADMIN",), minimum_kernel=(4, 8)),
            excludes=Condition(architectures=("s390x",)),
        ),
    )


def test_oci_form() -> None:
    """The OCI form has a flat list of architectures, flags, and no conditions."""
    profile = parse_profile(
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
        }
    )
    assert profile.architectures == (Architecture.X86_64, Architecture.X32)
    assert load_flags(profile) == 2
    assert profile.rules[0].errno == 1


def test_the_old_form_with_a_single_name() -> None:
    """Profiles from before Docker 1.13 name one call a rule; people still have them."""
    profile = parse_profile(
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "chmod", "action": "SCMP_ACT_ERRNO", "args": None}]}
    )
    assert profile.rules[0].names == ("chmod",)


RULE: dict[str, Any] = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({}, r"defaultAction: None is not one of SCMP_ACT_KILL"),
    ({"defaultAction": "ALLOW"}, r"defaultAction: 'ALLOW' is not one of"),
    ({"defaultErrnoRet": -1}, r"defaultErrnoRet: -1 is not a number from 0 to 4095"),
    ({"syscalls": {}}, r"syscalls: expected a list, got dict"),
    ({"syscalls": ["read"]}, r"syscalls\[0\]: expected an object, got str"),
    ({"syscalls": [{"action": "SCMP_ACT_ALLOW"}]}, r"syscalls\[0\]: names no system call"),
    ({"syscalls": [RULE | {"names": [1]}]}, r"syscalls\[0\].names: expected a list of strings, got 1"),
    ({"syscalls": [RULE | {"name": "x"}]}, r"'name' and 'names' were specified in the seccomp profile"),
    ({"syscalls": [RULE | {"args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}]}, r"args\[0\].index: 6 is not a number"),
    ({"syscalls": [RULE | {"args": [{"index": 0, "value": 1.5}]}]}, r"args\[0\].op: None is not one of|value: 1.5"),
    ({"syscalls": [RULE | {"args": [{"op": "SCMP_CMP_EQ", "value": 2**64}]}]}, r"value: 18446744073709551616 is not"),
    ({"syscalls": [RULE | {"includes": {"minKernel": "four"}}]}, r"includes.minKernel: 'four' is not a version"),
    ({"architectures": ["SCMP_ARCH_VAX"]}, r"architectures\[0\]: 'SCMP_ARCH_VAX' is not one of"),
    ({"flags": ["SECCOMP_FILTER_FLAG_SING"]}, r"flags: 'SECCOMP_FILTER_FLAG_SING' is not one of"),
    (
        {"architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86"}]},
        r"use either 'architectures' or 'archMap'",
    ),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_broken_profiles_name_the_field(change: dict[str, Any], message: str) -> None:
    """A profile is a file of the user's: the error must say where in it to look."""
    data = ({"defaultAction": "SCMP_ACT_ALLOW"} if change else {}) | change
    with pytest.raises(Invalid, match=message):
        parse_profile(data)


def test_what_cannot_be_compiled_is_unsupported() -> None:
    """A listener and other machines are refused by kind, not compiled into something else."""
    with pytest.raises(Unsupported, match="SCMP_ACT_NOTIFY needs a listener"):
        compile_profile({"defaultAction": "SCMP_ACT_NOTIFY"}, (), "x86_64", (6, 1))
    with pytest.raises(Unsupported, match="not for 'riscv64'"):
        compile_profile({"defaultAction": "SCMP_ACT_ALLOW"}, (), "riscv64", (6, 1))


def test_default_profile_is_sound() -> None:
    """It decodes, denies by default, and no call that a machine has is listed under a misspelt name."""
    profile = parse_profile(default_profile())
    assert profile.default_action is Action.ERRNO
    known = set().union(*(syscall_numbers(arch) for arch in ("x86_64", "x86", "aarch64", "arm")))
    ours = {name for rule in profile.rules if not rule.includes.architectures for name in rule.names}
    assert ours <= known


def test_syscall_table_agrees_with_this_machines_headers() -> None:
    """The table is data written once; where the C library's headers are installed they must say the same."""
    path = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
    try:
        with open(path, encoding="ascii") as file:
            lines = [line.split() for line in file if line.startswith("#define __NR_")]
    except FileNotFoundError:
        pytest.skip(f"no {path}: the kernel headers for x86_64 are not installed")
    numbers = syscall_numbers("x86_64")
    assert {word[1].removeprefix("__NR_"): int(word[2]) for word in lines}.items() <= numbers.items()
    assert len(set(numbers.values())) == len(numbers)
