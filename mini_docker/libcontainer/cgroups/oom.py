"""An alarm wire to one cgroup: it moves when the kernel had to kill for want of memory.

It knows the control files of both dialects, and nothing of containers.

Source: cgroup-v1/memory.rst, "OOM Control"; cgroup-v2.rst, "memory.events".
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from mini_docker.linux.errors import SyscallError


class OomWatch:
    """Watches for OOM kills; the owner of an event loop registers `fileno` for `events` and calls `drain`.

    *Fixed*: ``events``, what to register for: ``select.EPOLLIN`` on v1 (an eventfd), ``select.EPOLLPRI`` on v2,
    where the file itself is always readable and a change is an exception to that.

    Args:
        descriptor: what to poll; `close` closes it.
        count: reads how many kills there have been; raises `SyscallError` when the cgroup is gone.
    """

    def __init__(self, descriptor: int, events: int, count: Callable[[], int]) -> None:
        self.events = events
        self._descriptor = descriptor
        self._count = count
        self._seen = count()

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._descriptor

    def drain(self) -> int:
        """How many processes were killed since the last call. Never blocks.

        An eventfd also moves when the cgroup is removed: then the answer is 0.
        """
        if self.events == select.EPOLLIN:
            try:
                os.eventfd_read(self.fileno())
            except BlockingIOError:
                pass  # nothing has happened yet; the count below says the same
        try:
            count = self._count()
        except SyscallError:
            return 0
        new, self._seen = count - self._seen, count
        return new

    def close(self) -> None:
        """Stop watching; a second time is no error."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
