"""The sealed interpreter: a process of ours runs on from a Python that nobody can write.

A container's process can reach its init's executable as /proc/1/exe while init is still ours. Were it the
host's python3, a hostile image could overwrite that (CVE-2019-5736). There are two ways out:

- *A window* on the host's file: an overlay mount without an upper layer, which nothing can be written through. Its
  pages are the file's own, which the daemon has in memory anyway: a supervisor holds 4 MB less than with a copy. The
  price: to the host the file is not "busy" any more. Who writes a new python *into* it, instead of renaming one over it
  as package managers do, pulls the ground from under a supervisor that runs.
- *A copy* in a sealed memfd. It needs no privilege, and no ctypes, which takes as long to load as the copy to make: for
  those who live for some milliseconds.

It is called first, before anything else is loaded: the process starts once more.

Source: memfd_create(2), fcntl(2) (file sealing), the kernel's overlayfs.rst ("Multiple lower layers").
"""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import suppress

SEALED_VARIABLE = "MINI_DOCKER_SEALED"


def seal_interpreter(empty: str = "") -> None:
    """Start this process again from a sealed interpreter, unless it is that already.

    Args:
        empty: an empty directory of the host. With it, it is through a window, where this machine lets us open one;
            else from a copy.
    """
    if os.environ.pop(SEALED_VARIABLE, "") and is_sealed():
        return
    argv, environment = [sys.executable, *sys.orig_argv[1:]], {**os.environ, SEALED_VARIABLE: "1"}
    if empty and (window := _window(empty)) >= 0:
        with suppress(OSError):  # some security modules execute nothing that has no path
            os.execve(window, argv, environment)
        os.close(window)
    os.execve(_copy(), argv, environment)


def is_sealed() -> bool:
    """Whether this process's executable can be written by nobody."""
    with open("/proc/self/exe", "rb") as executable:
        if os.fstatvfs(executable.fileno()).f_flag & os.ST_RDONLY:
            return True
        try:
            return bool(fcntl.fcntl(executable, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE)
        except OSError:  # a file on a disk has no seals
            return False


def _copy() -> int:
    copy = os.memfd_create("python3", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open("/proc/self/exe", "rb") as executable:
        size = os.fstat(executable.fileno()).st_size
        while size > 0:
            size -= os.sendfile(copy, executable.fileno(), None, size)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
    return copy


def _window(empty: str) -> int:
    """The interpreter's file as an overlay shows it; -1 where we may mount none."""
    from mini_docker.linux import constants as c
    from mini_docker.linux.errors import SyscallError
    from mini_docker.linux.linux_kernel import LinuxKernel

    kernel = LinuxKernel()
    folder, name = os.path.split(os.readlink("/proc/self/exe"))
    held: list[int] = []
    try:
        for lower in (folder, empty):  # an overlay without an upper layer wants two lower ones
            held.append(os.open(lower, c.O_PATH | os.O_CLOEXEC))
        context = kernel.fsopen("overlay")
        held.append(context)
        # By descriptor: a path could have a colon in it.
        kernel.fsconfig_string(context, "lowerdir", ":".join(f"/proc/self/fd/{lower}" for lower in held[:2]))
        kernel.fsconfig_create(context)
        held.append(kernel.fsmount(context, c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV))
        return os.open(name, c.O_PATH | os.O_CLOEXEC, dir_fd=held[-1])
    except (SyscallError, OSError):
        return -1
    finally:
        for descriptor in held:
            with suppress(OSError):
                os.close(descriptor)
