"""Giving up power, in the one order that works: a plan, and the thin hand that carries it out.

The order, and why: the bounding set shrinks while CAP_SETPCAP is still held; groups change while
CAP_SETGID is; the user changes last of the three and takes most capabilities along; the sets are
then made exact. The system call filter needs CAP_SYS_ADMIN to be loaded, *unless* no_new_privs is
set: with it the filter is loaded last, so that it sees as few calls of ours as can be; without
it, first.

It knows what a process shall be able to do, and nothing of why.
Source: capabilities(7), seccomp(2), prctl(2).
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress

from mini_docker.dataclasses import dataclass, replace
from mini_docker.errors import Invalid
from mini_docker.libcontainer.capabilities import mask, number
from mini_docker.libcontainer.config import ProcessSpec, Rlimit
from mini_docker.libcontainer.users import Identity
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

RLIMITS = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
"""Names of limits and their numbers; those of 32-bit systems' oddities included, harmlessly."""


@dataclass(frozen=True, slots=True)
class PrivilegePlan:
    """All that a process gives up before it executes the command.

    Attributes:
        bounding: numbers of the capabilities that stay possible at all.
        effective, permitted, inheritable: bit masks.
        ambient: numbers.
        seccomp: a BPF program; empty for none.
    """

    identity: Identity
    bounding: frozenset[int]
    effective: int
    permitted: int
    inheritable: int
    ambient: tuple[int, ...]
    no_new_privileges: bool
    seccomp: bytes
    rlimits: tuple[Rlimit, ...]


def plan(process: ProcessSpec, identity: Identity, seccomp: bytes) -> PrivilegePlan:
    """What *process* gives up, once its user is known.

    Raises:
        Invalid: an unknown capability or limit.
    """
    sets = process.capabilities
    ambient = tuple(number(name) for name in sets.ambient)
    effective, permitted = mask(sets.effective), mask(sets.permitted)
    if not process.keep_capabilities:
        if identity.uid != 0:
            effective = permitted = mask(sets.ambient)
        # Else a program that changes its group, as a setgid one does, could lose the group that a file's mode shuts
        # out, and walk in with "others" (CVE-2022-36109).
        identity = replace(identity, groups=tuple(dict.fromkeys((identity.gid, *identity.groups))))
    for limit in process.rlimits:
        if limit.kind not in RLIMITS:
            raise Invalid(f"unknown resource limit {limit.kind!r}")
        if limit.soft > limit.hard >= 0:
            raise Invalid(f"{limit.kind}: the soft limit {limit.soft} is above the hard limit {limit.hard}")
    return PrivilegePlan(
        identity=identity,
        bounding=bounding_set(process),
        effective=effective,
        permitted=permitted,
        inheritable=mask(sets.inheritable),
        ambient=ambient,
        no_new_privileges=process.no_new_privileges,
        seccomp=seccomp,
        rlimits=process.rlimits,
    )


def bounding_set(process: ProcessSpec) -> frozenset[int]:
    """Numbers of the capabilities that stay possible at all for *process*.

    Raises:
        Invalid: an unknown capability.
    """
    return frozenset(number(name) for name in process.capabilities.bounding)


def cut_to_attainable(plan: PrivilegePlan, may_raise: bool) -> tuple[PrivilegePlan, tuple[str, ...]]:
    """The plan with its limits cut down to what this process may have, and a sentence for each cut.

    Args:
        may_raise: whether it has CAP_SYS_RESOURCE, which some machines withhold even from root.
    """
    granted, warnings = [], []
    for limit in plan.rlimits:
        _, ceiling = resource.getrlimit(RLIMITS[limit.kind])
        soft, hard = _amount(limit.soft), _amount(limit.hard)
        if may_raise or ceiling == resource.RLIM_INFINITY or resource.RLIM_INFINITY != hard <= ceiling:
            granted.append(limit)
            continue
        granted.append(Rlimit(limit.kind, ceiling if soft == resource.RLIM_INFINITY else min(soft, ceiling), ceiling))
        warnings.append(f"{limit.kind} is {ceiling}, not {limit.hard}: CAP_SYS_RESOURCE is missing on this machine")
    return replace(plan, rlimits=tuple(granted)), tuple(warnings)


