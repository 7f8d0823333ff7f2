"""What the processes of a daemon weigh, read from /proc.

They are found by their mount namespace: every daemon of a sitting has one of its own, its helpers (containerd, shims,
proxies, our supervisor) live in it, and containers do not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Weight:
    """One process: its number, its command line and its resident memory in bytes."""

    pid: int
    command: str
    resident: int


def helpers_of(pid: int) -> list[Weight]:
    """The process *pid* and all others in its mount namespace, zombies left out."""
    namespace = os.readlink(PROC / str(pid) / "ns/mnt")
    found = []
    for folder in PROC.glob("[0-9]*"):
        try:
            if os.readlink(folder / "ns/mnt") != namespace:
                continue
            resident = resident_bytes((folder / "smaps_rollup").read_text())
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended meanwhile, or is a zombie: those have no memory
        found.append(Weight(int(folder.name), command, resident))
    return found


def resident_bytes(smaps_rollup: str) -> int:
    """``Rss`` of a smaps_rollup text, in bytes (proc(5)).

    Raises:
        ValueError: it has no such line.
    """
    return _kibibytes(smaps_rollup, "Rss")


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
