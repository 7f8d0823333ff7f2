"""The EventLog: the daemon's town crier. What happened, in order, to whoever listens, with a short memory.

A ring of the last events and live subscribers; it knows nothing of containers or images but their ids.

Source: classic Docker's ``events/events.go``; Docker Engine API 1.41, "Monitor events".
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from mini_docker.daemon.filters import Filters
from mini_docker.dataclasses import dataclass, field

FILTERS = (
    "action", "config", "container", "daemon", "event", "id", "image", "label", "network", "node", "plugin", "scope",
    "secret", "service", "type", "volume",
)  # fmt: skip
"""Keys of ``docker events --filter``."""

CONTAINER, IMAGE = "container", "image"


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        type: container, image, volume, network, daemon.
        action: ``start``, ``die``, ``exec_create: ls``, …
        actor: id of what it happened to.
        attributes: its name, image, labels, and what the event adds (``exitCode``).
        nanoseconds: when, since the epoch.
    """

    type: str
    action: str
    actor: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    nanoseconds: int = 0

    @cached_property
    def line(self) -> bytes:
        """The event in Docker's JSON, with a newline; encoded once however many listen."""
        data: dict[str, Any] = {}
        if self.type in (CONTAINER, IMAGE):
            # The fields of the days when every event was a container's or an image's; clients still read them.
            data = {"status": self.action, "id": self.actor}
            if self.type == CONTAINER:
                data["from"] = self.attributes.get("image", "")
        data |= {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.actor, "Attributes": dict(self.attributes)},
            "scope": "local",
            "time": self.nanoseconds // 10**9,
            "timeNano": self.nanoseconds,
        }
        return json.dumps(data).encode() + b"\n"

    def matches(self, filters: Filters) -> bool:
        """Whether the event passes ``docker events --filter``."""
        verb = self.action.partition(":")[0]
        return (
            filters.exact("event", self.action, verb)
            and filters.exact("action", self.action, verb)
            and filters.exact("type", self.type)
            and filters.exact("scope", "local")
            and filters.exact("id", self.actor)
            and filters.labels(self.attributes)
            and all(self._is_of(kind, filters) for kind in ("container", "volume", "network", "daemon"))
            and (IMAGE not in filters or self._is_of_image(filters))
        )

    def _is_of(self, kind: str, filters: Filters) -> bool:
        """``--filter container=web``: its own events, and those of others that concern it (a network's connect)."""
        if kind not in filters:
            return True
        if self.type == kind:
            return filters.exact(kind, self.attributes.get("name", "")) or filters.prefix(kind, self.actor)
        return filters.exact(kind, self.attributes.get(kind, ""))

    def _is_of_image(self, filters: Filters) -> bool:
        """``--filter image=busybox`` means every tag of it, and its containers too."""
        name = self.attributes.get("image" if self.type == CONTAINER else "name", "")
        return filters.exact("image", name, name.rpartition(":")[0] or name, self.actor)


class EventLog:
    """The last events, and who listens.

    *Guarded by the lock*: the ring, the subscribers.

    Args:
        capacity: events to remember; Docker's is 256 by 2020, 64 in 2014.
    """

    def __init__(self, capacity: int = 256) -> None:
        self._lock = threading.Lock()
        self._ring: deque[Event] = deque(maxlen=capacity)
        self._subscribers: set[queue.SimpleQueue[Event | None]] = set()

    def log(self, type: str, action: str, actor: str, attributes: Mapping[str, str] | None = None) -> None:
        """Something happened now."""
        with self._lock:
            # Stamped under the lock, so that the order of the ring is the order of the stamps.
            event = Event(type, action, actor, attributes or {}, time.time_ns())
            self._ring.append(event)
            for subscriber in self._subscribers:
                subscriber.put(event)

    @property
    def subscribers(self) -> int:
        """How many listen."""
        return len(self._subscribers)

    @contextmanager
    def listen(self) -> Iterator[tuple[list[Event], queue.SimpleQueue[Event | None]]]:
        """The remembered events, and a queue on which each later one arrives; put None on it to wake the reader up."""
        arrivals: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        with self._lock:
            past = list(self._ring)
            self._subscribers.add(arrivals)
        try:
            yield past, arrivals
        finally:
            with self._lock:
                self._subscribers.discard(arrivals)
