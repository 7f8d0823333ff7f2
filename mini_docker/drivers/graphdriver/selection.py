"""Selection: which graph driver a daemon uses, by four rules in order. A decision, and no driver.

``DOCKER_DRIVER`` in the environment, then ``-s``, then the one whose layers are in this root folder already, then the
best that works here. It gets its drivers as a table of names from whoever wires the daemon; it imports none.

Source: Docker's daemon/graphdriver/driver.go (New, GetDriver).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.graphdriver.contract import GraphDriver
from mini_docker.errors import Conflict, Invalid, Unsupported

KNOWN = ("overlay", "btrfs", "devicemapper", "aufs", "vfs")
"""Every name that ``-s`` understands."""
PRIORITY = ("overlay", "btrfs", "vfs")
"""The order in which drivers are tried that nobody asked for. devicemapper and aufs want to be asked for."""
ALIASES = {"overlay2": "overlay"}
"""What Docker calls the driver whose form on disk ours has."""

GraphDriverFactory = Callable[[], GraphDriver]


class Reason(Enum):
    """Why a driver was chosen, as a sentence can end with it."""

    ENVIRONMENT = "DOCKER_DRIVER asks for it"
    FLAG = "-s asks for it"
    USED_BEFORE = "it was used before in this root folder"
    BEST = "it is the best that works here"


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen driver.

    Attributes:
        driver: itself.
        reason: by which rule.
        left_aside: drivers that were used in this root folder too: their images and containers are not seen.
    """

    driver: GraphDriver
    reason: Reason
    left_aside: tuple[str, ...] = ()

    @property
    def warning(self) -> str:
        """A sentence for the log; empty when there is nothing to warn of."""
        if not self.left_aside:
            return ""
        names = ", ".join(self.left_aside)
        return (
            f"this root folder was used with the graph driver {names}: its images and containers are not seen"
            f" with {self.driver.name} (start with -s {self.left_aside[0]} to see them)"
        )


def select_driver(
    factories: Mapping[str, GraphDriverFactory], *, environment: str = "", flag: str = "", used: tuple[str, ...] = ()
) -> Selection:
    """Choose the driver.

    Args:
        factories: what makes each driver of this build, by name.
        environment: the value of ``DOCKER_DRIVER``.
        flag: the value of ``-s``.
        used: the drivers used in the root folder before, as `used_drivers` finds them.

    Raises:
        Invalid: the name asked for is no driver's.
        Unsupported: what was asked for, or used before, cannot work here; or nothing can.
        Conflict: several were used before and none is asked for.
    """
    asked = environment or flag
    if asked:
        name = ALIASES.get(asked, asked)
        reason = Reason.ENVIRONMENT if environment else Reason.FLAG
        return Selection(_made(factories, name, reason), reason, _others(used, name))
    if len(used) > 1:
        raise Conflict(
            f"this root folder contains several graphdrivers: {', '.join(used)};"
            " please clean up or explicitly choose a storage driver (-s DRIVER)"
        )
    if used:
        return Selection(_made(factories, used[0], Reason.USED_BEFORE), Reason.USED_BEFORE)
    reasons: list[str] = []
    for name in PRIORITY:
        if name not in factories:
            continue
        try:
            driver = factories[name]()
        except Invalid as error:
            if not reasons:
                raise
            # The options may be meant for a better one that cannot work: then its reason is what the user must see.
            reasons.append(f"{name}: {error}")
            continue
        if available := driver.available():
            return Selection(driver, Reason.BEST)
        reasons.append(f"{name}: {available.reason}")
    raise Unsupported(f"no supported storage backend found ({'; '.join(reasons) or 'this build has no graph driver'})")


def used_drivers(root_folder: Path) -> tuple[str, ...]:
    """The drivers whose folders in the daemon's root folder are there and not empty, in the order of `KNOWN`."""
    return tuple(name for name in KNOWN if _has_entries(root_folder / name))


def _made(factories: Mapping[str, GraphDriverFactory], name: str, reason: Reason) -> GraphDriver:
    if name not in factories:
        if name in KNOWN:
            raise Unsupported(f"graph driver {name} is not part of this build ({reason.value})")
        raise Invalid(f"no such graph driver: {name!r} ({reason.value}); there are {', '.join(factories)}")
    driver = factories[name]()
    available = driver.available()
    if not available:
        raise Unsupported(f"graph driver {name} cannot work here ({reason.value}): {available.reason}")
    return driver


def _others(used: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(other for other in used if other != name)


def _has_entries(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
