"""The parent half: gives birth to a container's init, or to a further process.

It has two users, the supervisor and the OCI runtime command. After `bear` or `bear_exec` each
listens to the dialogue in its own way: the first from an event loop, the second by blocking.

The caller is single-threaded: it forks, and it enters other pid namespaces for a moment.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from mini_docker.libcontainer import dialogue, namespaces
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.config import ContainerSpec, ProcessSpec
from mini_docker.libcontainer.init import run_exec, run_init
from mini_docker.libcontainer.streams import give_pipes
from mini_docker.libcontainer.terms import Birth, Entry, Stdio, Terms
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.id_mapping import IdMap
from mini_docker.linux.kernel import Kernel
from mini_docker.linux.narrated import narrate_to


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

        if stdio is not None and birth.spec.has_new("user"):
            give_pipes(stdio, _root_outside(birth.spec.uid_map), _root_outside(birth.spec.gid_map))
        kernel = narrate_to(self._kernel, birth.terms.narration, "parent")
        keep = (birth.root, birth.gate, *keep, *_kept(birth.terms, stdio))
        newborn = self._clone(kernel, plan.clone_flags, plan.parent_joins, cgroup, live, keep)
        return self._map(kernel, newborn, birth.spec if birth.spec.has_new("user") else None)

    def bear_exec(self, entry: Entry, process: ProcessSpec, stdio: Stdio | None, cgroup: int = -1) -> Newborn:
        """Give birth to a further process of a running container."""

        def live(end: socket.socket) -> NoReturn:
            run_exec(self._kernel, entry, process, end, stdio)

        kernel = narrate_to(self._kernel, entry.terms.narration, "parent")
        joins = ((f"/proc/{entry.pid}/ns/pid", c.CLONE_NEWPID),)
        keep = (entry.pidfd, *_kept(entry.terms, stdio))
        return self._map(kernel, self._clone(kernel, 0, joins, cgroup, live, keep), None)

    def _clone(
        self, kernel: Kernel, flags: int, joins: Iterable[tuple[str, int]], cgroup: int,
        live: Callable[[socket.socket], NoReturn], keep: Iterable[int],
    ) -> Newborn:  # fmt: skip
        ours, theirs = dialogue.pair()
        joined = 0
        try:
            for path, flag in joins:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    kernel.setns(descriptor, flag)
                finally:
                    os.close(descriptor)
                joined |= flag
            pid, pidfd = kernel.clone3(flags, cgroup)
            if pid == 0:
                # Other containers' pipes must not be held open in here while it is parked.
                _close_all_but(self._kernel, {0, 1, 2, theirs.fileno(), *keep})
                live(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            if joined & c.CLONE_NEWPID:
                kernel.setns(self._own_pid_namespace, c.CLONE_NEWPID)
        return Newborn(pid, pidfd, ours)

    def _map(self, kernel: Kernel, newborn: Newborn, spec: ContainerSpec | None) -> Newborn:
        try:
            if spec is not None:
                kernel.write_file(f"/proc/{newborn.pid}/uid_map", _id_map(spec.uid_map))
                kernel.write_file(f"/proc/{newborn.pid}/gid_map", _id_map(spec.gid_map))
            dialogue.say(newborn.dialogue, dialogue.Mapped())
        except BaseException:
            bury(self._kernel, newborn)
            raise
        return newborn


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


def _root_outside(maps: tuple[IdMap, ...]) -> int:
    return next((entry.host_id for entry in maps if entry.container_id == 0), 0)


def _id_map(maps: tuple[IdMap, ...]) -> str:
    return "".join(f"{entry.container_id} {entry.host_id} {entry.size}\n" for entry in maps)
