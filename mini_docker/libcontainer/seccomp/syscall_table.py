"""The telephone book of system calls: for each architecture, which number a name has.

It knows nothing of filters. Numbers never change once a kernel was released, so the table is a
data file (`syscalls.json`, up to Linux 6.19); a call that is younger has no number here.

Source: the kernel's ``arch/*/entry/syscalls/*.tbl`` and ``include/uapi/asm-generic/unistd.h``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from mini_docker.errors import Unsupported
from mini_docker.libcontainer.seccomp.data_file import data_file


@functools.cache
def _tables() -> Mapping[str, Mapping[str, int]]:
    tables: Mapping[str, Mapping[str, int]] = data_file("syscalls.json")
    return tables


def syscall_numbers(architecture: str) -> Mapping[str, int]:
    """Name → number.

    Args:
        architecture: ``x86_64``, ``aarch64``, or the 32-bit half that such a kernel also runs: ``x86``, ``arm``.

    Raises:
        Unsupported: there is no table for it.
    """
    try:
        return _tables()[architecture]
    except KeyError:
        known = ", ".join(sorted(_tables()))
        raise Unsupported(f"no table of system calls for {architecture!r} (there are {known})") from None
