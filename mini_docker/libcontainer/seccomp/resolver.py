"""Narrows a profile to one container on one machine: who asks, and by which door he came.

A profile speaks in names and conditions; what leaves here are numbers and verdicts, one table for
each architecture that this kernel runs. It knows nothing of BPF's jumps.

How rules combine (libseccomp's and runc's reading):

* The first rule whose comparisons all hold decides; none, the default action.
* Two comparisons of *one* argument in a rule are alternatives: runc splits such a rule.
* Names that the architecture does not have are left out.
* A call younger than every call that the profile names answers ENOSYS, not EPERM, where the
  default would deny it: the C library then falls back to an older one (runc since 1.0).

Source: Docker's ``profiles/seccomp/seccomp_linux.go``, runc's ``libcontainer/seccomp``.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Unsupported
from mini_docker.libcontainer.seccomp.profile import Action, Architecture, Comparison, Condition, Profile, Rule
from mini_docker.libcontainer.seccomp.syscall_table import syscall_numbers

# linux/seccomp.h: the verdict in the upper half, its data in the lower.
RET_KILL_PROCESS = 0x80000000
RET_KILL_THREAD = 0x00000000
RET_TRAP = 0x00030000
RET_ERRNO = 0x00050000
RET_TRACE = 0x7FF00000
RET_LOG = 0x7FFC0000
RET_ALLOW = 0x7FFF0000

_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
_NATIVE = {"x86_64": Architecture.X86_64, "aarch64": Architecture.AARCH64}
_COMPATIBLE = {"x86_64": {Architecture.X86: "x86"}, "aarch64": {Architecture.ARM: "arm"}}

X32_SYSCALL_BIT = 0x40000000
"""x32 programs call under x86_64's audit number, with this bit set."""

_ARM_PRIVATE = 0x0F0000  # breakpoint, cacheflush, set_tls: not part of the growing table


@dataclass(frozen=True, slots=True)
class Clause:
    """A verdict, and what must hold for it: all of the comparisons."""

    comparisons: tuple[Comparison, ...]
    verdict: int


@dataclass(frozen=True, slots=True)
class ArchitectureFilter:
    """The filter for one architecture.

    Attributes:
        architecture: ``x86_64``, ``x86``, ``aarch64`` or ``arm``.
        clauses: by system call number; the first that holds decides.
        default: the verdict when none does.
        beyond: the verdict for numbers from *horizon* on that have no clauses.
    """

    architecture: str
    clauses: Mapping[int, tuple[Clause, ...]]
    default: int
    horizon: int
    beyond: int


def resolve(
    profile: Profile, capabilities: tuple[str, ...], architecture: str, kernel: tuple[int, int]
) -> tuple[ArchitectureFilter, ...]:
    """The profile for a container with these capabilities, the native architecture first.

    Args:
        capabilities: ``CAP_…`` names of the container (its bounding set).
        architecture: of the machine, as `platform.machine` has it: ``x86_64`` or ``aarch64``.
        kernel: its version, (major, minor).

    Raises:
        Unsupported: another machine, or an action that needs a listener (SCMP_ACT_NOTIFY).
    """
    if architecture not in _NATIVE:
        raise Unsupported(f"seccomp profiles are compiled for x86_64 and aarch64, not for {architecture!r}")
    native = _NATIVE[architecture]
    allowed = profile.architectures + (profile.sub_architectures or {}).get(native, ())
    also = [name for compatible, name in _COMPATIBLE[architecture].items() if compatible in allowed]
    rules = [rule for rule in profile.rules if _applies(rule, capabilities, _GO_NAMES[architecture], kernel)]
    return tuple(_filter_for(name, profile, rules) for name in (architecture, *also))


def _applies(rule: Rule, capabilities: tuple[str, ...], go_name: str, kernel: tuple[int, int]) -> bool:
    def capable(condition: Condition) -> list[bool]:
        return [name in capabilities for name in condition.capabilities]

    includes, excludes = rule.includes, rule.excludes
    if any(capable(excludes)) or go_name in excludes.architectures:
        return False
    if excludes.minimum_kernel is not None and kernel >= excludes.minimum_kernel:
        return False
    if includes.architectures and go_name not in includes.architectures:
        return False
    if includes.minimum_kernel is not None and kernel < includes.minimum_kernel:
        return False
    return all(capable(includes))


def _filter_for(architecture: str, profile: Profile, rules: list[Rule]) -> ArchitectureFilter:
    numbers = syscall_numbers(architecture)
    clauses: dict[int, tuple[Clause, ...]] = {}
    for rule in rules:
        added = _clauses(rule)
        for name in rule.names:
            if name in numbers:
                number = numbers[name]
                clauses[number] = clauses.get(number, ()) + added
    default = verdict(profile.default_action, profile.default_errno)
    newest = max((number for number in clauses if number < _ARM_PRIVATE), default=-1)
    permissive = profile.default_action in (Action.ALLOW, Action.LOG, Action.TRACE)
    beyond = default if permissive or newest < 0 else RET_ERRNO | errno.ENOSYS
    return ArchitectureFilter(architecture, clauses, default, newest + 1, beyond)


def _clauses(rule: Rule) -> tuple[Clause, ...]:
    result = verdict(rule.action, rule.errno)
    indexes = [comparison.index for comparison in rule.comparisons]
    if len(set(indexes)) < len(indexes):
        return tuple(Clause((comparison,), result) for comparison in rule.comparisons)
    return (Clause(rule.comparisons, result),)


def verdict(action: Action, number: int | None) -> int:
    """What a BPF program returns for an action.

    Args:
        number: the errno for ERRNO, the message for TRACE; None means EPERM.

    Raises:
        Unsupported: SCMP_ACT_NOTIFY.
    """
    data = errno.EPERM if number is None else number
    match action:
        case Action.ALLOW:
            return RET_ALLOW
        case Action.ERRNO:
            return RET_ERRNO | data
        case Action.TRACE:
            return RET_TRACE | data
        case Action.TRAP:
            return RET_TRAP
        case Action.LOG:
            return RET_LOG
        case Action.KILL | Action.KILL_THREAD:
            return RET_KILL_THREAD
        case Action.KILL_PROCESS:
            return RET_KILL_PROCESS
        case Action.NOTIFY:
            raise Unsupported("seccomp action SCMP_ACT_NOTIFY needs a listener, which mini_docker does not have")
