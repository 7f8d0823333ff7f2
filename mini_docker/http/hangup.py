"""The hang-up watcher: one thread that notices when the peers of busy connections go away.

A thread that serves a quiet request (`wait`, `logs -f`, `events`) sleeps inside its work and
does not look at its socket; somebody has to tell it that nobody is waiting any more. It knows
descriptors and callbacks, not what either is for.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

_GONE = select.EPOLLHUP | select.EPOLLERR


class HangupWatcher:
    """Calls back, once, when the peer of a watched socket hangs up.

    Callbacks run in the watcher's own thread and must be short.

    Source: epoll_ctl(2): the set may be changed while another thread waits on it.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._epoll.register(self._stop, select.EPOLLIN)
        self._lock = threading.Lock()
        self._watches: dict[int, tuple[Callable[[], None], int]] = {}
        self._thread = threading.Thread(target=self._run, name="hangup-watcher", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self, descriptor: int, callback: Callable[[], None], half_close: bool = True) -> Iterator[None]:
        """While the block runs, call *callback* if the peer of the socket *descriptor* hangs up.

        Args:
            half_close: a peer that only ended its own sending counts as gone, too. False for a peer that
                sends all it has and then goes on listening.
        """
        mask = _GONE | (select.EPOLLRDHUP if half_close else 0)
        with self._lock:
            # One shot, or a peer that is gone would be reported again and again until the block ends.
            self._epoll.register(descriptor, mask | select.EPOLLONESHOT)
            self._watches[descriptor] = callback, mask
        try:
            yield
        finally:
            with self._lock:
                del self._watches[descriptor]
                self._epoll.unregister(descriptor)

    def close(self) -> None:
        """End the thread. No watch may be open."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self._epoll.close()
        os.close(self._stop)

    def _run(self) -> None:
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor == self._stop:
                    return
                callback = self._callback(descriptor)
                if callback is not None:
                    try:
                        callback()
                    except Exception:
                        log.exception("the hang-up callback of descriptor %d failed", descriptor)

    def _callback(self, descriptor: int) -> Callable[[], None] | None:
        """Whom to tell. The report may be about an earlier watch whose number was given out again since: ask anew."""
        with self._lock:
            if descriptor not in self._watches:
                return None
            callback, mask = self._watches[descriptor]
            poller = select.poll()
            poller.register(descriptor, mask)
            if poller.poll(0):
                return callback
            # The report was the earlier watch's, but it used up this one's single shot.
            self._epoll.modify(descriptor, mask | select.EPOLLONESHOT)
            return None
