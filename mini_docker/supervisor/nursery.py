"""The nursery: keeps an init that was born ahead of need, so that a start need not wait for a birth.

Demand fills it: each container that is asked for lets it expect another one of its like. Who is not asked for within
half a minute goes: an idle supervisor keeps nobody.

It knows newborns and when they are stale; what containers are for is the supervisor's to know.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from functools import partial

from mini_docker.dataclasses import dataclass, replace
from mini_docker.errors import MiniDockerError
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.parent import Newborn, Parent, bury, name
from mini_docker.libcontainer.terms import Birth
from mini_docker.libcontainer.unnamed import cradle_beside, expectable
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel
from mini_docker.supervisor.loop import READ, Loop, Timer

FILL_AFTER_SECONDS = 0.05
"""A container that lives on is as good a reason to expect another one as one that ended, but no reason to hurry."""

QUIET_SECONDS = 0.004
"""After a container's end: a birth at once would compete with the daemon's tidying up, and cost a wait 1.2 ms."""

PATIENCE_SECONDS = 30.0
"""How long a newborn waits for its name."""


@dataclass(frozen=True, slots=True)
class Unnamed:
    """An init that waits for its name.

    Attributes:
        model: the birth that it was modelled after.
        cradle: path of the cgroup in which it lies, with the model's limits.
        warnings: of limits that the kernel lacks.
    """

    newborn: Newborn
    model: Birth
    cradle: str
    warnings: tuple[str, ...]


class Nursery:
    """Has one place: who starts many containers at once keeps every core busy anyway. The loop's thread alone uses it.

    Nothing is born ahead on cgroup v2, where a cgroup keeps its name and only who is born in one enters it for free.
    """

    def __init__(self, loop: Loop, kernel: Kernel, parent: Parent, cgroups: CgroupManager) -> None:
        self._loop = loop
        self._kernel = kernel
        self._parent = parent
        self._cgroups = cgroups
        self._useful = cgroups.hierarchy.version == 1
        self._model: Birth | None = None
        self._waiting: Unnamed | None = None
        self._dying: dict[int, Unnamed] = {}
        self._mounts = MountTable()
        self._filling = self._patience = Timer(self._fill)

    def take(self, birth: Birth) -> Unnamed | None:
        """The init that waited, told who it is and lying in the container's cgroups, now the caller's to house or to
        bury; None when none is of its like."""
        if self._mounts.changed():
            self._dismiss()  # in there the host's files are as they were
        waiting = self._waiting
        if waiting is None or not expectable(birth, waiting.model):
            return None
        if _has_ended(waiting.newborn):
            self._dismiss()  # before its cradle, with what is noted there of its end, becomes a container's
            return None
        try:
            # In this order: one that has not found its way into the cradle yet goes where its name says.
            self._cgroups.rename(waiting.cradle, birth.spec.cgroup)
            name(waiting.newborn, birth, waiting.model)
        except (OSError, SyscallError, ValueError):
            # It is dead, a cgroup of that name is left from another time, or there is more to say than a word carries.
            self._dismiss()
            return None
        self._patience.cancel()
        self._waiting = None
        return waiting

    def expect_like(self, birth: Birth) -> None:
        """Such a container was asked for: another one may be."""
        if self._useful and expectable(birth, birth):
            self._model = replace(birth, root=-1)  # which is this one's alone
            if self._waiting is not None and not expectable(birth, self._waiting.model):
                self._dismiss()  # of another kind: who is like it may not come again
            self._fill_after(FILL_AFTER_SECONDS)

    def quiet(self) -> None:
        """Nobody waits for us just now: a good moment to bear one."""
        self._fill_after(QUIET_SECONDS)

    def _fill_after(self, seconds: float) -> None:
        self._filling.cancel()
        self._filling = self._loop.later(seconds, self._fill)

    def _fill(self) -> None:
        if self._model is None or self._waiting is not None:
            return
        cradle = cradle_beside(self._model.spec.cgroup)
        try:
            warnings = self._cgroups.create(cradle, self._model.spec.resources)
            newborn = self._parent.bear_unnamed(self._model, cradle, self._cgroups.join)
        except (OSError, MiniDockerError):
            self._take_away(cradle)
            return  # whoever needs one will hear the reason
        self._waiting = Unnamed(newborn, self._model, cradle, warnings)
        self._patience = self._loop.later(PATIENCE_SECONDS, self._give_up)

    def close(self) -> None:
        """Let it go, and wait for its end."""
        if self._waiting is not None:
            self._dying[self._waiting.newborn.pidfd] = self._waiting
            self._waiting = None
        for dying in self._dying.values():
            bury(self._kernel, dying.newborn)
            self._take_away(dying.cradle)
        self._dying.clear()
        self._mounts.close()

    def _give_up(self) -> None:
        self._model = None
        self._dismiss()

    def _dismiss(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._patience.cancel()
            waiting.newborn.dialogue.close()  # it hears that nobody needs it, and ends
            self._dying[waiting.newborn.pidfd] = waiting
            self._loop.watch(waiting.newborn.pidfd, READ, partial(self._reap, waiting.newborn.pidfd))

    def _reap(self, pidfd: int, _events: int) -> None:
        self._loop.forget(pidfd)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        self._take_away(self._dying.pop(pidfd).cradle)

    def _take_away(self, cradle: str) -> None:
        """Remove what of it is there. What the kernel holds on to, the next daemon's end removes (`prune`)."""
        with suppress(SyscallError):
            self._cgroups.try_delete(cradle)


def _has_ended(newborn: Newborn) -> bool:
    poll = select.poll()
    poll.register(newborn.pidfd, select.POLLIN)
    return bool(poll.poll(0))


class MountTable:
    """Tells whether this process's mount namespace has changed. Source: proc_pid_mountinfo(5)."""

    def __init__(self) -> None:
        self._file = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLPRI)

    def changed(self) -> bool:
        """Since it was asked last."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Stop watching."""
        os.close(self._file)
