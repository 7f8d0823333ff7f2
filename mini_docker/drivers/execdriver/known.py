"""Exec drivers that are known and not available, each with its reason.

In 2014 Docker 0.9 promised a driver for each of these and never kept it; the contract leaves room for them. They
are names with reasons, so that ``info`` can say "known, but" and not just "unknown".
"""

from __future__ import annotations

from collections.abc import Iterable

from mini_docker.dataclasses import dataclass, fields
from mini_docker.drivers.execdriver.contract import ExecDriver, Walls


@dataclass(frozen=True, slots=True)
class KnownDriver:
    """A driver that might be.

    Attributes:
        reason: why it is not available, in one sentence.
    """

    name: str
    reason: str


KNOWN_DRIVERS = (
    KnownDriver("openvz", "needs an OpenVZ kernel, a fork of Linux 2.6.32 and 3.10 with containers of its own"),
    KnownDriver("bsd-jails", "jail(2) is a system call of FreeBSD, and this is Linux"),
    KnownDriver("solaris-zones", "zones belong to the kernels of Solaris and illumos, and this is Linux"),
    KnownDriver("libvirt-sandbox", "the project ended in 2020, and Debian 12 has no package of it"),
    KnownDriver("systemd-nspawn", "comes later: it needs a running systemd to register its machines with"),
    KnownDriver("qemu", "comes later: a container as a small virtual machine needs a kernel of its own to boot"),
    KnownDriver("libvirt-lxc", "comes later: it needs a running libvirtd"),
)


def walls_table(drivers: Iterable[ExecDriver]) -> list[list[str]]:
    """Which wall each driver has: a title row, then a row a wall, ``yes`` or ``-`` for each driver.

    The docs and ``info`` print it; it is made from the contract, so that no wall can be forgotten.
    """
    drivers = list(drivers)
    title = ["wall", *(driver.name for driver in drivers)]
    rows = [
        [wall.name, *("yes" if getattr(driver.walls(), wall.name) else "-" for driver in drivers)]
        for wall in fields(Walls)
    ]
    return [title, *rows]


def missing_walls(walls: Walls) -> tuple[str, ...]:
    """The names of the walls that are not there."""
    return tuple(wall.name for wall in fields(walls) if not getattr(walls, wall.name))
