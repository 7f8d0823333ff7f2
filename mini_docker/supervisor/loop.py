"""The loop: one thread, one selector; whoever is ready gets a bounded turn.

It knows descriptors, deadlines and callbacks, and nothing of containers. The rule for callbacks:
never block, never do more than a bounded share of work.
"""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable

from mini_docker.supervisor.complaints import complain_of_bug

READ, WRITE, HANGUP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR

Callback = Callable[[int], None]
"""Called with the epoll events that are ready."""


class Timer:
    """A deadline that can be called off."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never call."""
        self.callback = None


class Loop:
    """Waits for descriptors and deadlines and calls back."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._stopped = False

    def watch(self, descriptor: int, events: int, callback: Callback) -> None:
        """Call back when *events* are ready on *descriptor*; hang-ups and errors always count."""
        self._callbacks[descriptor] = callback
        self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        """Wait for other events; none at all leaves hang-ups."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Stop watching; to be called before the descriptor is closed."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once, *seconds* from now."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def stop(self) -> None:
        """Let `run` return after this turn."""
        self._stopped = True

    def close(self) -> None:
        """Release the selector (also in a forked child, which must not share it)."""
        self._epoll.close()

    def run(self) -> None:
        """Turn until stopped."""
        while not self._stopped:
            for descriptor, events in self._epoll.poll(self._patience()):
                # An earlier callback of this turn may have ended this one's subject.
                callback = self._callbacks.get(descriptor)
                if callback is not None:
                    self._call(callback, descriptor, events)
            self._ring()

    def _call(self, callback: Callback, descriptor: int, events: int) -> None:
        """One mistake must not end all containers: who made it is not called again."""
        try:
            callback(events)
        except Exception:
            complain_of_bug(f"the callback of descriptor {descriptor} failed and is dropped")
            self.forget(descriptor)

    def _patience(self) -> float:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1

    def _ring(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is None:
                continue
            try:
                callback()
            except Exception:
                complain_of_bug("a timer's callback failed")
