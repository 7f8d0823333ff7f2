"""The jobs ``log``, ``events`` and ``subscribers_count``: speaking to the town crier, and listening to him."""

from __future__ import annotations

import queue
import time

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.timestamps import parse_time
from mini_docker.daemon.event_log import FILTERS, Event, EventLog
from mini_docker.daemon.filters import Filters
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.dataclasses import dataclass
from mini_docker.engine import Job


def log_event(job: Job, container: Container, action: str, **attributes: str) -> None:
    """Have a child of *job* log that *action* happened to a container."""
    child = job.child("log", action, container.id, container.config.image)
    child.env.set_json("attributes", attributes | {"name": container.name} | dict(container.config.labels))
    child.run()


def log_other(job: Job, type: str, action: str, actor: str, **attributes: str) -> None:
    """Have a child of *job* log that *action* happened to something that is no container."""
    child = job.child("log", action, actor)
    child.env["type"] = type
    child.env.set_json("attributes", attributes)
    child.run()


class Log:
    """``log ACTION ID [FROM]``: enter an event. Env: type (container), attributes (JSON object)."""

    def __init__(self, events: EventLog) -> None:
        self._events = events

    def __call__(self, job: Job) -> None:
        action, actor = argument(job, 0, "an action"), argument(job, 1, "an actor")
        attributes: dict[str, str] = job.env.get_json("attributes", {})
        if len(job.args) > 2:
            attributes = {"image": job.args[2]} | attributes
        self._events.log(job.env.get("type", "container"), action, actor, attributes)


@dataclass(frozen=True, slots=True)
class EventsRequest:
    """Which events: *since* and *until* in nanoseconds since the epoch, 0 not said."""

    since: int
    until: int
    filters: Filters

    @classmethod
    def decode(cls, job: Job) -> EventsRequest:
        """Read the job's environment."""
        return cls(
            parse_time(job.env.get("since", "")),
            parse_time(job.env.get("until", "")),
            Filters.parse(job.env.get("filters", ""), FILTERS),
        )

    def wants(self, event: Event) -> bool:
        """Whether the event is asked for."""
        return (not self.until or event.nanoseconds <= self.until) and event.matches(self.filters)


class Events:
    """``events``: a JSON object for each event, from *since* to *until*, or for ever."""

    def __init__(self, events: EventLog) -> None:
        self._events = events

    def __call__(self, job: Job) -> None:
        request = EventsRequest.decode(job)
        job.service = True
        with self._events.listen() as (past, arrivals), job.on_cancel(lambda: arrivals.put(None)):
            job.stdout.flush()
            for event in past:
                if request.since and event.nanoseconds >= request.since and request.wants(event):
                    job.stdout.write(event.line)
            while True:
                job.stdout.flush()
                arrived = self._next(arrivals, request.until)
                if arrived is None:
                    return
                if request.wants(arrived):
                    job.stdout.write(arrived.line)

    @staticmethod
    def _next(arrivals: queue.SimpleQueue[Event | None], until: int) -> Event | None:
        try:
            return arrivals.get(timeout=max(0.0, (until - time.time_ns()) / 1e9) if until else None)
        except queue.Empty:
            return None


class SubscribersCount:
    """``subscribers_count``: how many listen to events."""

    def __init__(self, events: EventLog) -> None:
        self._events = events

    def __call__(self, job: Job) -> None:
        answer(job, {"count": self._events.subscribers})
