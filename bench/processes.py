"""What the processes of a daemon weigh, read from /proc.

They are found by their mount namespace: every daemon of a sitting has one of its own, its helpers (containerd, shims,
proxies, our supervisor) live in it, and containers do not.

What several processes weigh together is what the machine holds for them, for every contender alike: the anonymous
memory of each, and each file-backed mapping (an interpreter, libc) once, as large as whoever of them has most of it
resident. The sum of their RSS would count a shared page once for each of them. PSS (proc(5)) would not do: it shrinks
when strangers run the same program. Anonymous pages that are still shared since a fork are counted for each process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


FilePart = tuple[str, str, int, int]
"""A mapped part of a file: its device, its inode, its first offset and the one after its last."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One process: its number, its command line, and what it has in memory, in bytes.

    Attributes:
        anonymous: what is the process's alone: heap, stacks, pages of files that it has written to.
        files: what it has resident of each part of a file that it maps.
    """

    pid: int
    command: str
    anonymous: int
    files: dict[FilePart, int]


def helpers_of(pid: int) -> list[Weight]:
    """The process *pid* and all others in its mount namespace, zombies left out."""
    namespace = os.readlink(PROC / str(pid) / "ns/mnt")
    found = []
    for folder in PROC.glob("[0-9]*"):
        try:
            if os.readlink(folder / "ns/mnt") != namespace:
                continue
            anonymous, files = resident_parts((folder / "smaps").read_text(errors="replace"))
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended meanwhile, or is a zombie: those have no memory
        found.append(Weight(int(folder.name), command, anonymous, files))
    return found


def held_bytes(processes: Iterable[Weight]) -> int:
    """What the machine holds for these processes together, in bytes. Of one alone, that is its RSS."""
    total = 0
    largest: dict[FilePart, int] = {}
    for process in processes:
        total += process.anonymous
        for part, resident in process.files.items():
            largest[part] = max(largest.get(part, 0), resident)
    return total + sum(largest.values())


def resident_parts(smaps: str) -> tuple[int, dict[FilePart, int]]:
    """Read a text of /proc/PID/smaps (proc(5)).

    Returns:
        The anonymous memory, and what is resident of each part of a file, in bytes. Mappings without a file
        (``inode`` 0: heap, stacks, vdso) count as anonymous wholly; a part mapped twice counts once.
    """
    anonymous = 0
    files: dict[FilePart, int] = {}
    part: FilePart | None = None
    resident = 0
    for line in smaps.splitlines():
        name, *values = line.split(maxsplit=5)
        if not name.endswith(":"):
            start, end = (int(address, 16) for address in name.split("-"))
            offset, device, inode = int(values[1], 16), values[2], values[3]
            part = None if inode == "0" else (device, inode, offset, offset + end - start)
        elif name == "Rss:":
            resident = int(values[0]) * 1024
            if part is None:
                anonymous += resident
        elif name == "Anonymous:" and part is not None:
            written = int(values[0]) * 1024  # copies of the file's pages: the process's own
            anonymous += written
            files[part] = max(files.get(part, 0), resident - written)
    return anonymous, files


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
