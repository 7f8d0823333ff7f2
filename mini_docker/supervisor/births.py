"""Births: from a container that was announced to a process that the supervisor holds, with its streams and its log.

It knows blueprints, who waits in the nursery, and what a process needs beside its life: pipes, a log. It knows nothing
of who asked, of connections, or of containers that live already.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mini_docker.dataclasses import dataclass, replace
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.cgroups.view import spell_out
from mini_docker.libcontainer.config import ProcessSpec
from mini_docker.libcontainer.parent import Newborn, Parent, born_into, bury, house
from mini_docker.libcontainer.privileges import bounding_set
from mini_docker.libcontainer.terms import Birth, Entry, Stdio, Terms
from mini_docker.linux.kernel import Kernel
from mini_docker.supervisor.blueprint import Blueprint
from mini_docker.supervisor.container import HeldContainer
from mini_docker.supervisor.log_writer import LogWriter
from mini_docker.supervisor.loop import Loop
from mini_docker.supervisor.nursery import Nursery
from mini_docker.supervisor.process import HeldProcess, Outcome
from mini_docker.supervisor.stdio import ProcessStdio


@dataclass(slots=True)
class Announcement:
    """A container that will be created, and what is ready for it.

    Attributes:
        birth: without its root, which comes with the creation.
        stdio: what shall become of its streams, as the protocol says it.
        named: an init that was born ahead of need and has got its name, and its cgroup the container's; None if one
            must be born, or when it is taken.
        limited: if there was one: a warning for each limit that the kernel lacks. None if cgroups must be made.
        log: the open log of its output; None if it wants none, or when it is taken.
    """

    birth: Birth
    stdio: dict[str, Any]
    named: Newborn | None = None
    limited: tuple[str, ...] | None = None
    log: LogWriter | None = None

    def take_named(self) -> Newborn | None:
        """It is the caller's now."""
        named, self.named = self.named, None
        return named

    def take_log(self) -> LogWriter | None:
        """It is the caller's now."""
        log, self.log = self.log, None
        return log

    def release(self, kernel: Kernel) -> None:
        """Let go of what nobody has taken, and of our end of the narration: init has its own by now, if it was born."""
        if (named := self.take_named()) is not None:
            bury(kernel, named)
        if (log := self.take_log()) is not None:
            log.close()
        if self.birth.terms.narration >= 0:
            os.close(self.birth.terms.narration)


