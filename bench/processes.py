"""What the processes of a daemon weigh, read from /proc.

They are found by their mount namespace: every daemon of a sitting has one of its own, its helpers (containerd, shims,
proxies, our supervisor) live in it, and containers do not.

What several processes weigh together is what the machine holds for them, for every contender alike: the page frames
that any of them has mapped, each counted once. The sum of their RSS would count a shared page once for each of them.
PSS (proc(5)) would not do: it shrinks when strangers run the same program.

Source: proc(5) (``/proc/PID/maps``), the kernel's pagemap.rst. Frame numbers are shown to root alone.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KERNEL_PAGES = (1 << 63) // PAGE_BYTES


_ENTRY = struct.Struct("=Q")
_PRESENT = 1 << 63
_FRAME = (1 << 55) - 1


@dataclass(frozen=True, slots=True)
class Weight:
    """One process: its number, its command line, and the numbers of the page frames that it has mapped."""

    pid: int
    command: str
    frames: frozenset[int]


def helpers_of(pid: int) -> list[Weight]:
    """The process *pid* and all others in its mount namespace, zombies left out."""
    namespace = os.readlink(PROC / str(pid) / "ns/mnt")
    found = []
    for folder in PROC.glob("[0-9]*"):
        try:
            if os.readlink(folder / "ns/mnt") != namespace:
                continue
            frames = resident_frames(int(folder.name))
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended meanwhile, or is a zombie: those have no memory
        found.append(Weight(int(folder.name), command, frames))
    return found


def held_bytes(processes: Iterable[Weight]) -> int:
    """What the machine holds for these processes together, in bytes. Of one alone, that is its RSS."""
    return len(frozenset().union(*(process.frames for process in processes))) * PAGE_BYTES


def resident_frames(pid: int) -> frozenset[int]:
    """The page frames that a process has mapped.

    Raises:
        OSError: it has ended, or we may not look.
    """
    frames = set()
    with (PROC / str(pid) / "maps").open(errors="replace") as maps, (PROC / str(pid) / "pagemap").open("rb") as pagemap:
        for line in maps:
            start, end = (int(address, 16) // PAGE_BYTES for address in line.split(maxsplit=1)[0].split("-"))
            if start >= _KERNEL_PAGES:
                continue  # vsyscall
            pagemap.seek(start * _ENTRY.size)
            entries = pagemap.read((end - start) * _ENTRY.size)
            frames.update(entry & _FRAME for (entry,) in _ENTRY.iter_unpack(entries) if entry & _PRESENT)
    return frozenset(frames)


def forget_peak(pid: int) -> None:
    """Let the kernel count a process's peak from now on (clear_refs in proc(5))."""
    (PROC / str(pid) / "clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had resident since `forget_peak`, in bytes (``VmHWM`` in proc(5))."""
    return _kibibytes((PROC / str(pid) / "status").read_text(), "VmHWM")


def _kibibytes(text: str, wanted: str) -> int:
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name == wanted:
            return int(rest.split()[0]) * 1024
    raise ValueError(f"no line {wanted}")
