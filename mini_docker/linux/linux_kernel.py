"""The real door to the kernel, the only user of ctypes: it fills in the forms of system calls and hands them in.

It knows call numbers and C structures, and nothing of what the calls are for; what each does is said at the door's
shape, `mini_docker.linux.kernel.Kernel`.

Source: the manual pages of the calls, section 2; linux/sched.h, linux/mount.h, asm/unistd.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import struct
from collections.abc import Mapping
from typing import NoReturn

from mini_docker.errors import Unsupported
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import LAST_DESCRIPTOR

_PIECE_BYTES = 1 << 16

# x86_64 and aarch64 agree on every number above 423; the older ones differ.
_NUMBERS = {
    "x86_64": {
        "pivot_root": 155, "mount": 165, "umount2": 166, "sethostname": 170, "setdomainname": 171, "prctl": 157,
        "capset": 126, "unshare": 272, "setns": 308, "seccomp": 317, "setgroups": 116, "setresuid": 117,
        "setresgid": 119, "bpf": 321, "keyctl": 250,
    },
    "aarch64": {
        "pivot_root": 41, "mount": 40, "umount2": 39, "sethostname": 161, "setdomainname": 162, "prctl": 167,
        "capset": 91, "unshare": 97, "setns": 268, "seccomp": 277, "setgroups": 159, "setresuid": 147,
        "setresgid": 149, "bpf": 280, "keyctl": 219,
    },
}  # fmt: skip
_COMMON = {
    "pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "mount_setattr": 442,
    "quotactl_fd": 443,
}  # fmt: skip

_CAPABILITY_VERSION_3 = 0x20080522


class LinuxKernel:
    """The real door. Stateless but for the table of call numbers of this machine."""

    def __init__(self) -> None:
        machine = os.uname().machine
        if machine not in _NUMBERS:
            raise Unsupported(f"system call numbers are written here for {', '.join(_NUMBERS)}, not for {machine}")
        self._numbers = _NUMBERS[machine] | _COMMON
        # PyDLL keeps the GIL during the call: a child of clone3 must own it, and most calls are
        # shorter than giving it up would take.
        self._syscall = ctypes.PyDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long
        # Of those that may wait for a disk the other threads do not wait, too.
        self._slow_syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._slow_syscall.restype = ctypes.c_long

    def _call(self, name: str, *arguments: object, shown: tuple[object, ...], slow: bool = False) -> int:
        syscall = self._slow_syscall if slow else self._syscall
        result: int = syscall(ctypes.c_long(self._numbers[name]), *arguments)
        if result < 0:
            raise SyscallError(name, shown, ctypes.get_errno())
        return result

    def mount(self, source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
        self._call(
            "mount", _path(source), _path(target), _path(fstype), ctypes.c_ulong(flags), _path(data) if data else None,
            shown=(source, target, fstype, flags, data),
        )  # fmt: skip

    def umount(self, target: str, flags: int = 0) -> None:
        self._call("umount2", _path(target), ctypes.c_int(flags), shown=(target, flags))

    def pivot_root(self, new_root: str, put_old: str) -> None:
        self._call("pivot_root", _path(new_root), _path(put_old), shown=(new_root, put_old))

    def fsopen(self, fstype: str) -> int:
        return self._call("fsopen", _path(fstype), ctypes.c_uint(c.FSOPEN_CLOEXEC), shown=(fstype,))

    def _fsconfig(self, context: int, command: int, key: str | None, value: bytes | None, aux: int = 0) -> None:
        self._call(
            "fsconfig", ctypes.c_int(context), ctypes.c_uint(command), None if key is None else _path(key), value,
            ctypes.c_int(aux), shown=(context, command, key, value, aux),
        )  # fmt: skip

    def fsconfig_string(self, context: int, key: str, value: str) -> None:
        self._fsconfig(context, c.FSCONFIG_SET_STRING, key, _path(value))

    def fsconfig_flag(self, context: int, key: str) -> None:
        self._fsconfig(context, c.FSCONFIG_SET_FLAG, key, None)

    def fsconfig_fd(self, context: int, key: str, descriptor: int) -> None:
        self._fsconfig(context, c.FSCONFIG_SET_FD, key, None, descriptor)

    def fsconfig_create(self, context: int) -> None:
        self._fsconfig(context, c.FSCONFIG_CMD_CREATE, None, None)

    def fsmount(self, context: int, attributes: int = 0) -> int:
        return self._call(
            "fsmount", ctypes.c_int(context), ctypes.c_uint(c.FSMOUNT_CLOEXEC), ctypes.c_uint(attributes),
            shown=(context, attributes),
        )  # fmt: skip

    def open_tree(self, directory: int, path: str, flags: int) -> int:
        return self._call(
            "open_tree", ctypes.c_int(directory), _path(path), ctypes.c_uint(flags | c.OPEN_TREE_CLOEXEC),
            shown=(directory, path, flags),
        )  # fmt: skip

    def move_mount(self, mount: int, directory: int, path: str) -> None:
        flags = c.MOVE_MOUNT_F_EMPTY_PATH | (0 if path else c.MOVE_MOUNT_T_EMPTY_PATH)
        self._call(
            "move_mount", ctypes.c_int(mount), b"", ctypes.c_int(directory), _path(path), ctypes.c_uint(flags),
            shown=(mount, directory, path),
        )  # fmt: skip

    def mount_setattr(
        self, directory: int, path: str, flags: int, attr_set: int = 0, attr_clear: int = 0, userns: int = 0,
        propagation: int = 0,
    ) -> None:  # fmt: skip
        attributes = struct.pack("QQQQ", attr_set, attr_clear, propagation, userns)
        self._call(
            "mount_setattr", ctypes.c_int(directory), _path(path), ctypes.c_uint(flags), attributes,
            ctypes.c_size_t(len(attributes)), shown=(directory, path, flags, attr_set, attr_clear, propagation),
        )  # fmt: skip

    def openat2(self, directory: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
        how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
        return self._call(
            "openat2", ctypes.c_int(directory), _path(path), how, ctypes.c_size_t(len(how)),
            shown=(directory, path, flags, mode, resolve),
        )  # fmt: skip

    def clone3(self, flags: int, cgroup: int = -1) -> tuple[int, int]:
        pidfd = ctypes.c_int(-1)
        into_cgroup = c.CLONE_INTO_CGROUP if cgroup >= 0 else 0
        exit_signal = 0 if flags & c.CLONE_PARENT else signal.SIGCHLD  # a sibling has its sibling's
        # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size,
        # tls, set_tid, set_tid_size, cgroup. Without a stack the child goes on as after fork.
        arguments = struct.pack(
            "11Q", flags | c.CLONE_PIDFD | into_cgroup, ctypes.addressof(pidfd), 0, 0, exit_signal, 0, 0, 0, 0, 0,
            max(cgroup, 0),
        )  # fmt: skip
        pid = self._call("clone3", arguments, ctypes.c_size_t(len(arguments)), shown=(flags, cgroup))
        return (pid, pidfd.value) if pid else (0, -1)

    def unshare(self, flags: int) -> None:
        self._call("unshare", ctypes.c_ulong(flags), shown=(flags,))

    def setns(self, namespace: int, flags: int) -> None:
        self._call("setns", ctypes.c_int(namespace), ctypes.c_int(flags), shown=(namespace, flags))

    def pidfd_open(self, pid: int) -> int:
        return self._call("pidfd_open", ctypes.c_int(pid), ctypes.c_uint(0), shown=(pid,))

    def pidfd_send_signal(self, pidfd: int, number: int) -> None:
        self._call(
            "pidfd_send_signal", ctypes.c_int(pidfd), ctypes.c_int(number), None, ctypes.c_uint(0),
            shown=(pidfd, number),
        )  # fmt: skip

    def sethostname(self, name: str) -> None:
        data = os.fsencode(name)
        self._call("sethostname", data, ctypes.c_size_t(len(data)), shown=(name,))

    def setdomainname(self, name: str) -> None:
        data = os.fsencode(name)
        self._call("setdomainname", data, ctypes.c_size_t(len(data)), shown=(name,))

    def prctl(self, option: int, arg2: int = 0, arg3: int = 0) -> int:
        return self._call(
            "prctl", ctypes.c_int(option), ctypes.c_ulong(arg2), ctypes.c_ulong(arg3), ctypes.c_ulong(0),
            ctypes.c_ulong(0), shown=(option, arg2, arg3),
        )  # fmt: skip

    def capset(self, effective: int, permitted: int, inheritable: int) -> None:
        header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
        low = 0xFFFFFFFF
        data = struct.pack(
            "6I", effective & low, permitted & low, inheritable & low, effective >> 32, permitted >> 32,
            inheritable >> 32,
        )  # fmt: skip
        self._call("capset", header, data, shown=(hex(effective), hex(permitted), hex(inheritable)))

    def seccomp(self, program: bytes, flags: int = 0) -> None:
        # struct sock_fprog: unsigned short len, pointer. A buffer of its own would be a new ctypes class each time.
        instructions = ctypes.cast(ctypes.c_char_p(program), ctypes.c_void_p).value
        filter_program = struct.pack("HxxxxxxQ", len(program) // 8, instructions)
        self._call(
            "seccomp", ctypes.c_uint(c.SECCOMP_SET_MODE_FILTER), ctypes.c_uint(flags), filter_program,
            shown=(f"<{len(program) // 8} instructions>", flags),
        )  # fmt: skip

    def close_range(self, first: int, last: int = LAST_DESCRIPTOR, close_on_exec: bool = False) -> None:
        flags = c.CLOSE_RANGE_CLOEXEC if close_on_exec else 0
        self._call(
            "close_range", ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(flags),
            shown=(first, last, close_on_exec),
        )  # fmt: skip

    def guard_devices(self, cgroup: int, program: bytes) -> None:
        instructions = ctypes.create_string_buffer(program, len(program))
        license_name = ctypes.create_string_buffer(b"MIT")
        shown = (cgroup, f"<{len(program) // 8} instructions>")
        # union bpf_attr for BPF_PROG_LOAD: prog_type, insn_cnt, insns, license
        load = struct.pack(
            "IIQQ40x", c.BPF_PROG_TYPE_CGROUP_DEVICE, len(program) // 8, ctypes.addressof(instructions),
            ctypes.addressof(license_name),
        )  # fmt: skip
        loaded = self._call("bpf", ctypes.c_int(c.BPF_PROG_LOAD), load, ctypes.c_uint(len(load)), shown=shown)
        try:
            # For BPF_PROG_ATTACH: target_fd, attach_bpf_fd, attach_type, attach_flags. Without flags the program
            # replaces an earlier one, and cgroups below this one may not have any.
            attach = struct.pack("IIII", cgroup, loaded, c.BPF_CGROUP_DEVICE, 0)
            self._call("bpf", ctypes.c_int(c.BPF_PROG_ATTACH), attach, ctypes.c_uint(len(attach)), shown=shown)
        finally:
            os.close(loaded)  # the cgroup holds it from now on

    # The C library would send these to every thread, but a child of a bare clone3 is a stranger to it:
    # hence the bare calls.
    def setgroups(self, groups: tuple[int, ...]) -> None:
        data = struct.pack(f"{len(groups)}I", *groups)
        self._call("setgroups", ctypes.c_size_t(len(groups)), data, shown=(groups,))

    def setresgid(self, gid: int) -> None:
        self._call("setresgid", *(ctypes.c_uint(gid),) * 3, shown=(gid,))

    def setresuid(self, uid: int) -> None:
        self._call("setresuid", *(ctypes.c_uint(uid),) * 3, shown=(uid,))

    def join_session_keyring(self, name: str) -> None:
        self._call("keyctl", ctypes.c_int(c.KEYCTL_JOIN_SESSION_KEYRING), _path(name), shown=(name,))

    def chroot(self, path: str) -> None:
        try:
            os.chroot(path)
        except OSError as error:
            raise SyscallError("chroot", (path,), error.errno or 0) from None

    def execve(self, path: str, args: tuple[str, ...], env: Mapping[str, str]) -> NoReturn:
        try:
            os.execve(path, args, env)
        except OSError as error:
            raise SyscallError("execve", (path, list(args)), error.errno or 0) from None

    def write_file(self, path: str, value: str) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, value.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SyscallError("write_file", (path, value), error.errno or 0) from None

    def read_file(self, path: str) -> str:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = b"".join(iter(lambda: os.read(descriptor, _PIECE_BYTES), b""))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SyscallError("read_file", (path,), error.errno or 0) from None
        return data.decode(errors="surrogateescape")

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            pass
        except OSError as error:
            raise SyscallError("mkdir", (path, oct(mode)), error.errno or 0) from None

    def rmdir(self, path: str) -> None:
        try:
            os.rmdir(path)
        except OSError as error:
            raise SyscallError("rmdir", (path,), error.errno or 0) from None

    def rename(self, path: str, new: str) -> None:
        try:
            os.rename(path, new)
        except OSError as error:
            raise SyscallError("rename", (path, new), error.errno or 0) from None

    def mknod(self, path: str, mode: int, device: int) -> None:
        try:
            os.mknod(path, mode, device)
        except OSError as error:
            raise SyscallError("mknod", (path, oct(mode), device), error.errno or 0) from None

    def ioctl(self, descriptor: int, request: int, argument: bytes | bytearray | int = 0) -> bytes:
        try:
            result = fcntl.ioctl(descriptor, request, argument)
        except OSError as error:
            raise SyscallError("ioctl", (descriptor, hex(request)), error.errno or 0) from None
        if isinstance(argument, bytearray):
            return bytes(argument)
        return result if isinstance(result, bytes) else b""

    def quotactl_fd(self, descriptor: int, command: int, id: int, argument: bytes) -> bytes:
        buffer = ctypes.create_string_buffer(argument, len(argument))
        self._call(
            "quotactl_fd", ctypes.c_uint(descriptor), ctypes.c_uint(command), ctypes.c_uint(id), buffer,
            shown=(descriptor, hex(command), id), slow=True,
        )  # fmt: skip
        return buffer.raw


def _path(text: str) -> bytes:
    return os.fsencode(text)
