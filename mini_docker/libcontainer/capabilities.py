"""Capabilities: root's power, cut into pieces, and which pieces a container's processes hold.

Names, bits and the rules by which Docker's ``--cap-add`` and ``--cap-drop`` change the default
set. Pure: it knows nothing of processes; the init half applies the sets through the `Kernel` door.

Source: capabilities(7), linux/capability.h; Docker's ``oci/caps``.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence

from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import Capabilities

CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""Every capability; a name's place is its number, and so its bit in a mask."""

LAST_CAP = len(CAPABILITIES) - 1
"""The youngest capability that mini_docker knows; an older kernel says less in /proc/sys/kernel/cap_last_cap."""

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip
"""The fourteen that Docker leaves a container: mask 00000000a80425fb in /proc/PID/status."""

ALL = "ALL"
_NUMBERS = {name: place for place, name in enumerate(CAPABILITIES)}


def number(name: str) -> int:
    """The number of a ``CAP_…`` name.

    Raises:
        Invalid: there is no such capability.
    """
    try:
        return _NUMBERS[name]
    except KeyError:
        raise Invalid(f'unknown capability: "{name}"') from None


def mask(names: Iterable[str]) -> int:
    """The names as a bit mask, as capset(2) and /proc/PID/status have it.

    Raises:
        Invalid: there is no such capability.
    """
    return functools.reduce(operator.or_, (1 << number(name) for name in names), 0)


def names(bits: int) -> tuple[str, ...]:
    """The names of the bits in a mask, by number; bits without a name are left out."""
    return tuple(name for place, name in enumerate(CAPABILITIES) if bits >> place & 1)


def permitted_capabilities(status: str) -> tuple[str, ...]:
    """What a process may hand on, from the text of its /proc/PID/status: some machines withhold a few even from root.

    Raises:
        Invalid: the text has no such line.
    """
    for line in status.splitlines():
        if line.startswith("CapPrm:"):
            return names(int(line.split()[1], 16))
    raise Invalid("the process's status does not list its capabilities")


def all_capabilities(last_cap: int = LAST_CAP) -> tuple[str, ...]:
    """Every capability of a kernel whose youngest has the number *last_cap*."""
    return CAPABILITIES[: last_cap + 1]


def normalize_capabilities(words: Iterable[str]) -> tuple[str, ...]:
    """What users write (``net_admin``, ``CAP_NET_ADMIN``, ``all``) as ``CAP_…`` names or ``ALL``.

    Raises:
        Invalid: there is no such capability; the text is Docker's.
    """
    normal: list[str] = []
    for word in words:
        name = word.upper()
        if name != ALL:
            name = name if name.startswith("CAP_") else f"CAP_{name}"
            number(name)
        if name not in normal:
            normal.append(name)
    return tuple(normal)


def apply_adjustments(
    add: Sequence[str] = (),
    drop: Sequence[str] = (),
    privileged: bool = False,
    default: Sequence[str] = DEFAULT_CAPABILITIES,
    last_cap: int = LAST_CAP,
) -> tuple[str, ...]:
    """What a container may have after ``--cap-add`` and ``--cap-drop``.

    As in Docker, a capability named in both is added, unless all are added: then what is dropped by
    name stays dropped. What this kernel does not have is left out.

    Args:
        privileged: all of them, whatever else is said.
        last_cap: the youngest capability of this kernel.

    Raises:
        Invalid: an unknown name; the text is Docker's, ``invalid CapAdd: unknown capability: "CAP_X"``.
    """
    adds = _normalize_option("CapAdd", add)
    drops = _normalize_option("CapDrop", drop)
    existing = all_capabilities(last_cap)
    if privileged:
        return existing
    if ALL in adds:
        return tuple(name for name in existing if name not in drops)
    kept = () if ALL in drops else tuple(name for name in default if name not in drops)
    return tuple(name for name in dict.fromkeys((*kept, *adds)) if name in existing)


def _normalize_option(option: str, words: Sequence[str]) -> tuple[str, ...]:
    try:
        return normalize_capabilities(words)
    except Invalid as error:
        raise Invalid(f"invalid {option}: {error}") from None


def plan_capability_sets(capabilities: tuple[str, ...], root: bool) -> Capabilities:
    """The five sets of a container's process.

    Root holds them all at once. Another user holds none, but the bounding set stays: a set-user-id
    program, or a file with capabilities, may still give them back, as in Docker. Nothing is
    inheritable: Docker's inheritable set was CVE-2022-24769.

    Args:
        root: whether the process runs as user 0 of the container.
    """
    held = capabilities if root else ()
    return Capabilities(bounding=capabilities, effective=held, permitted=held)
