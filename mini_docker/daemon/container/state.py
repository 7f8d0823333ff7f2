"""The life cycle of a container: a table of stations and moves, and the ticket that one container holds.

`TRANSITIONS` is the whole truth about which move is possible where; the picture in the docs is drawn
from it. `State` is a frozen value; it knows nothing of processes, disks or locks.

Source: Docker Engine API 1.41, ContainerState; classic Docker's ``daemon/state.go``.
"""

from __future__ import annotations

from typing import Any

from mini_docker.daemon.container.timestamps import format_time, parse_time
from mini_docker.dataclasses import dataclass, replace
from mini_docker.errors import Conflict, MiniDockerError, NotModified
from mini_docker.units import human_duration

CREATED = "created"
RUNNING = "running"
PAUSED = "paused"
RESTARTING = "restarting"
EXITED = "exited"
REMOVING = "removing"
DEAD = "dead"

STATUSES = (CREATED, RUNNING, PAUSED, RESTARTING, EXITED, REMOVING, DEAD)

TRANSITIONS = {
    (CREATED, "start"): RUNNING,
    (EXITED, "start"): RUNNING,
    (RESTARTING, "start"): RUNNING,
    # A start that fails leaves a new container new; the state keeps the exit code and the reason.
    (CREATED, "fail"): CREATED,
    (EXITED, "fail"): EXITED,
    (RESTARTING, "fail"): EXITED,
    (RUNNING, "pause"): PAUSED,
    (PAUSED, "unpause"): RUNNING,
    (RUNNING, "exit"): EXITED,
    (PAUSED, "exit"): EXITED,
    # The policy will start it again after the backoff; a stop in the meantime ends that.
    (EXITED, "await_restart"): RESTARTING,
    (RESTARTING, "give_up"): EXITED,
    (CREATED, "remove"): REMOVING,
    (EXITED, "remove"): REMOVING,
    (DEAD, "remove"): REMOVING,
    # What could not be removed whole is dead: it may only be removed again.
    (REMOVING, "stick"): DEAD,
}
"""(status, move) → status."""

_REFUSALS: dict[tuple[str, str], tuple[type[MiniDockerError], str]] = {
    (RUNNING, "start"): (NotModified, "Container {id} is already running"),
    (PAUSED, "start"): (Conflict, "cannot start a paused container, try unpause instead"),
    (REMOVING, "start"): (Conflict, "container is marked for removal and cannot be started"),
    (DEAD, "start"): (Conflict, "container is marked for removal and cannot be started"),
    (PAUSED, "pause"): (Conflict, "Container {id} is already paused"),
    (RESTARTING, "pause"): (Conflict, "Container {id} is restarting, wait until the container is running"),
    (RUNNING, "unpause"): (Conflict, "Container {id} is not paused"),
    (PAUSED, "remove"): (
        Conflict,
        "You cannot remove a paused container {id}. Unpause and then stop the container before attempting removal "
        "or force remove",
    ),
    (RUNNING, "remove"): (
        Conflict,
        "You cannot remove a running container {id}. Stop the container before attempting removal or force remove",
    ),
    (RESTARTING, "remove"): (
        Conflict,
        "You cannot remove a restarting container {id}. Stop the container before attempting removal or force remove",
    ),
    (REMOVING, "remove"): (Conflict, "removal of container {id} is already in progress"),
}
"""Docker's words for the refusals that users meet; the others say the plain fact."""


@dataclass(frozen=True, slots=True)
class State:
    """Where in its life a container is.

    Attributes:
        pid: of its init as the host sees it; 0 when there is none.
        exit_code: of its last run; 127 or 126 when its command could not be executed.
        oom_killed: the kernel killed a process of the last run for want of memory.
        error: why the last start failed; else empty.
        started, finished: of the last run, nanoseconds since the epoch; 0 never.
    """

    status: str = CREATED
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    started: int = 0
    finished: int = 0

    @property
    def running(self) -> bool:
        """Whether it has a process, frozen or not."""
        return self.status in (RUNNING, PAUSED)

    @property
    def paused(self) -> bool:
        """Whether its processes are frozen."""
        return self.status == PAUSED

    @property
    def restarting(self) -> bool:
        """Whether its restart policy will start it again soon."""
        return self.status == RESTARTING

    def after(self, move: str, container: str = "", **changes: Any) -> State:
        """The state after *move*, with further fields changed.

        Raises:
            Conflict: the move is not possible now. NotModified: it is pointless now.
        """
        status = TRANSITIONS.get((self.status, move))
        if status is None:
            kind, text = _REFUSALS.get(
                (self.status, move),
                (Conflict, "Container {id} is not running" if move in ("pause", "unpause", "exit") else ""),
            )
            raise kind(text.format(id=container) or f"cannot {move} container {container}: it is {self.status}")
        return replace(self, status=status, **changes)

    def to_json(self) -> dict[str, Any]:
        """The State of ``docker inspect``."""
        return {
            "Status": self.status,
            "Running": self.running or self.restarting,
            "Paused": self.paused,
            "Restarting": self.restarting,
            "OOMKilled": self.oom_killed,
            "Dead": self.status == DEAD,
            "Pid": self.pid,
            "ExitCode": self.exit_code,
            "Error": self.error,
            "StartedAt": format_time(self.started),
            "FinishedAt": format_time(self.finished),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        """The inverse of `to_json`."""
        return cls(
            data["Status"], data["Pid"], data["ExitCode"], data["OOMKilled"], data["Error"],
            parse_time(data["StartedAt"]), parse_time(data["FinishedAt"]),
        )  # fmt: skip

    def summary(self, now: int) -> str:
        """The words of ``docker ps``: ``Up 3 minutes``, ``Exited (0) 2 hours ago``, ``Created``.

        Args:
            now: nanoseconds since the epoch.
        """
        match self.status:
            case "running":
                return f"Up {_duration(self.started, now)}"
            case "paused":
                return f"Up {_duration(self.started, now)} (Paused)"
            case "restarting":
                return f"Restarting ({self.exit_code}) {_duration(self.finished, now)} ago"
            case "exited":
                return f"Exited ({self.exit_code}) {_duration(self.finished, now)} ago"
            case "removing":
                return "Removal In Progress"
            case _:
                return self.status.capitalize()


def _duration(since: int, now: int) -> str:
    return human_duration((now - since) / 1e9)
