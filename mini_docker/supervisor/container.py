"""A container as the supervisor holds it: its init, its further processes, and what it keeps open for them.

It knows descriptors and processes; limits, networks and names are the daemon's.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from mini_docker.dataclasses import dataclass, field
from mini_docker.libcontainer.cgroups.oom import OomWatch
from mini_docker.supervisor.connection import Connection
from mini_docker.supervisor.loop import HANGUP, Loop
from mini_docker.supervisor.process import HeldProcess, Stage


@dataclass(slots=True)
class HeldContainer:
    """*Fixed*: ``id``, ``cgroup``, ``namespaces``, ``init``, ``root``; the rest is the loop's alone to change.

    Of its spec it keeps what is asked for again: a start's fork copies whatever the supervisor has in memory.

    Attributes:
        cgroup: the path of its cgroups.
        namespaces: those that set it apart from the host, as setns(2)'s flags: a further process joins them.
        root: descriptor of the root mount, ours; -1 when it lies at a host path. It is kept until
            the container is deleted: for the next daemon, and because the last close of an
            overlay may have to wait for the disk, which nobody should feel at an exit.
        deleted_by: who waits to hear that nothing is left of it.
        oom_watch: moves when the kernel killed for want of memory; only a limited container has one.
    """

    id: str
    cgroup: str
    namespaces: int
    init: HeldProcess
    root: int
    execs: dict[str, HeldProcess] = field(default_factory=dict)
    bells: list[LogBell] = field(default_factory=list)
    oom_killed: bool = False
    deleted_by: list[Connection] = field(default_factory=list)
    oom_watch: OomWatch | None = None

    @property
    def started(self) -> bool:
        """Whether the command was, or is being, executed."""
        return self.init.stage in (Stage.RUNNING, Stage.ENDED)

    def ring(self) -> None:
        """Tell the followers of the log that it grew."""
        for bell in list(self.bells):
            bell.ring()

    def ended(self, oom_killed: bool) -> dict[str, Any]:
        """Init ended: nothing more will be logged. Returns the event."""
        self.oom_killed = oom_killed
        for bell in list(self.bells):
            bell.close()
        return ending_event(self, "")

    def found(self) -> dict[str, Any]:
        """What a new daemon is told."""
        ending = self.init.ending
        return {
            "container": self.id,
            "pid": 0 if ending else self.init.pid,
            "started": self.started,
            "exited": ending_event(self, "") if ending else None,
            "root": self.root >= 0,
            "executions": {id_: process.pid for id_, process in self.execs.items() if process.ending is None},
            "cgroup": self.cgroup,
        }

    def release(self) -> None:
        """End all of its processes and close all that it holds."""
        for bell in list(self.bells):
            bell.close()
        # Init first: with its pid namespace every other process dies.
        for process in (self.init, *self.execs.values()):
            process.release()
        if self.root >= 0:
            os.close(self.root)


def ending_event(container: HeldContainer, execution: str) -> dict[str, Any]:
    """The end of a process as an event for the daemon."""
    process = container.execs[execution] if execution else container.init
    assert process.ending is not None
    return {
        "event": "exited", "container": container.id, "execution": execution, "exit_code": process.ending.exit_code,
        "finished": process.ending.finished, "oom_killed": container.oom_killed, "cgroup": container.cgroup,
    }  # fmt: skip


def found_earlier(ending: dict[str, Any]) -> dict[str, Any]:
    """What a new daemon is told of a container that ended under an earlier supervisor."""
    return {
        "container": ending["container"], "pid": 0, "started": True, "exited": ending, "root": False,
        "executions": {}, "cgroup": ending["cgroup"],
    }  # fmt: skip


class LogBell:
    """A follower of a log: hears a byte whenever it grew. Bytes may merge, so none is ever waited for."""

    def __init__(self, loop: Loop, channel: socket.socket, container: HeldContainer) -> None:
        self._loop = loop
        self._channel = channel
        self._container = container
        channel.setblocking(False)
        loop.watch(channel.fileno(), HANGUP, lambda events: self.close())
        container.bells.append(self)

    def ring(self) -> None:
        """One byte, if there is room for it; else an earlier one is still unheard and will do."""
        try:
            self._channel.send(b"\0")
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def close(self) -> None:
        """Nothing more will be logged."""
        if self._channel.fileno() >= 0:
            self._loop.forget(self._channel.fileno())
            self._channel.close()
            self._container.bells.remove(self)
