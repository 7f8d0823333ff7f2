"""A seccomp profile: the list that the doorman goes by, as it was written down.

It decodes both forms in use, Docker's (``archMap``, ``includes``, ``excludes``) and the OCI runtime
configuration's (``architectures``), into frozen values. It knows nothing of system call numbers,
of the machine or of BPF.

Source: Docker's ``profiles/seccomp``; OCI runtime specification 1.2, config-linux.md, "Seccomp".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, TypeVar

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid
from mini_docker.libcontainer.seccomp.data_file import data_file


class Action(enum.Enum):
    """What happens to a call; the values are the words of the JSON form."""

    KILL = "SCMP_ACT_KILL"
    KILL_THREAD = "SCMP_ACT_KILL_THREAD"
    KILL_PROCESS = "SCMP_ACT_KILL_PROCESS"
    TRAP = "SCMP_ACT_TRAP"
    ERRNO = "SCMP_ACT_ERRNO"
    TRACE = "SCMP_ACT_TRACE"
    ALLOW = "SCMP_ACT_ALLOW"
    LOG = "SCMP_ACT_LOG"
    NOTIFY = "SCMP_ACT_NOTIFY"


class Operator(enum.Enum):
    """How an argument is compared, always as an unsigned 64-bit number."""

    NE = "SCMP_CMP_NE"
    LT = "SCMP_CMP_LT"
    LE = "SCMP_CMP_LE"
    EQ = "SCMP_CMP_EQ"
    GE = "SCMP_CMP_GE"
    GT = "SCMP_CMP_GT"
    MASKED_EQ = "SCMP_CMP_MASKED_EQ"


class Architecture(enum.Enum):
    """The architectures that a profile may name; the filter is compiled for those that the machine runs."""

    X86 = "SCMP_ARCH_X86"
    X86_64 = "SCMP_ARCH_X86_64"
    X32 = "SCMP_ARCH_X32"
    ARM = "SCMP_ARCH_ARM"
    AARCH64 = "SCMP_ARCH_AARCH64"
    MIPS = "SCMP_ARCH_MIPS"
    MIPS64 = "SCMP_ARCH_MIPS64"
    MIPS64N32 = "SCMP_ARCH_MIPS64N32"
    MIPSEL = "SCMP_ARCH_MIPSEL"
    MIPSEL64 = "SCMP_ARCH_MIPSEL64"
    MIPSEL64N32 = "SCMP_ARCH_MIPSEL64N32"
    PPC = "SCMP_ARCH_PPC"
    PPC64 = "SCMP_ARCH_PPC64"
    PPC64LE = "SCMP_ARCH_PPC64LE"
    S390 = "SCMP_ARCH_S390"
    S390X = "SCMP_ARCH_S390X"
    PARISC = "SCMP_ARCH_PARISC"
    PARISC64 = "SCMP_ARCH_PARISC64"
    RISCV64 = "SCMP_ARCH_RISCV64"
    LOONGARCH64 = "SCMP_ARCH_LOONGARCH64"
    M68K = "SCMP_ARCH_M68K"
    SH = "SCMP_ARCH_SH"
    SHEB = "SCMP_ARCH_SHEB"


FLAGS = (
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
)
"""The flags that the OCI form may ask for; see `load_flags`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition on one argument.

    Attributes:
        index: which argument, 0 to 5.
        value: what it is compared with; for MASKED_EQ the mask.
        value_two: for MASKED_EQ, what must remain under the mask.
    """

    index: int
    operator: Operator
    value: int
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """Docker's ``includes`` or ``excludes``: when a rule applies. Empty fields say nothing.

    Attributes:
        capabilities: ``CAP_…`` names.
        architectures: in Go's words, ``amd64``, ``arm64``.
        minimum_kernel: (major, minor); None for any.
    """

    capabilities: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    minimum_kernel: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to some calls when all comparisons hold.

    Attributes:
        errno: for ERRNO and TRACE; None means EPERM.
    """

    names: tuple[str, ...]
    action: Action
    errno: int | None = None
    comparisons: tuple[Comparison, ...] = ()
    includes: Condition = Condition()
    excludes: Condition = Condition()


@dataclass(frozen=True, slots=True)
class Profile:
    """A whole profile.

    Attributes:
        default_errno: for a default action of ERRNO or TRACE; None means EPERM.
        architectures: those of the flat list.
        sub_architectures: Docker's ``archMap``: a machine's architecture → what else runs on it.
        flags: of `FLAGS`.
    """

    default_action: Action
    default_errno: int | None = None
    architectures: tuple[Architecture, ...] = ()
    sub_architectures: Mapping[Architecture, tuple[Architecture, ...]] | None = None
    rules: tuple[Rule, ...] = ()
    flags: tuple[str, ...] = ()


def default_profile() -> dict[str, Any]:
    """Docker's default profile in Docker's JSON form: deny with EPERM all but what is listed."""
    profile: dict[str, Any] = data_file("default_profile.json")
    return profile


def load_flags(profile: Profile) -> int:
    """What to pass to seccomp(2) beside the program.

    TSYNC is left out: init has one thread when it loads the filter. WAIT_KILLABLE_RECV belongs to
    NOTIFY, which no profile of ours compiles to.

    Source: linux/seccomp.h.
    """
    log, spec_allow = 1 << 1, 1 << 2
    return (log if "SECCOMP_FILTER_FLAG_LOG" in profile.flags else 0) | (
        spec_allow if "SECCOMP_FILTER_FLAG_SPEC_ALLOW" in profile.flags else 0
    )


