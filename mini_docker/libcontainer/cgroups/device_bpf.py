"""v2's doorman for devices: the access list, compiled to an eBPF program.

On v1 the kernel keeps a list that `devices.allow` and `devices.deny` change line by line; on v2 it asks a
program. Ours asks the rules from the last to the first, so that for each of read, write and mknod the last
rule that speaks of it decides, as it would on v1. Pure: nothing is loaded here.

Source: linux/bpf.h (struct bpf_cgroup_dev_ctx); the kernel's Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import DeviceRule

_MKNOD, _READ, _WRITE = 1, 2, 4
_ACCESS = {"m": _MKNOD, "r": _READ, "w": _WRITE}
_KINDS = {"b": 1, "c": 2}

_R0, _CONTEXT, _WANTED, _KIND, _MAJOR, _MINOR, _SCRATCH = 0, 1, 2, 3, 4, 5, 6

_Instruction = tuple[int, int, int, int, int]  # code, destination, source, offset, immediate


def compile_device_rules(rules: Sequence[DeviceRule]) -> bytes:
    """Compile the rules, in the order in which they were given; what no rule speaks of is allowed, as on v1.

    Returns:
        an array of ``struct bpf_insn``, for `Kernel.guard_devices`.

    Raises:
        Invalid: a kind other than a, b, c, or an access other than r, w, m.
    """
    code: list[_Instruction] = [
        (0x61, _WANTED, _CONTEXT, 0, 0),  # access << 16 | kind
        (0xBF, _KIND, _WANTED, 0, 0),
        (0x57, _KIND, 0, 0, 0xFFFF),
        (0x77, _WANTED, 0, 0, 16),
        (0x61, _MAJOR, _CONTEXT, 4, 0),
        (0x61, _MINOR, _CONTEXT, 8, 0),
    ]
    for rule in reversed(rules):
        code += _rule(rule)
        if is_catch_all(rule):
            break  # nothing before it can matter
    else:
        code += _answer(1)
    return b"".join(
        struct.pack("<BBhi", operation, source << 4 | destination, offset, immediate)
        for operation, destination, source, offset, immediate in code
    )


def allows_everything(rules: Iterable[DeviceRule]) -> bool:
    """Whether the rules amount to no guard at all: each of them allows."""
    return all(rule.allow for rule in rules)


def is_catch_all(rule: DeviceRule) -> bool:
    """Whether the rule speaks of every use of every device."""
    return rule.kind == "a" and rule.major < 0 and rule.minor < 0 and _access(rule) == _MKNOD | _READ | _WRITE


def _rule(rule: DeviceRule) -> list[_Instruction]:
    access = _access(rule)
    if is_catch_all(rule):
        return _answer(int(rule.allow))
    if rule.allow:
        body = [
            (0x57, _WANTED, 0, 0, ~access),  # what this rule grants needs no further asking
            (0x55, _WANTED, 0, 2, 0),
            *_answer(1),
        ]
    else:
        body = [
            (0xBF, _SCRATCH, _WANTED, 0, 0),
            (0x57, _SCRATCH, 0, 0, access),
            (0x15, _SCRATCH, 0, 2, 0),
            *_answer(0),
        ]
    tests = []
    if rule.kind != "a":
        if rule.kind not in _KINDS:
            raise Invalid(f"device rule: kind {rule.kind!r} is not one of a, b, c")
        tests.append((_KIND, _KINDS[rule.kind]))
    if rule.major >= 0:
        tests.append((_MAJOR, rule.major))
    if rule.minor >= 0:
        tests.append((_MINOR, rule.minor))
    # Each test, when it fails, jumps over what is left of this rule.
    return [
        (0x55, register, 0, len(tests) - 1 - index + len(body), value) for index, (register, value) in enumerate(tests)
    ] + body


def _answer(value: int) -> list[_Instruction]:
    return [(0xB7, _R0, 0, 0, value), (0x95, 0, 0, 0, 0)]


def _access(rule: DeviceRule) -> int:
    bits = 0
    for letter in rule.access:
        if letter not in _ACCESS:
            raise Invalid(f"device rule: access {rule.access!r} has letters other than r, w, m")
        bits |= _ACCESS[letter]
    return bits