def shrink_bounding_set(kernel: Kernel, kept: frozenset[int], last_capability: int) -> frozenset[int]:
    """Drop from this process's bounding set all that is not *kept*; returns the numbers of what is dropped.

    Nothing is lost yet: the bounding set limits what can be had by the next exec (capabilities(7)).
    """
    dropped = frozenset(range(last_capability + 1)) - kept
    for capability in sorted(dropped):
        kernel.prctl(c.PR_CAPBSET_DROP, capability)
    return dropped


def drop(kernel: Kernel, plan: PrivilegePlan, last_capability: int, dropped: frozenset[int] = frozenset()) -> None:
    """Carry the plan out, in this process, for good.

    Args:
        dropped: what `shrink_bounding_set` has dropped before.
    """
    for limit in plan.rlimits:
        resource.setrlimit(RLIMITS[limit.kind], (_amount(limit.soft), _amount(limit.hard)))
    if plan.seccomp and not plan.no_new_privileges:
        kernel.seccomp(plan.seccomp)
    shrink_bounding_set(kernel, plan.bounding | dropped, last_capability)  # what is dropped need not be again
    identity = plan.identity
    kernel.setgroups(identity.groups)
    kernel.setresgid(identity.gid)
    if identity.uid:
        kernel.prctl(c.PR_SET_KEEPCAPS, 1)
        kernel.setresuid(identity.uid)
        kernel.prctl(c.PR_SET_KEEPCAPS, 0)
    kernel.capset(plan.effective, plan.permitted, plan.inheritable)
    for capability in plan.ambient:
        kernel.prctl(c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_RAISE, capability)
    if plan.no_new_privileges:
        kernel.prctl(c.PR_SET_NO_NEW_PRIVS, 1)
        if plan.seccomp:
            kernel.seccomp(plan.seccomp)


def grant(kernel: Kernel, pid: int, process: ProcessSpec) -> None:
    """Give a newborn in a user namespace what only the host's root can give: higher limits, an OOM score.

    The parent does so; what it cannot give either, the newborn finds missing and warns of.
    """
    if process.oom_score_adj is not None:
        with suppress(SyscallError):
            kernel.write_file(f"/proc/{pid}/oom_score_adj", str(process.oom_score_adj))
    for limit in process.rlimits:
        with suppress(KeyError, ValueError, OSError):
            resource.prlimit(pid, RLIMITS[limit.kind], (_amount(limit.soft), _amount(limit.hard)))


def confine(kernel: Kernel, process: ProcessSpec) -> tuple[str, ...]:
    """Set what goes through /proc/self: label, profile, OOM score. Returns warnings.

    The AppArmor profile and SELinux label take hold at the exec.
    """
    warnings: list[str] = []
    if process.oom_score_adj is not None and _oom_score_adj(kernel) != process.oom_score_adj:
        try:
            kernel.write_file("/proc/self/oom_score_adj", str(process.oom_score_adj))
        except SyscallError:
            warnings.append(f"oom_score_adj {process.oom_score_adj} needs CAP_SYS_RESOURCE, missing on this machine")
    if process.apparmor_profile:
        new_file = "/proc/self/attr/apparmor/exec"
        path = new_file if os.path.exists(new_file) else "/proc/self/attr/exec"
        kernel.write_file(path, f"exec {process.apparmor_profile}")
    if process.selinux_label:
        kernel.write_file("/proc/self/attr/exec", process.selinux_label)
    return tuple(warnings)


def _oom_score_adj(kernel: Kernel) -> int | None:
    try:
        return int(kernel.read_file("/proc/self/oom_score_adj"))
    except (SyscallError, OSError, ValueError):
        return None  # this container has no such file


def _amount(value: int) -> int:
    return resource.RLIM_INFINITY if value < 0 or value >= 2**63 else value
