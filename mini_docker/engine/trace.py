"""The job trace: which job ran which, when, for how long, and how it ended.

A ring: the newest finished jobs are kept and the oldest forgotten; a running job is never
forgotten. It knows nothing of what jobs do. `mini-docker jobs` draws it as a tree.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mini_docker.dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What the trace remembers of one job.

    Attributes:
        id: number of the job in this daemon's life, from 1.
        parent: id of the job that ran it; 0 for the daemon itself or a request of a client.
        name, args: what was run; never the environment, which may hold secrets.
        started: wall clock, seconds since the epoch.
        duration: seconds; None while it runs.
        status: the exit status; None while it runs.
        error: the sentence it failed with, else empty.
    """

    id: int
    parent: int
    name: str
    args: tuple[str, ...]
    started: float
    duration: float | None = None
    status: int | None = None
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record as the Remote API shows it."""
        return {
            "Id": self.id, "Parent": self.parent, "Name": self.name, "Args": list(self.args),
            "Started": self.started, "Duration": self.duration, "Status": self.status, "Error": self.error,
        }  # fmt: skip


class JobTrace:
    """A bounded memory of jobs, with live subscribers.

    Args:
        capacity: finished jobs to remember.
    """

    def __init__(self, capacity: int = 2048) -> None:
        self._lock = threading.Lock()
        self._last_id = 0
        self._running: dict[int, tuple[JobRecord, float]] = {}
        self._finished: deque[JobRecord] = deque(maxlen=capacity)
        self._subscribers: set[queue.SimpleQueue[JobRecord | None]] = set()

    def begin(self, name: str, args: tuple[str, ...], parent: int) -> int:
        """Note that a job starts now and return its id."""
        with self._lock:
            self._last_id += 1
            record = JobRecord(self._last_id, parent, name, args, time.time())
            self._running[record.id] = record, time.monotonic()
            self._publish(record)
            return record.id

    def end(self, job_id: int, status: int, error: str) -> None:
        """Note that the job ended now."""
        with self._lock:
            record, began = self._running.pop(job_id)
            record = replace(record, duration=time.monotonic() - began, status=status, error=error)
            self._finished.append(record)
            self._publish(record)

    def records(self) -> list[JobRecord]:
        """Every remembered job, by id."""
        with self._lock:
            return self._snapshot()

    @contextmanager
    def follow(self) -> Iterator[tuple[list[JobRecord], queue.SimpleQueue[JobRecord | None]]]:
        """The remembered jobs, and a queue on which each later begin and end arrives; None ends it."""
        arrivals: queue.SimpleQueue[JobRecord | None] = queue.SimpleQueue()
        with self._lock:
            seen = self._snapshot()
            self._subscribers.add(arrivals)
        try:
            yield seen, arrivals
        finally:
            with self._lock:
                self._subscribers.discard(arrivals)

    def close(self) -> None:
        """Tell every follower that nothing more will come."""
        with self._lock:
            for subscriber in self._subscribers:
                subscriber.put(None)

    def _snapshot(self) -> list[JobRecord]:
        running = (record for record, _ in self._running.values())
        return sorted([*self._finished, *running], key=lambda record: record.id)

    def _publish(self, record: JobRecord) -> None:
        for subscriber in self._subscribers:
            subscriber.put(record)