class Births:
    """The supervisor's maternity ward. The loop's thread alone uses it.

    Args:
        stage: an existing directory of the host, for the pivot (see `Birth`).
    """

    def __init__(self, loop: Loop, kernel: Kernel, cgroups: CgroupManager, stage: str) -> None:
        self._loop = loop
        self._kernel = kernel
        self._cgroups = cgroups
        self._stage = stage
        self._last_capability = int(kernel.read_file("/proc/sys/kernel/cap_last_cap"))
        self._parent = Parent(kernel)
        self.nursery = Nursery(loop, kernel, self._parent, cgroups)

    def plan(self, container: str, blueprint: Blueprint) -> Birth:
        """What a blueprint means on this machine; its root is still missing.

        Raises:
            Invalid: it wants a capability that is none.
        """
        spec = replace(blueprint.spec, mounts=spell_out(blueprint.spec, self._cgroups.hierarchy))
        bounding_set(spec.process)  # says now what is wrong with it: later an answer to something else is due
        return Birth(spec, -1, "", self._stage, self._terms(container, blueprint.seccomp))

    def announce(self, birth: Birth, stdio_wish: dict[str, Any]) -> Announcement:
        """Make ready what can be made while the daemon makes files and root.

        Raises:
            OSError: the log cannot be opened. The narration, if there is one, is closed then.
        """
        announced = Announcement(birth, stdio_wish)
        try:
            if (waited := self.nursery.take(birth)) is not None:
                announced.named, announced.limited = waited.newborn, waited.warnings
            if stdio_wish["log"]:  # to make a file takes up to 0.3 ms
                announced.log = LogWriter(stdio_wish["log"], stdio_wish["log_limit_bytes"], stdio_wish["log_files"])
        except BaseException:
            announced.release(self._kernel)
            raise
        return announced

    def bear(
        self, announced: Announcement, birth: Birth, on_sandboxed: Callable[[Outcome], None],
        on_ended: Callable[[], None], on_logged: Callable[[], None],
    ) -> HeldProcess:  # fmt: skip
        """Bear the init of a container that was announced, or tell the one that waits where it will live.

        Args:
            birth: the announcement's, with its root.
            on_sandboxed, on_ended: see `HeldProcess`.
            on_logged: see `ProcessStdio`.
        """

        def with_streams(streams: Stdio | None) -> HeldProcess:
            newborn = self._housed(announced.take_named(), birth, streams) or born_into(
                self._cgroups,
                birth.spec.cgroup,
                birth.terms,
                lambda terms, cgroup: self._parent.bear(replace(birth, terms=terms), streams, cgroup),
            )
            stdio = ProcessStdio(self._loop, announced.take_log(), announced.stdio["stdin_once"], on_logged)
            return self._held(newborn, stdio, on_sandboxed, on_ended)

        return _with_streams(birth.spec.process, announced.stdio["open_stdin"], with_streams)

    def bear_further(
        self, container: HeldContainer, process: ProcessSpec, seccomp: bytes, stdio_wish: dict[str, Any],
        on_ended: Callable[[], None],
    ) -> HeldProcess:  # fmt: skip
        """Bear a further process of a container that runs."""
        terms = self._terms(container.id, seccomp)
        entry = Entry(container.init.pid, container.init.pidfd, container.namespaces, terms)

        def with_streams(streams: Stdio | None) -> HeldProcess:
            newborn = born_into(
                self._cgroups,
                container.cgroup,
                terms,
                lambda terms, cgroup: self._parent.bear_exec(replace(entry, terms=terms), process, streams, cgroup),
            )
            stdio = ProcessStdio(self._loop, None, stdio_wish["stdin_once"])
            return self._held(newborn, stdio, lambda outcome: None, on_ended)

        return _with_streams(process, stdio_wish["open_stdin"], with_streams)

    def _held(
        self, newborn: Newborn, stdio: ProcessStdio, on_sandboxed: Callable[[Outcome], None],
        on_ended: Callable[[], None],
    ) -> HeldProcess:  # fmt: skip
        try:
            return HeldProcess(self._loop, self._kernel, newborn, stdio, on_sandboxed, on_ended)
        except BaseException:  # the loop takes no more descriptors
            bury(self._kernel, newborn)
            stdio.close()
            raise

    def _terms(self, container: str, seccomp: bytes) -> Terms:
        return Terms(seccomp, self._last_capability, keyring=f"_ses.{container}")  # the name that runc gives a keyring

    def _housed(self, named: Newborn | None, birth: Birth, streams: Stdio | None) -> Newborn | None:
        """The init that has its name already, told where it will live; None when there is none."""
        if named is not None:
            try:
                house(named, birth, streams)
            except OSError:
                bury(self._kernel, named)  # it is dead: somebody else killed it
                return None
        return named


def _with_streams(process: ProcessSpec, open_stdin: bool, bear: Callable[[Stdio | None], HeldProcess]) -> HeldProcess:
    """Bear a process with pipes for its streams, or with none when it opens a terminal."""
    if process.terminal:
        return bear(None)
    ours, theirs = _pipes(open_stdin)
    try:
        held = bear(theirs)
    except BaseException:
        for descriptor in ours:
            if descriptor >= 0:
                os.close(descriptor)
        raise
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    held.stdio.set_pipes(*ours)
    return held


def _pipes(open_stdin: bool) -> tuple[tuple[int, int, int], Stdio]:
    """(our ends, the process's ends); our stdin is -1 when it reads the end of file from the start."""
    opened: list[int] = []
    try:
        if open_stdin:
            opened += os.pipe2(os.O_CLOEXEC)
        else:
            opened += (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1)
        for _ in ("stdout", "stderr"):
            opened += os.pipe2(os.O_CLOEXEC)
    except OSError:
        for descriptor in opened:
            if descriptor >= 0:
                os.close(descriptor)
        raise
    their_in, our_in, our_out, their_out, our_err, their_err = opened
    return (our_in, our_out, our_err), (their_in, their_out, their_err)
