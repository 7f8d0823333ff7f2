"""The door to the kernel: every privileged system call of mini_docker passes through here.

`Kernel` is the door's shape. `LinuxKernel` (linux_kernel.py) is the real one, `RecordingKernel` (recording.py)
stands in for it in tests without root, `NarratedKernel` (narrated.py) says each call in words. None of them knows
of containers: whoever calls decides what the calls add up to.

Every method raises `SyscallError` when the kernel says no. Descriptors it returns are close-on-exec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, Protocol

LAST_DESCRIPTOR = 0xFFFFFFFF


class Kernel(Protocol):
    """What mini_docker asks of Linux beyond Python's `os` module."""

    # mounts, the classic way: mount(2), umount2(2), pivot_root(2)
    def mount(self, source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
        """Attach a file system, or change a mount, as the flags say."""

    def umount(self, target: str, flags: int = 0) -> None:
        """Detach the mount at *target*."""

    def pivot_root(self, new_root: str, put_old: str) -> None:
        """Make *new_root* the root mount and move the old one to *put_old*."""

    # mounts by descriptor: fsopen(2) and its family
    def fsopen(self, fstype: str) -> int:
        """A context in which a new file system instance is configured."""

    def fsconfig_string(self, context: int, key: str, value: str) -> None:
        """Set an option of the instance."""

    def fsconfig_flag(self, context: int, key: str) -> None:
        """Set an option that has no value."""

    def fsconfig_fd(self, context: int, key: str, descriptor: int) -> None:
        """Set an option to an open file."""

    def fsconfig_create(self, context: int) -> None:
        """Make the instance; its options are complete."""

    def fsmount(self, context: int, attributes: int = 0) -> int:
        """A detached mount of the instance, as the descriptor of its root."""

    def open_tree(self, directory: int, path: str, flags: int) -> int:
        """Pick a mount up by path; with OPEN_TREE_CLONE a detached copy of it."""

    def move_mount(self, mount: int, directory: int, path: str) -> None:
        """Attach a detached mount at *path* (empty: at the descriptor *directory* itself)."""

    def mount_setattr(
        self,
        directory: int,
        path: str,
        flags: int,
        attr_set: int = 0,
        attr_clear: int = 0,
        userns: int = 0,
        propagation: int = 0,
    ) -> None:
        """Change attributes of a mount, recursively with AT_RECURSIVE."""

    def openat2(self, directory: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
        """Open with rules for the way there, such as RESOLVE_IN_ROOT."""

    # namespaces and processes
    def clone3(self, flags: int, cgroup: int = -1) -> tuple[int, int]:
        """Fork with namespaces: (pid, pidfd) in the parent, (0, -1) in the child.

        The child must end in exec or `os._exit`. The caller has one thread.
        """

    def unshare(self, flags: int) -> None:
        """Leave namespaces for new ones."""

    def setns(self, namespace: int, flags: int) -> None:
        """Enter the namespaces that the descriptor stands for."""

    def pidfd_open(self, pid: int) -> int:
        """A descriptor that stands for the process, whatever becomes of its number."""

    def pidfd_send_signal(self, pidfd: int, number: int) -> None:
        """Send a signal to exactly that process."""

    def sethostname(self, name: str) -> None:
        """Set the UTS namespace's host name."""

    def setdomainname(self, name: str) -> None:
        """Set the UTS namespace's NIS domain name."""

    # privileges
    def prctl(self, option: int, arg2: int = 0, arg3: int = 0) -> int:
        """Change or ask an attribute of the process."""

    def capset(self, effective: int, permitted: int, inheritable: int) -> None:
        """Set three of the process's capability sets, as bit masks."""

    def seccomp(self, program: bytes, flags: int = 0) -> None:
        """Load a BPF program (an array of sock_filter) as the process's system call filter."""

    def close_range(self, first: int, last: int = LAST_DESCRIPTOR, close_on_exec: bool = False) -> None:
        """Close every descriptor from *first* to *last*, now or at the next exec."""

    def guard_devices(self, cgroup: int, program: bytes) -> None:
        """Let an eBPF program (an array of bpf_insn) decide on every use of a device in a cgroup v2 directory."""

    def setgroups(self, groups: tuple[int, ...]) -> None:
        """Set the supplementary groups."""

    def setresgid(self, gid: int) -> None:
        """Set real, effective and saved group id."""

    def setresuid(self, uid: int) -> None:
        """Set real, effective and saved user id."""

    def join_session_keyring(self, name: str) -> None:
        """Live with the session keyring of that name; a new one, empty, when there is none."""

    def chroot(self, path: str) -> None:
        """Make *path* what this process calls "/"."""

    def execve(self, path: str, args: tuple[str, ...], env: Mapping[str, str]) -> NoReturn:
        """Become another program; returns never."""

    # files whose text is an order: cgroups, /proc/sys, id maps
    def write_file(self, path: str, value: str) -> None:
        """Write *value* in one write(2)."""

    def read_file(self, path: str) -> str:
        """The whole text of a small file."""

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Make a directory; one that exists is no error."""

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""

    def rename(self, path: str, new: str) -> None:
        """Give a file or a directory another name."""

    def mknod(self, path: str, mode: int, device: int) -> None:
        """Make a device node, fifo or whiteout."""

    def ioctl(self, descriptor: int, request: int, argument: bytes | bytearray | int = 0) -> bytes:
        """A device's own call; returns the argument as the kernel left it.

        One of more than 1024 bytes must be a bytearray, which the kernel then changes in place.
        """

    def quotactl_fd(self, descriptor: int, command: int, id: int, argument: bytes) -> bytes:
        """Ask or order something of the quotas of an open file's file system; returns the argument as the kernel
        left it. Since Linux 5.14."""
