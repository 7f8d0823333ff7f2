"""A process's own memory after a fork: which pages are still shared, and how to have them to oneself.

It knows the text of /proc/self/maps and nothing of what lies in memory.

Source: proc_pid_maps(5); madvise(2), MADV_POPULATE_WRITE (Linux 5.14).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel


def unshare_memory(kernel: Kernel) -> None:
    """Copy now, all at once, what a fork left shared: each page would be copied anyway when it is first written to,
    which in Python is soon, for to look at an object is to count its references.

    Where the kernel cannot do it, that is how it goes.
    """
    with open("/proc/self/maps", encoding="ascii", errors="surrogateescape") as maps:
        areas = list(private_writable(maps))  # first, since reading takes memory
    for address, length in areas:
        with suppress(SyscallError):
            kernel.madvise(address, length, c.MADV_POPULATE_WRITE)


def private_writable(maps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Address and length in bytes of every area of *maps*, the lines of /proc/PID/maps, that a fork leaves shared."""
    for line in maps:
        area, permissions = line.split(maxsplit=2)[:2]
        if permissions.startswith("rw") and permissions.endswith("p"):
            begin, _, end = area.partition("-")
            yield int(begin, 16), int(end, 16) - int(begin, 16)
