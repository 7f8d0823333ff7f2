"""A kernel door that says each call in words, then makes it: `run --narrate` and the labs listen to it.

It knows how to describe a system call and nothing of why it is made.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

Say = Callable[[str], None]
"""Takes a sentence, without a newline."""

WORDS: dict[str, tuple[str, str]] = {
    "mount": ("attach a file system or change how a mount behaves", "mount(2)"),
    "umount": ("detach a mount", "umount(2)"),
    "pivot_root": ("make this mount the root; the host's old root is now only a mount below it", "pivot_root(2)"),
    "fsopen": ("ask for a new file system instance", "fsopen(2)"),
    "fsconfig_string": ("set an option of the instance", "fsconfig(2)"),
    "fsconfig_flag": ("set an option of the instance", "fsconfig(2)"),
    "fsconfig_fd": ("set an option of the instance to an open file", "fsconfig(2)"),
    "fsconfig_create": ("make the instance", "fsconfig(2)"),
    "fsmount": ("mount the instance nowhere: only this descriptor reaches it", "fsmount(2)"),
    "open_tree": ("pick up a mount by its path", "open_tree(2)"),
    "move_mount": ("attach the detached mount here", "move_mount(2)"),
    "mount_setattr": ("change a mount's attributes, such as read-only", "mount_setattr(2)"),
    "openat2": ("open a path under rules for the way there", "openat2(2)"),
    "clone3": ("fork a child into new namespaces", "clone3(2), namespaces(7)"),
    "unshare": ("leave a namespace for a new one", "unshare(2), namespaces(7)"),
    "setns": ("enter an existing namespace", "setns(2), namespaces(7)"),
    "pidfd_open": ("get a descriptor that stands for a process", "pidfd_open(2)"),
    "pidfd_send_signal": ("send a signal to exactly that process", "pidfd_send_signal(2)"),
    "sethostname": ("set the host name of this UTS namespace", "sethostname(2), uts_namespaces(7)"),
    "setdomainname": ("set the domain name of this UTS namespace", "setdomainname(2), uts_namespaces(7)"),
    "prctl": ("change an attribute of this process", "prctl(2)"),
    "capset": ("give up all capabilities but these", "capset(2), capabilities(7)"),
    "seccomp": ("filter this process's system calls from now on", "seccomp(2)"),
    "guard_devices": ("let a BPF program decide on every use of a device in this cgroup", "bpf(2), cgroups(7)"),
    "join_session_keyring": ("live with a keyring of the container's own, not ours", "keyctl(2), keyrings(7)"),
    "chroot": ("make this directory what the process calls /", "chroot(2)"),
    "execve": ("become the container's command: from here on no line of ours runs", "execve(2)"),
    "setgroups": ("set the supplementary groups", "setgroups(2)"),
    "setresgid": ("become this group for good", "setresgid(2)"),
    "setresuid": ("become this user for good", "setresuid(2)"),
    "close_range": ("let no descriptor of ours live past the exec", "close_range(2)"),
    "write_file": ("give the kernel an order through a file", "cgroups(7), proc(5)"),
    "read_file": ("ask the kernel through a file", "cgroups(7), proc(5)"),
    "mkdir": ("make a directory (in a cgroup hierarchy: a group)", "mkdir(2), cgroups(7)"),
    "rmdir": ("remove a directory (in a cgroup hierarchy: a group)", "rmdir(2), cgroups(7)"),
    "rename": ("give a file or a directory (in a cgroup hierarchy: a group) another name", "rename(2)"),
    "mknod": ("make a device node", "mknod(2)"),
    "ioctl": ("tell a device something of its own", "ioctl(2)"),
    "quotactl_fd": ("limit what may be stored", "quotactl(2)"),
}
"""Method of the kernel door → what it does in words, and the manual page."""


_FLAGS: dict[str, tuple[str, ...]] = {
    "mount.flags": ("MS_",),
    "umount.flags": ("MNT_",),
    "fsmount.attributes": ("MOUNT_ATTR_",),
    "open_tree.flags": ("OPEN_TREE_", "AT_"),
    "mount_setattr.flags": ("AT_",),
    "mount_setattr.attr_set": ("MOUNT_ATTR_",),
    "mount_setattr.attr_clear": ("MOUNT_ATTR_",),
    "mount_setattr.propagation": ("MS_",),
    "openat2.resolve": ("RESOLVE_",),
    "clone3.flags": ("CLONE_",),
    "unshare.flags": ("CLONE_",),
    "setns.flags": ("CLONE_",),
}
"""Method and parameter → how the constants begin whose bits it is made of."""


def spelled(number: int, *prefixes: str) -> str:
    """A number made of bits as a C programmer writes it: ``MS_REC|MS_SLAVE``; what has no name stays a number."""
    words, rest = [], number
    for name, bits in vars(c).items():
        if name.startswith(prefixes) and isinstance(bits, int) and bits > 0 and number & bits == bits:
            words.append(name)
            rest &= ~bits
    if rest or not words:
        words.append(hex(rest) if rest else "0")
    return "|".join(words)


class NarratedKernel:
    """Stands in the door of `Kernel`, before the real one.

    Args:
        kernel: makes the calls.
        say: takes each sentence.
    """

    def __init__(self, kernel: Kernel, say: Say) -> None:
        self._kernel = kernel
        self._say = say

    def door(self) -> Kernel:
        """This object, as the type checker should see it."""
        return cast(Kernel, self)

    def clone3(self, flags: int, cgroup: int = -1) -> tuple[int, int]:
        """Comes back twice, in parent and child: only the parent says it."""
        words, page = WORDS["clone3"]
        pid, pidfd = self._kernel.clone3(flags, cgroup)
        if pid:
            self._say(f"clone3({spelled(flags, 'CLONE_')}, {cgroup}) = ({pid}, {pidfd})  # {words}; {page}")
        return pid, pidfd

    def execve(self, path: str, args: tuple[str, ...], env: Mapping[str, str]) -> NoReturn:
        """Said before it is done: afterwards nobody is left to say it."""
        words, page = WORDS["execve"]
        self._say(f"execve({path!r}, {list(args)!r}, <{len(env)} variables>)  # {words}; {page}")
        self._kernel.execve(path, args, env)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._kernel, name)
        words, page = WORDS[name]

        def narrated(*args: Any, **kwargs: Any) -> Any:
            names = getattr(Kernel, name).__code__.co_varnames[1:]
            said = [_argument(name, parameter, value) for parameter, value in zip(names, args, strict=False)]
            said += [f"{parameter}={_argument(name, parameter, value)}" for parameter, value in kwargs.items()]
            shown = ", ".join(said)
            try:
                result = call(*args, **kwargs)
            except SyscallError as error:
                self._say(f"{name}({shown}) = {error}  # {words}; {page}")
                raise
            ending = "" if result is None else f" = {_shown(result)}"
            self._say(f"{name}({shown}){ending}  # {words}; {page}")
            return result

        return narrated


def narrate_to(kernel: Kernel, descriptor: int, who: str) -> Kernel:
    """The door, narrated into *descriptor*; the door itself when that is -1, so that silence costs nothing.

    Args:
        descriptor: takes a line a sentence. It does not block: a listener that lags misses sentences, for whoever
            speaks may have other containers to look after.
        who: which half of the dialogue speaks.
    """
    return kernel if descriptor < 0 else NarratedKernel(kernel, teller(descriptor, who)).door()


def teller(descriptor: int, who: str) -> Say:
    """Says sentences into *descriptor*; see `narrate_to`."""
    os.set_blocking(descriptor, False)

    def say(sentence: str) -> None:
        try:
            os.write(descriptor, f"{who}: {sentence}\n".encode(errors="surrogateescape"))
        except (BlockingIOError, BrokenPipeError):
            pass  # nobody listens, or not fast enough

    return say


def _argument(call: str, parameter: str, value: Any) -> str:
    prefixes = _FLAGS.get(f"{call}.{parameter}")
    if prefixes:
        return spelled(value, *prefixes)
    if parameter == "directory" and value == c.AT_FDCWD:
        return "AT_FDCWD"
    if call == "prctl" and parameter == "option":
        return next(
            (name for name, number in vars(c).items() if name.startswith("PR_") and number == value), str(value)
        )
    return _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, signal.Signals):
        return value.name
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else repr(value)
