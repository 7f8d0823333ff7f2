"""What a test may have left on the machine, counted from outside: the end of every live test.

It looks for anything new of ours, by our prefixes and by what was there before.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from mini_docker import launcher

PATIENCE_SECONDS = 5.0
"""Some things go in the background (trash, lazy unmounts); what is still there after this is a leak."""


@dataclass(frozen=True)
class Footprint:
    """Everything that mini_docker takes from a machine, as comparable sets."""

    mounts: frozenset[str]
    cgroups: frozenset[str]
    links: frozenset[str]
    rules: frozenset[str]
    loops: frozenset[str]
    mapped_devices: frozenset[str]
    processes: frozenset[str]
    descriptors: frozenset[str]

    @classmethod
    def take(cls) -> Footprint:
        """The machine as it is now."""
        return cls(_mounts(), _cgroups(), _links(), _rules(), _loops(), _mapped_devices(), _processes(), _descriptors())

    def new_in(self, later: Footprint) -> dict[str, list[str]]:
        """What *later* has and this has not, by kind."""
        grown = {}
        for kind in self.__dataclass_fields__:
            more = getattr(later, kind) - getattr(self, kind)
            if more:
                grown[kind] = sorted(more)
        return grown


def left_since(before: Footprint) -> dict[str, list[str]]:
    """What is new since *before* and does not go away by itself."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        left = before.new_in(Footprint.take())
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _mounts() -> frozenset[str]:
    return frozenset(line.split(" - ")[0].split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _cgroups() -> frozenset[str]:
    found = set()
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        for parent in ("mini-docker", "docker"):
            found |= {str(path) for path in hierarchy.glob(f"{parent}/*") if path.is_dir()}
        found |= {str(path) for path in hierarchy.glob("mini-docker-*") if path.is_dir()}
    return frozenset(found)


def _links() -> frozenset[str]:
    return frozenset(os.listdir("/sys/class/net"))


def _rules() -> frozenset[str]:
    try:
        ruleset = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return frozenset()
    return frozenset(ruleset.splitlines())


def _loops() -> frozenset[str]:
    return frozenset(str(path.parent) for path in Path("/sys/block").glob("loop*/loop/backing_file"))


def _mapped_devices() -> frozenset[str]:
    found = set()
    for path in Path("/sys/block").glob("dm-*/dm/name"):
        try:
            name = path.read_text().strip()
        except OSError:  # it goes while we look
            continue
        if name.startswith("mini-docker-"):
            found.add(name)
    return frozenset(found)


def _processes() -> frozenset[str]:
    """Processes that this checkout's launcher started (containers' own are in their cgroups, which count as well)."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if launcher.__file__ in command:
            found.add(f"{folder.name} {command[:120]}")
    return frozenset(found)


def _descriptors() -> frozenset[str]:
    """Descriptors of this process, by number; the one that lists them is gone when we look."""
    numbers = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        numbers.add(number)
    return frozenset(numbers)
