"""Two independent readings for the seccomp tests: a BPF machine, and a profile taken word by word."""

from __future__ import annotations

import struct
from typing import Any

AUDIT_ARCH = {"x86_64": 0xC000003E, "x86": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
FAMILY = {
    "x86_64": ("SCMP_ARCH_X86_64", {"x86": "SCMP_ARCH_X86"}),
    "aarch64": ("SCMP_ARCH_AARCH64", {"arm": "SCMP_ARCH_ARM"}),
}
ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000
EPERM, ENOSYS = ERRNO | 1, ERRNO | 38


def interpret(program: bytes, number: int, arch: int, args: tuple[int, ...] = ()) -> tuple[int, int]:
    """Run classic BPF over a struct seccomp_data; returns (verdict, instructions executed).

    It also checks what the kernel's verifier checks: every jump lands inside the program.
    """
    args = (*args, *(0,) * (6 - len(args)))
    data = struct.pack("<IIQ6Q", number, arch, 0, *args)
    code = list(struct.iter_unpack("<HBBI", program))
    position, accumulator, steps = 0, 0, 0
    while True:
        operation, yes, no, operand = code[position]
        position, steps = position + 1, steps + 1
        if operation == 0x20:
            assert operand % 4 == 0
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x05:
            position += operand
        elif operation in (0x15, 0x25, 0x35):
            holds = {0x15: accumulator == operand, 0x25: accumulator > operand, 0x35: accumulator >= operand}[operation]
            position += yes if holds else no
        elif operation == 0x06:
            return operand, steps
        else:
            raise AssertionError(f"no such instruction: {operation:#x}")


def _verdict(action: str, number: int | None) -> int:
    data = 1 if number is None else number
    return {
        "SCMP_ACT_ALLOW": ALLOW,
        "SCMP_ACT_ERRNO": ERRNO | data,
        "SCMP_ACT_TRACE": 0x7FF00000 | data,
        "SCMP_ACT_TRAP": 0x00030000,
        "SCMP_ACT_LOG": 0x7FFC0000,
        "SCMP_ACT_KILL": 0,
        "SCMP_ACT_KILL_THREAD": 0,
        "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    }[action]


def _holds(comparison: dict[str, Any], args: tuple[int, ...]) -> bool:
    value, other = args[comparison["index"]], comparison.get("value", 0)
    return {
        "SCMP_CMP_EQ": value == other,
        "SCMP_CMP_NE": value != other,
        "SCMP_CMP_LT": value < other,
        "SCMP_CMP_LE": value <= other,
        "SCMP_CMP_GT": value > other,
        "SCMP_CMP_GE": value >= other,
        "SCMP_CMP_MASKED_EQ": value & other == comparison.get("valueTwo", 0),
    }[comparison["op"]]


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def _applies(rule: dict[str, Any], caps: tuple[str, ...], machine: str, kernel: tuple[int, int]) -> bool:
    includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
    go = GO_NAMES[machine]
    return (
        all(cap in caps for cap in includes.get("caps", ()))
        and go in includes.get("arches", (go,))
        and kernel >= _version(includes.get("minKernel", "0.0"))
        and not any(cap in caps for cap in excludes.get("caps", ()))
        and go not in excludes.get("arches", ())
        and not ("minKernel" in excludes and kernel >= _version(excludes["minKernel"]))
    )


class Reference:
    """What a profile says of each call on a machine, found by reading it from top to bottom."""

    def __init__(
        self, profile: dict[str, Any], caps: tuple[str, ...], machine: str, kernel: tuple[int, int],
        tables: dict[str, dict[str, int]],
    ) -> None:  # fmt: skip
        self._profile = profile
        self._rules = [rule for rule in profile.get("syscalls", ()) if _applies(rule, caps, machine, kernel)]
        self._names = {arch: {number: name for name, number in table.items()} for arch, table in tables.items()}
        native, others = FAMILY[machine]
        listed = list(profile.get("architectures", ()))
        for entry in profile.get("archMap", ()):
            if entry["architecture"] == native:
                listed += entry["subArchitectures"]
        self.architectures = [machine] + [arch for arch, word in others.items() if word in listed]
        self._newest = {
            arch: max(
                (
                    tables[arch][n]
                    for rule in self._rules
                    for n in rule["names"]
                    if tables[arch].get(n, 1 << 20) < 0xF0000
                ),
                default=None,
            )
            for arch in self.architectures
        }

    def evaluate(self, arch: str, number: int, args: tuple[int, ...]) -> int:
        """The verdict for one call."""
        if arch not in self.architectures:
            return KILL_PROCESS
        if arch == "x86_64" and number >= 0x40000000:
            return ENOSYS
        name = self._names[arch].get(number)
        named = [rule for rule in self._rules if name in rule["names"]]
        for rule in named:
            comparisons = rule.get("args", [])
            indexes = [comparison["index"] for comparison in comparisons]
            combine = any if len(set(indexes)) < len(indexes) else all
            if combine(_holds(comparison, args) for comparison in comparisons):
                return _verdict(rule["action"], rule.get("errnoRet"))
        default, newest = self._profile["defaultAction"], self._newest[arch]
        permissive = default in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
        if not named and newest is not None and number > newest and not permissive:
            return ENOSYS
        return _verdict(default, self._profile.get("defaultErrnoRet"))
