"""The init half: what a newborn does inside its namespaces until it executes the command.

It is a fork of its parent, so it has the whole library in memory, and after the pivot it must
load nothing more: the files that it would read are the container's. It speaks with the parent
through the dialogue alone and never returns.

It knows its spec, and nothing of images, networks or who wants it.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import stat
from collections.abc import Callable
from typing import NoReturn

from mini_docker.errors import CannotExecute, MiniDockerError
from mini_docker.libcontainer import (
    console,
    executable,
    furniture,
    namespaces,
    privileges,
    rootfs,
    rootfs_plan,
    unnamed,
    users,
)
from mini_docker.libcontainer.capabilities import number
from mini_docker.libcontainer.config import ContainerSpec, ProcessSpec
from mini_docker.libcontainer.dialogue import (
    Failed,
    Housed,
    Mapped,
    Named,
    Proceed,
    Ready,
    Sandboxed,
    Terminal,
    hear,
    say,
)
from mini_docker.libcontainer.reaper import reap_for_child, take_name
from mini_docker.libcontainer.streams import give_pipes, root_outside, take_stdio
from mini_docker.libcontainer.terms import Birth, Entry, Join, Stdio, Terms
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel
from mini_docker.linux.narrated import narrate_to

NETLINK_ROUTE = 0
_ALL_IDS = ["0", "0", str(2**32 - 1)]

_LEAST_READ, _MOST_READ = 1 << 14, 1 << 20
"""Bytes of a file of the container that are looked at."""


def run_init(kernel: Kernel, birth: Birth, dialogue: socket.socket, stdio: Stdio | None) -> NoReturn:
    """Become the container's init. *stdio* is None when it gets a terminal."""
    kernel = narrate_to(kernel, birth.terms.narration, "init")
    _speak_failures(dialogue, lambda: _init(kernel, birth, dialogue, stdio))


def run_unnamed(kernel: Kernel, model: Birth, cradle: str, join: Join, dialogue: socket.socket) -> NoReturn:
    """Become the init of a container that nobody has asked for yet, but that is likely to be like *model*."""
    _speak_failures(dialogue, lambda: _wait_for_name(kernel, model, cradle, join, dialogue))


def run_exec(
    kernel: Kernel, entry: Entry, process: ProcessSpec, dialogue: socket.socket, stdio: Stdio | None
) -> NoReturn:
    """Become a further process of a running container."""
    kernel = narrate_to(kernel, entry.terms.narration, "exec")
    _speak_failures(dialogue, lambda: _exec(kernel, entry, process, dialogue, stdio))


def _speak_failures(dialogue: socket.socket, live: Callable[[], NoReturn]) -> NoReturn:
    """Live; whatever goes wrong becomes one word to the parent, and the end."""
    gc.disable()
    try:
        live()
    except CannotExecute as error:
        _last_word(dialogue, Failed(str(error), error.exit_code))
    except MiniDockerError as error:
        _last_word(dialogue, Failed(str(error), kind=type(error).__name__))
    except BaseException as error:
        # No traceback: formatting one would read source files, by now the container's.
        _last_word(dialogue, Failed(f"{type(error).__name__}: {error}"))
    os._exit(executable.NOT_FOUND)


def _last_word(dialogue: socket.socket, failure: Failed) -> NoReturn:
    try:
        say(dialogue, failure)
    finally:
        os._exit(failure.exit_code or 1)


def _init(kernel: Kernel, birth: Birth, dialogue: socket.socket, stdio: Stdio | None) -> NoReturn:
    _forget_the_parent(kernel)
    _move_in(kernel, birth.terms)
    _expect(dialogue, Mapped)
    maker = rootfs.RootfsMaker(kernel, rootfs_plan.plan(birth.spec), birth.stage)
    _complete_namespaces(kernel, birth, maker)
    _show_sandbox(birth.spec, dialogue)
    _settle(kernel, birth, dialogue, stdio, maker)


def _wait_for_name(kernel: Kernel, model: Birth, cradle: str, join: Join, dialogue: socket.socket) -> NoReturn:
    """The same in another order: what is alike for every container is done before somebody waits for it."""
    _forget_the_parent(kernel)
    try:
        join(cradle, kernel)
        lies_there = True
    except SyscallError:
        lies_there = False  # it is being renamed already: the name will say to what
    _expect(dialogue, Mapped)
    if model.spec.has_new("network"):
        kernel.unshare(c.CLONE_NEWNET)
    furnished = furniture.assemble(kernel, model.spec, cradle)
    plan, _ = furniture.what_remains(furnished, model.spec)
    stock = rootfs.make_stock(kernel, plan)
    kept = privileges.bounding_set(model.spec.process)
    dropped = privileges.shrink_bounding_set(kernel, kept, model.terms.last_capability)
    unnamed.rehearse(model)
    _show_sandbox(model.spec, dialogue)
    name, _ = hear(dialogue)
    if name is None:
        os._exit(0)  # it was not needed
    assert isinstance(name, Named)
    birth = unnamed.read(name, model, dropped)
    if not lies_there:
        join(birth.spec.cgroup, kernel)
    plan, trees = furniture.what_remains(furnished, birth.spec)
    house, descriptors = hear(dialogue)
    if house is None:
        os._exit(0)  # its container was called off
    assert isinstance(house, Housed)
    birth, stdio = unnamed.read_house(house, descriptors, birth)
    _move_in(kernel, birth.terms)
    maker = rootfs.RootfsMaker(kernel, plan, birth.stage, stock, trees)
    _complete_namespaces(kernel, birth, maker)
    _settle(kernel, birth, dialogue, stdio, maker)


