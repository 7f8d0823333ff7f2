"""Patience: how often to try again, how long to wait in between, and when to give up at once.

It knows time and nothing else: no HTTP, no registries.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Cancelled


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter, so that many clients of a recovering server don't come back in step.

    Attributes:
        attempts: tries in all, the first included.
        first: seconds before the second try; each further wait is twice as long.
        longest: seconds that no wait exceeds.
        longest_asked: seconds that a server may ask us to wait (``Retry-After``); more than that is not waited for.
    """

    attempts: int = 5
    first: float = 0.5
    longest: float = 20.0
    longest_asked: float = 60.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after *failures* failures in a row (at least one)."""
        return min(self.longest, self.first * 2.0 ** (failures - 1)) * random.uniform(0.75, 1.0)  # noqa: S311  no secret


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds of silence that are borne: while connecting, and while waiting for the next bytes."""

    connect: float = 10.0
    read: float = 60.0


class Cancellation:
    """A flag that wakes who sleeps and cuts what is being read. Any thread may raise it, once for all.

    *Guarded by the lock*: the callbacks that cut.
    """

    def __init__(self) -> None:
        self._raised = threading.Event()
        self._lock = threading.Lock()
        self._cuts: list[Callable[[], object]] = []

    def cancel(self) -> None:
        """Raise the flag and cut everything that is being read."""
        with self._lock:
            self._raised.set()
            cuts = list(self._cuts)
        for cut in cuts:
            cut()

    @property
    def cancelled(self) -> bool:
        """Whether the flag is up."""
        return self._raised.is_set()

    def check(self) -> None:
        """Go on only while the flag is down.

        Raises:
            Cancelled: it is up.
        """
        if self._raised.is_set():
            raise Cancelled("the transfer was cancelled: nobody wants it any more")

    def sleep(self, seconds: float) -> None:
        """Wait, unless the flag goes up.

        Raises:
            Cancelled: it did.
        """
        self._raised.wait(seconds)
        self.check()

    @contextmanager
    def cutting(self, cut: Callable[[], object]) -> Iterator[None]:
        """While the block runs, `cancel` calls *cut* (at once if the flag is up already)."""
        with self._lock:
            self._cuts.append(cut)
            already = self._raised.is_set()
        if already:
            cut()
        try:
            yield
        finally:
            with self._lock:
                self._cuts.remove(cut)
