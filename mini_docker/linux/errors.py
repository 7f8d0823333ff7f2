"""A failed system call as an error that teaches: the call, its arguments, and what the errno usually means there."""

from __future__ import annotations

import errno as _errno
import os

from mini_docker.errors import MiniDockerError

CAUSES: dict[tuple[str, int], str] = {
    ("pivot_root", _errno.EINVAL): "new root is not a mount point, or its parent mount is shared",
    ("pivot_root", _errno.EBUSY): "new root or put_old is the current root",
    ("mount", _errno.EINVAL): "bad superblock or options, or a remount of what is not a mount point",
    ("mount", _errno.EPERM): "no CAP_SYS_ADMIN in the user namespace that owns this mount namespace",
    ("mount", _errno.ENODEV): "this kernel does not have that file system",
    ("mount", _errno.ENOENT): "the source or the target does not exist",
    ("mount", _errno.ENOTDIR): "one of source and target is a directory and the other is not",
    ("fsopen", _errno.ENODEV): "this kernel does not have that file system",
    ("fsconfig", _errno.EINVAL): "the file system does not know that option, or refuses its value",
    ("move_mount", _errno.EINVAL): "the mount is attached elsewhere already, or source and target differ in kind",
    ("unshare", _errno.EPERM): "no CAP_SYS_ADMIN, or namespaces are forbidden here",
    ("unshare", _errno.EINVAL): "the process has several threads",
    ("setns", _errno.EINVAL): "the descriptor is not of that kind of namespace, or the process has several threads",
    ("setns", _errno.EPERM): "no CAP_SYS_ADMIN in the target's user namespace",
    ("clone3", _errno.EPERM): "no CAP_SYS_ADMIN, or namespaces are forbidden here",
    ("clone3", _errno.ENOSPC): "a limit on nested namespaces is reached (/proc/sys/user/max_*_namespaces)",
    ("clone3", _errno.EAGAIN): "a limit on processes is reached (RLIMIT_NPROC, pids.max, kernel.pid_max)",
    ("mknod", _errno.EPERM): "no CAP_MKNOD, or a user namespace, or the device list of the cgroup forbids it",
    ("openat2", _errno.EXDEV): "the path leaves its root",
    ("openat2", _errno.ELOOP): "too many symbolic links, or one where none is allowed",
    ("seccomp", _errno.EACCES): "neither CAP_SYS_ADMIN nor no_new_privs: an unprivileged filter needs one",
    ("seccomp", _errno.EINVAL): "the filter is not a valid BPF program",
    ("write_file", _errno.EBUSY): "the cgroup still has processes, or the controller is in use",
    ("write_file", _errno.EINVAL): "the kernel refuses this value",
    ("write_file", _errno.ENOENT): "this kernel or this cgroup lacks that file (controller not enabled?)",
    ("write_file", _errno.EACCES): "read-only, or not owned by this user",
    ("prctl", _errno.EPERM): "a capability is missing",
    ("capset", _errno.EPERM): "asks for capabilities that the process does not have",
}
"""(call, errno) → what usually is the reason. Source: the ERRORS section of each call's manual page."""


class SyscallError(MiniDockerError):
    """A system call failed.

    Attributes:
        call, arguments: what was called, as the `Kernel` door names it.
        errno: the error number.

    ``str()`` gives ``pivot_root('.', '.'): EINVAL: new root is not a mount point, or …``.
    """

    def __init__(self, call: str, arguments: tuple[object, ...], errno: int) -> None:
        self.call = call
        self.arguments = arguments
        self.errno = errno
        super().__init__(call, arguments, errno)

    def __str__(self) -> str:
        name = _errno.errorcode.get(self.errno, str(self.errno))
        cause = CAUSES.get((self.call, self.errno))
        text = os.strerror(self.errno).lower()
        arguments = ", ".join(repr(argument) for argument in self.arguments)
        return f"{self.call}({arguments}): {name}: {text}" + (f": {cause}" if cause else "")
