"""The sealed interpreter: a process of ours runs on from a copy of Python in memory that nobody can write.

A container's process can reach its init's executable as /proc/1/exe while init is still ours. Were it the
host's python3, a hostile image could overwrite that (CVE-2019-5736); a sealed memfd can be written by nobody.

It is called first, before anything else is loaded: the process starts once more. Source: memfd_create(2).
"""

from __future__ import annotations

import fcntl
import os
import sys

SEALED_VARIABLE = "MINI_DOCKER_SEALED"


def seal_interpreter() -> None:
    """Start this process again from a sealed copy of its interpreter, unless it is that already."""
    if os.environ.pop(SEALED_VARIABLE, "") and is_sealed():
        return
    copy = os.memfd_create("python3", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open("/proc/self/exe", "rb") as executable:
        size = os.fstat(executable.fileno()).st_size
        while size > 0:
            size -= os.sendfile(copy, executable.fileno(), None, size)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
    os.execve(copy, [sys.executable, *sys.orig_argv[1:]], {**os.environ, SEALED_VARIABLE: "1"})


def is_sealed() -> bool:
    """Whether this process's executable can be written by nobody."""
    with open("/proc/self/exe", "rb") as executable:
        try:
            return bool(fcntl.fcntl(executable, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE)
        except OSError:  # a file on a disk has no seals
            return False
