"""The background: the night shift. What nobody waits for is done by it, one task after the other, in order.

It knows nothing of layers.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

_IDLE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Background:
    """A queue of tasks and the thread that works it off; the thread goes home when it is idle.

    A task that fails is logged and forgotten: what it should have collected is collected at the next start.

    Args:
        name: the thread's.
    """

    def __init__(self, name: str) -> None:
        self._name = name  # fixed
        self._changed = threading.Condition()
        # guarded by _changed
        self._tasks: deque[Callable[[], None]] = deque()
        self._at_work = False
        self._has_thread = False

    def put(self, task: Callable[[], None]) -> None:
        """Have *task* done after all that were put before."""
        with self._changed:
            self._tasks.append(task)
            self._changed.notify_all()
            if not self._has_thread:
                self._has_thread = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def drain(self) -> None:
        """Wait until nothing is left to do."""
        with self._changed:
            self._changed.wait_for(lambda: not self._tasks and not self._at_work)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._at_work = False
                self._changed.notify_all()
                if not self._changed.wait_for(lambda: self._tasks, _IDLE_SECONDS):
                    self._has_thread = False
                    return
                task = self._tasks.popleft()
                self._at_work = True
            try:
                task()
            except Exception:  # one failed task must not end the others
                _log.exception("%s: a task failed", self._name)
