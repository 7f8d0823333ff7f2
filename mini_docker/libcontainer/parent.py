"""The parent half: gives birth to a container's init, or to a further process.

It has two users, the supervisor and the OCI runtime command. After `bear` or `bear_exec` each
listens to the dialogue in its own way: the first from an event loop, the second by blocking.

The caller is single-threaded: it forks, and it enters other pid namespaces for a moment.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from mini_docker.dataclasses import dataclass, replace
from mini_docker.errors import MiniDockerError
from mini_docker.libcontainer import dialogue, namespaces, unnamed
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.config import ContainerSpec, ProcessSpec
from mini_docker.libcontainer.init import run_exec, run_init, run_unnamed
from mini_docker.libcontainer.privileges import grant
from mini_docker.libcontainer.streams import give_pipes, root_outside
from mini_docker.libcontainer.terms import Birth, Entry, Join, Stdio, Terms
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.id_mapping import IdMap
from mini_docker.linux.kernel import Kernel
from mini_docker.linux.narrated import narrate_to

_ANSWER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Newborn:
    """A process that was just born, and the parent's end of the dialogue with it. The caller owns both descriptors."""

    pid: int
    pidfd: int
    dialogue: socket.socket


class Parent:
    """Clones and writes id maps.

    Args:
        kernel: the door.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def bear(self, birth: Birth, stdio: Stdio | None, cgroup: int = -1, keep: Sequence[int] = ()) -> Newborn:
        """Give birth to a container's init; it goes on by itself until it parks.

        Args:
            stdio: the child's three streams; None when it opens a terminal.
            cgroup: descriptor of a cgroup v2 directory to be born into; -1 when init joins by itself.
            keep: further descriptors that init needs, beside those that *birth* names.
        """
        plan = namespaces.plan(birth.spec)

        def live(end: socket.socket) -> NoReturn:
            run_init(self._kernel, birth, end, stdio)

        kernel = narrate_to(self._kernel, birth.terms.narration, "parent")
        keep = (birth.root, birth.gate, *keep, *_kept(birth.terms, stdio))
        newborn = self._clone(kernel, plan, cgroup, live, keep)
        with self._burying(newborn):
            if birth.spec.has_new("user"):
                kernel.write_file(f"/proc/{newborn.pid}/uid_map", _id_map(birth.spec.uid_map))
                kernel.write_file(f"/proc/{newborn.pid}/gid_map", _id_map(birth.spec.gid_map))
            if birth.spec.has_own("user"):
                if stdio is not None:
                    give_pipes(stdio, *(root_outside(self._kernel, newborn.pid, kind) for kind in ("uid", "gid")))
                grant(kernel, newborn.pid, birth.spec.process)
            _tell_mapped(newborn)
        return newborn

    def bear_unnamed(self, model: Birth, cradle: str, join: Join) -> Newborn:
        """Give birth to an init ahead of need: it prepares what is alike for all, and waits for its `name`.

        Args:
            model: whom the next container is probably like (see `unnamed.expectable`); without a root.
            cradle: path of the cgroups that it lies in while it waits.
            join: how it gets there.
        """

        def live(end: socket.socket) -> NoReturn:
            run_unnamed(self._kernel, model, cradle, join, end)

        plan = namespaces.plan(model.spec)
        # It makes its network namespace itself: that waits while an old one is taken down, up to 7 ms, and nobody is to
        # wait with it.
        plan = replace(plan, clone_flags=plan.clone_flags & ~c.CLONE_NEWNET)
        newborn = self._clone(self._kernel, plan, -1, live, ())
        with self._burying(newborn):
            _tell_mapped(newborn)
            unnamed.rehearse(model)
        return newborn

    def bear_exec(self, entry: Entry, process: ProcessSpec, stdio: Stdio | None, cgroup: int = -1) -> Newborn:
        """Give birth to a further process of a running container."""

        def live(end: socket.socket) -> NoReturn:
            run_exec(self._kernel, entry, process, end, stdio)

        kernel = narrate_to(self._kernel, entry.terms.narration, "parent")
        plan = namespaces.NamespacePlan(0, ((f"/proc/{entry.pid}/ns/pid", c.CLONE_NEWPID),), (), 0)
        keep = (entry.pidfd, *_kept(entry.terms, stdio))
        newborn = self._clone(kernel, plan, cgroup, live, keep)
        with self._burying(newborn):
            if entry.flags & c.CLONE_NEWUSER:
                grant(kernel, newborn.pid, process)
            _tell_mapped(newborn)
        return newborn

    def _clone(
        self, kernel: Kernel, plan: namespaces.NamespacePlan, cgroup: int,
        live: Callable[[socket.socket], NoReturn], keep: Iterable[int],
    ) -> Newborn:  # fmt: skip
        """Clone as the plan says; the newborn has its end of the dialogue, what *keep* names, and its three streams.

        Whatever happens, this process is where it was before, and holds no descriptor more but those of the newborn.
        """

        def be_born() -> NoReturn:
            # Other containers' pipes must not be held open in here while it is parked.
            _close_all_but(self._kernel, {0, 1, 2, theirs.fileno(), *keep})
            live(theirs)

        ours, theirs = dialogue.pair()
        joined = 0
        try:
            for path, flag in plan.parent_joins:
                _enter(kernel, ((path, flag),))
                joined |= flag
            if plan.midwife_joins:
                pid, pidfd = self._clone_by_midwife(kernel, plan, cgroup, be_born)
            else:
                pid, pidfd = kernel.clone3(plan.clone_flags, cgroup)
                if pid == 0:
                    be_born()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            if joined & c.CLONE_NEWPID:
                kernel.setns(self._own_pid_namespace, c.CLONE_NEWPID)
        return Newborn(pid, pidfd, ours)

    def _clone_by_midwife(
        self, kernel: Kernel, plan: namespaces.NamespacePlan, cgroup: int, be_born: Callable[[], NoReturn]
    ) -> tuple[int, int]:
        """Clone from within another user namespace; the newborn is our child all the same (clone(2), CLONE_PARENT)."""
        heard, said = os.pipe()
        with open(heard, "rb") as answer:
            try:
                midwife, midwife_pidfd = kernel.clone3(0, cgroup)
                if midwife == 0:
                    _deliver(kernel, plan, be_born, said)
            finally:
                os.close(said)
            os.close(midwife_pidfd)
            word = answer.read(_ANSWER_BYTES).decode(errors="replace")
        os.waitpid(midwife, 0)
        if not word.isdecimal():
            raise MiniDockerError(word or "the user namespace could not be entered")
        return int(word), kernel.pidfd_open(int(word))  # it is ours to reap, so its number is nobody else's

    @contextmanager
    def _burying(self, newborn: Newborn) -> Iterator[None]:
        """Bury the newborn if the block fails."""
        try:
            yield
        except BaseException:
            bury(self._kernel, newborn)
            raise


def name(newborn: Newborn, birth: Birth, model: Birth) -> None:
    """Tell an init that was born ahead of need who it is. It makes its plans, and waits to be housed.

    Args:
        birth: its root may still be missing.
        model: whom it was born to be like.

    Raises:
        OSError: it is dead.
        ValueError: its spec is longer than the dialogue carries.
    """
    dialogue.say(newborn.dialogue, unnamed.write(birth, model))


def house(newborn: Newborn, birth: Birth, stdio: Stdio | None) -> None:
    """Tell one that has its name where it will live; from now on it is as one born by `Parent.bear`.

    Raises:
        OSError: it is dead.
    """
    word, descriptors = unnamed.write_house(birth, stdio)
    dialogue.say(newborn.dialogue, word, *descriptors)


def born_into(cgroups: CgroupManager, cgroup: str, terms: Terms, bear: Callable[[Terms, int], Newborn]) -> Newborn:
    """Bear a process into a container's cgroups: at once where the kernel can, else it joins by itself.

    Args:
        bear: is called with the terms to bear it on and, for `Parent.bear` and its sister, the cgroup's descriptor.
    """
    directory = cgroups.open_for_clone(cgroup)
    if directory < 0:
        return bear(replace(terms, join_cgroups=lambda door: cgroups.join(cgroup, door)), -1)
    try:
        return bear(terms, directory)
    finally:
        os.close(directory)


def bury(kernel: Kernel, newborn: Newborn) -> None:
    """End a process that shall not live, and release what stood for it."""
    newborn.dialogue.close()
    try:
        kernel.pidfd_send_signal(newborn.pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, newborn.pidfd, os.WEXITED)
    except (SyscallError, ChildProcessError):
        pass  # it was faster
    os.close(newborn.pidfd)


def joinable_flags(spec: ContainerSpec) -> int:
    """The namespaces, other than pid and time, that set the container apart from the host."""
    flags = 0
    for namespace in spec.namespaces:
        if namespace.kind not in ("pid", "time"):
            flags |= c.NAMESPACE_FLAGS[namespace.kind]
    return flags


def _kept(terms: Terms, stdio: Stdio | None) -> tuple[int, ...]:
    return (terms.narration, *range(3, 3 + terms.preserved), *(stdio or ()))


def _close_all_but(kernel: Kernel, keep: set[int]) -> None:
    first = 0
    for descriptor in sorted(keep - {-1}):
        if descriptor > first:
            kernel.close_range(first, descriptor - 1)
        first = descriptor + 1
    kernel.close_range(first)


def _tell_mapped(newborn: Newborn) -> None:
    with suppress(BrokenPipeError):  # it has failed already: whoever listens to it hears why
        dialogue.say(newborn.dialogue, dialogue.Mapped())


def _deliver(kernel: Kernel, plan: namespaces.NamespacePlan, be_born: Callable[[], NoReturn], said: int) -> NoReturn:
    """The midwife's life: enter, bear the newborn, say its pid or what went wrong, and end."""
    try:
        _enter(kernel, plan.midwife_joins)
        pid, _ = kernel.clone3(plan.clone_flags | c.CLONE_PARENT)
        if pid == 0:
            be_born()
        os.write(said, str(pid).encode())
    except BaseException as error:
        os.write(said, str(error).encode())
    finally:
        os._exit(0)


def _enter(kernel: Kernel, joins: Sequence[tuple[str, int]]) -> None:
    """Enter namespaces; all are opened first, since the first one entered decides what can be seen afterwards."""
    opened: list[int] = []
    try:
        for path, _ in joins:
            opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        for descriptor, (_, flag) in zip(opened, joins, strict=True):
            kernel.setns(descriptor, flag)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _id_map(maps: tuple[IdMap, ...]) -> str:
    """The text of a process's uid_map or gid_map (user_namespaces(7))."""
    return "".join(f"{entry.container_id} {entry.host_id} {entry.size}\n" for entry in maps)
