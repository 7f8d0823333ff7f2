"""The Pool: one swimmer a lane. Who asks for a lane that is taken waits, and shares what the first brings back.

So two containers that start from one image make its init layer once. It knows nothing of what the work is.

Source: the idea is that of classic Docker's pull pool (``graph/tags.go``, poolAdd and poolRemove).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from mini_docker.errors import Cancelled

T = TypeVar("T")


class _Lane(Generic[T]):
    """One piece of work under way: an event, then a result or an error."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.result: T | None = None
        self.error: BaseException | None = None


class Pool(Generic[T]):
    """Work by key, one at a time. *Guarded by the lock*: which lanes are taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane[T]] = {}

    def run(self, key: str, work: Callable[[], T], on_wait: Callable[[], None] | None = None) -> T:
        """The result of *work*, done here, or by whoever was first with this key.

        Args:
            on_wait: called before waiting for another, to tell the user.

        Raises:
            Whatever the work raised, for all who share it. But when the first was cancelled, because *its* asker
            went away, the next takes over.
        """
        while True:
            with self._lock:
                lane = self._lanes.get(key)
                if lane is None:
                    mine = self._lanes[key] = _Lane()
                    break
            if on_wait is not None:
                on_wait()
            lane.done.wait()
            if lane.error is None:
                return lane.result  # type: ignore[return-value]  # set before done was
            if not isinstance(lane.error, Cancelled):
                raise lane.error
        try:
            mine.result = work()
            return mine.result
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                del self._lanes[key]
            mine.done.set()