def parse_profile(data: Mapping[str, Any]) -> Profile:
    """Decode a profile. Unknown fields are ignored, as Docker does: profiles carry comments and news.

    Raises:
        Invalid: a field is missing, of another type, or has a value outside its list; the message names the field.
    """
    architectures = tuple(
        _word(Architecture, name, f"architectures[{index}]")
        for index, name in enumerate(_list(data, "architectures", ""))
    )
    arch_map = _list(data, "archMap", "")
    if architectures and arch_map:
        raise Invalid(
            "'architectures' and 'archMap' were specified in the seccomp profile,"
            " use either 'architectures' or 'archMap'"
        )
    flags = tuple(_list(data, "flags", ""))
    for flag in flags:
        if flag not in FLAGS:
            raise Invalid(f"seccomp profile: flags: {flag!r} is not one of {', '.join(FLAGS)}")
    return Profile(
        default_action=_word(Action, data.get("defaultAction"), "defaultAction"),
        default_errno=_errno(data, "defaultErrnoRet", ""),
        architectures=architectures,
        sub_architectures=dict(_sub_architectures(entry, f"archMap[{i}]") for i, entry in enumerate(arch_map)) or None,
        rules=tuple(_rule(entry, f"syscalls[{index}]") for index, entry in enumerate(_list(data, "syscalls", ""))),
        flags=flags,
    )


def _sub_architectures(data: Any, where: str) -> tuple[Architecture, tuple[Architecture, ...]]:
    entry = _object(data, where)
    architecture = _word(Architecture, entry.get("architecture"), f"{where}.architecture")
    return architecture, tuple(
        _word(Architecture, name, f"{where}.subArchitectures[{index}]")
        for index, name in enumerate(_list(entry, "subArchitectures", where))
    )


def _rule(data: Any, where: str) -> Rule:
    entry = _object(data, where)
    names, name = _strings(entry, "names", where), entry.get("name", "")
    if name and names:
        raise Invalid("'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'")
    if name:  # the form before Docker 1.13
        if not isinstance(name, str):
            raise Invalid(f"seccomp profile: {where}.name: expected a string, got {name!r}")
        names = (name,)
    if not names:
        raise Invalid(f"seccomp profile: {where}: names no system call")
    return Rule(
        names=names,
        action=_word(Action, entry.get("action"), f"{where}.action"),
        errno=_errno(entry, "errnoRet", where),
        comparisons=tuple(
            _comparison(argument, f"{where}.args[{index}]")
            for index, argument in enumerate(_list(entry, "args", where))
        ),
        includes=_condition(entry, "includes", where),
        excludes=_condition(entry, "excludes", where),
    )


def _comparison(data: Any, where: str) -> Comparison:
    entry = _object(data, where)
    return Comparison(
        index=_number(entry, "index", where, 5),
        operator=_word(Operator, entry.get("op"), f"{where}.op"),
        value=_number(entry, "value", where, 2**64 - 1),
        value_two=_number(entry, "valueTwo", where, 2**64 - 1),
    )


def _condition(data: Mapping[str, Any], key: str, where: str) -> Condition:
    where = f"{where}.{key}"
    entry = _object(data.get(key) or {}, where)
    minimum = entry.get("minKernel") or None
    if minimum is not None:
        major, _, minor = minimum.partition(".") if isinstance(minimum, str) else ("", "", "")
        if not (major.isdecimal() and minor.isdecimal()):
            raise Invalid(f"seccomp profile: {where}.minKernel: {minimum!r} is not a version such as '4.8'")
        minimum = (int(major), int(minor))
    return Condition(_strings(entry, "caps", where), _strings(entry, "arches", where), minimum)


def _object(data: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise Invalid(f"seccomp profile: {where}: expected an object, got {type(data).__name__}")
    return data


def _list(data: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Invalid(f"seccomp profile: {_join(where, key)}: expected a list, got {type(value).__name__}")
    return value


def _strings(data: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    values = _list(data, key, where)
    for value in values:
        if not isinstance(value, str):
            raise Invalid(f"seccomp profile: {_join(where, key)}: expected a list of strings, got {value!r} in it")
    return tuple(values)


def _number(data: Mapping[str, Any], key: str, where: str, largest: int) -> int:
    value = data.get(key, 0)
    if type(value) is not int or not 0 <= value <= largest:
        raise Invalid(f"seccomp profile: {_join(where, key)}: {value!r} is not a number from 0 to {largest}")
    return value


def _errno(data: Mapping[str, Any], key: str, where: str) -> int | None:
    # The kernel keeps 16 bits of it, and takes what is above 4095 for 4095.
    return None if data.get(key) is None else _number(data, key, where, 4095)


_Word = TypeVar("_Word", bound=enum.Enum)


def _word(kind: type[_Word], value: Any, where: str) -> _Word:
    try:
        return kind(value)
    except ValueError:
        words = ", ".join(str(member.value) for member in kind)
        raise Invalid(f"seccomp profile: {where}: {value!r} is not one of {words}") from None


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