def _complete_namespaces(kernel: Kernel, birth: Birth, maker: rootfs.RootfsMaker) -> None:
    """What clone could not do: join and make the other namespaces, pick up what lies on the host, be who one is."""
    spec, plan = birth.spec, namespaces.plan(birth.spec)
    for path, flag in plan.init_joins:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        kernel.setns(descriptor, flag)
        os.close(descriptor)
    if plan.init_unshares:
        kernel.unshare(plan.init_unshares)
    for offset in spec.time_offsets:
        # Before anybody lives in the new time namespace, which this process enters at its exec.
        kernel.write_file("/proc/self/timens_offsets", f"{offset.clock} {offset.seconds} {offset.nanoseconds}")
    maker.pick_up(birth.root, birth.root_path)
    if spec.init:
        take_name()
    if spec.has_own("user"):
        # Until now the host's root, whom the user namespace knows as nobody; from here on its own.
        kernel.setresgid(0)
        kernel.setresuid(0)
    if spec.hostname:
        kernel.sethostname(spec.hostname)
    if spec.domainname:
        kernel.setdomainname(spec.domainname)


def _settle(
    kernel: Kernel, birth: Birth, dialogue: socket.socket, stdio: Stdio | None, maker: rootfs.RootfsMaker
) -> NoReturn:
    """From complete namespaces to the command: move into the root file system, and shut the doors behind."""
    spec, process = birth.spec, birth.spec.process
    maker.make_filesystems()
    if birth.before_pivot is not None:
        birth.before_pivot()
    maker.pivot()
    maker.attach()
    for key, value in spec.sysctls.items():
        kernel.write_file("/proc/sys/" + key.replace(".", "/"), value)
    os.setsid()
    slave = -1
    if process.terminal:
        slave = _send_terminal(kernel, process, dialogue, bind=spec.has_new("mount"))
    warnings = privileges.confine(kernel, process)
    maker.protect()
    _make_cwd(process.cwd)
    _become(kernel, process, birth.terms, dialogue, stdio, slave, warnings, birth)


def _exec(kernel: Kernel, entry: Entry, process: ProcessSpec, dialogue: socket.socket, stdio: Stdio | None) -> NoReturn:
    _forget_the_parent(kernel)
    _move_in(kernel, entry.terms)
    _expect(dialogue, Mapped)
    if entry.flags & c.CLONE_NEWUSER and stdio is not None:
        give_pipes(stdio, *(root_outside(kernel, entry.pid, kind) for kind in ("uid", "gid")))
    if entry.flags:
        # All at once: the kernel sees to it that the user namespace takes effect first.
        kernel.setns(entry.pidfd, entry.flags)
    if entry.flags & c.CLONE_NEWUSER:
        kernel.setresgid(0)
        kernel.setresuid(0)
    if not entry.flags & c.CLONE_NEWNS:
        kernel.chroot(f"/proc/{entry.pid}/root")
        os.chdir("/")
    os.setsid()
    slave = _send_terminal(kernel, process, dialogue, bind=False) if process.terminal else -1
    warnings = privileges.confine(kernel, process)
    _become(kernel, process, entry.terms, dialogue, stdio, slave, warnings, None)


def _become(
    kernel: Kernel, process: ProcessSpec, terms: Terms, dialogue: socket.socket, stdio: Stdio | None, slave: int,
    warnings: tuple[str, ...], birth: Birth | None,
) -> NoReturn:  # fmt: skip
    """The common end of both lives: park, then drop every privilege and execute the command.

    Args:
        birth: what only init is told; None for a further process.
    """
    identity = users.look_up(process.user, process.additional_groups, _text("/etc/passwd"), _text("/etc/group"))
    plan = privileges.plan(process, identity, terms.seccomp)
    plan, cut = privileges.cut_to_attainable(plan, may_raise=bool(process.rlimits) and _may_raise_limits())
    env = environment(process, identity.home)

    # Before it parks: what we hold of the parent's own streams would keep their readers waiting for the end.
    if slave >= 0:
        console.take_terminal(kernel, slave, identity.uid)
    elif stdio is not None:
        take_stdio(stdio, identity.uid)
    if birth is not None and birth.gate >= 0:
        # Who is told at the gate, later, can only say that it did not start: a wrong command is told now.
        _enter(process.cwd)
        executable.find(process.args, process.env)
    say(dialogue, Ready((*warnings, *cut)))
    if birth is not None and birth.gate >= 0:
        _await_later_parent(dialogue, birth.gate)
    _expect(dialogue, Proceed)

    kernel.close_range(3 + terms.preserved, close_on_exec=True)
    os.umask(process.umask)
    privileges.drop(kernel, plan, terms.last_capability, terms.dropped)
    _enter(process.cwd)
    if birth is not None and birth.spec.init:
        reap_for_child(kernel, dialogue, terms.outlives_parent)
    path = executable.find(process.args, process.env)
    if birth is not None and birth.before_exec is not None:
        birth.before_exec()
    if not terms.outlives_parent:
        # Else the command would outlive whoever reaps it; set last, for a change of user clears it.
        kernel.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        kernel.execve(path, process.args, env)
    except SyscallError as error:
        raise executable.explain(process.args[0], error.errno) from None


