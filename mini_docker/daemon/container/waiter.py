"""Someone who waits for a container: the bell that rings once, with the exit code.

Register first, look or answer then: an end between the two is not missed. It knows nothing of jobs or HTTP.

Source: Docker Engine API 1.41, "Wait for a container", parameter *condition*.
"""

from __future__ import annotations

import threading
from enum import Enum

from mini_docker.errors import Cancelled, DeadlineExceeded, Invalid


class Condition(Enum):
    """What is waited for."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"

    @classmethod
    def parse(cls, word: str) -> Condition:
        """
        Raises:
            Invalid: no such condition.
        """
        try:
            return cls(word or "not-running")
        except ValueError:
            raise Invalid(f"invalid condition: {word!r}") from None


class Waiter:
    """Waits for one condition of one container; rung by the container.

    *Fixed*: ``condition``. *Guarded by being set once*: ``exit_code``, ``error``.
    """

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.exit_code = 0
        self.error = ""
        self._rung = threading.Lock()  # held until the bell rings: half the cost of an Event on the hot path
        self._rung.acquire()
        self._done = threading.Lock()
        self._cancelled = False

    def ring(self, exit_code: int, error: str = "") -> None:
        """The condition holds; only the first ring counts."""
        if self._done.acquire(blocking=False):
            self.exit_code, self.error = exit_code, error
            self._rung.release()

    def cancel(self) -> None:
        """Whoever waits has gone: wake up with `Cancelled`."""
        if self._done.acquire(blocking=False):
            self._cancelled = True
            self._rung.release()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the ring and return the exit code.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            Cancelled: `cancel` came first. DeadlineExceeded: the time is over.
        """
        if not self._rung.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            raise DeadlineExceeded(f"the container did not become {self.condition.value} within {timeout} seconds")
        self._rung.release()
        if self._cancelled:
            raise Cancelled("wait: cancelled: whoever waited has gone")
        return self.exit_code