def _await_later_parent(dialogue: socket.socket, gate: int) -> None:
    """Let the parent go that bore us; the dialogue goes on with whoever connects to the gate."""
    with socket.socket(fileno=gate) as listener:
        later, _ = listener.accept()
    os.dup2(later.fileno(), dialogue.fileno(), inheritable=False)
    later.close()


def environment(process: ProcessSpec, home: str) -> dict[str, str]:
    """The command's environment: its own words and nothing of ours, with HOME where it is absent."""
    env = dict(word.split("=", 1) for word in process.env if "=" in word)
    env.setdefault("HOME", home)
    return env


def _forget_the_parent(kernel: Kernel) -> None:
    """Undo what a fork of our interpreter brings along, and hide its memory from the container."""
    kernel.prctl(c.PR_SET_DUMPABLE, 0)
    for caught in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(caught, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _move_in(kernel: Kernel, terms: Terms) -> None:
    """Join the container's cgroups and its session keyring."""
    if terms.join_cgroups is not None:
        terms.join_cgroups(kernel)
    if terms.keyring:
        try:
            kernel.join_session_keyring(terms.keyring)
        except SyscallError as error:
            if error.errno != errno.ENOSYS:  # a kernel without keyrings has none to protect
                raise


def _expect(dialogue: socket.socket, word: type[Mapped] | type[Proceed]) -> None:
    message, _ = hear(dialogue)
    if message is None:
        os._exit(1)  # the parent is gone, nobody is left to tell
    if not isinstance(message, word):
        raise MiniDockerError(f"the parent said {message} where {word.__name__} was due")


def _show_sandbox(spec: ContainerSpec, dialogue: socket.socket) -> None:
    if not spec.has_new("network"):
        say(dialogue, Sandboxed())
        return
    # Sent by init itself: looked up by the parent it could be gone, if init failed at its next step.
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as netlink:
        say(dialogue, Sandboxed(), namespace, netlink.fileno())
    os.close(namespace)


def _send_terminal(kernel: Kernel, process: ProcessSpec, dialogue: socket.socket, bind: bool) -> int:
    master, slave, path = console.open_terminal(kernel)
    if process.rows and process.columns:
        console.set_size(kernel, slave, process.rows, process.columns)
    if bind:
        console.bind_console(kernel, path)
    say(dialogue, Terminal(), master)
    os.close(master)
    return slave


def _make_cwd(cwd: str) -> None:
    """Docker makes the working directory where an image lacks it."""
    try:
        os.makedirs(cwd, 0o755, exist_ok=True)
    except OSError as error:
        raise MiniDockerError(f"working directory {cwd}: {os.strerror(error.errno or 0).lower()}") from None


def _enter(cwd: str) -> None:
    try:
        os.chdir(cwd)
        # A working directory outside the root (CVE-2024-21626: one reached through a leaked
        # descriptor) has no path in it.
        outside = not os.getcwd().startswith("/")
    except FileNotFoundError:
        raise MiniDockerError(f"working directory {cwd} does not exist in the container") from None
    except OSError as error:
        raise MiniDockerError(f"working directory {cwd}: {os.strerror(error.errno or 0).lower()}") from None
    if outside:
        raise MiniDockerError(f"working directory {cwd} is outside of the container's root")


def _may_raise_limits() -> bool:
    if _text("/proc/self/uid_map").split() != _ALL_IDS:
        return False  # powers over a user namespace are none over the machine's limits
    for line in _text("/proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number("CAP_SYS_RESOURCE") & 1)
    return False


def _text(path: str) -> str:
    """A file of the container, as far as it has one; no device, fifo or endless file may stop us here."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return ""
        # proc's files claim to be empty. A buffer of a megabyte would be mapped and unmapped for two lines.
        size = min(max(status.st_size, _LEAST_READ), _MOST_READ)
        return os.read(descriptor, size).decode(errors="surrogateescape")
    finally:
        os.close(descriptor)
