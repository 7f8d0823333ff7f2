"""A kernel door with a clock: stands before the real one and notes when each call began and ended.

The notes lie in memory that parent and child share, since the child ends in exec and can tell nobody.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from mini_docker.linux.kernel import Kernel

NAME_BYTES = 40
_NOTE = struct.Struct(f"<qq{NAME_BYTES}s")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the door: its name, and when it began and ended, in nanoseconds of the monotonic clock."""

    name: str
    began: int
    ended: int

    @property
    def took(self) -> int:
        """Nanoseconds."""
        return self.ended - self.began


class CallLog:
    """Notes of one process's calls, in order.

    *The writer's alone*: where the next note goes.

    Args:
        capacity: how many notes fit; later ones are lost.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self._memory = mmap.mmap(-1, capacity * _NOTE.size)  # shared by default
        self._capacity = capacity
        self._next = 0

    def note(self, name: str, began: int, ended: int) -> None:
        """Write a note down."""
        if self._next < self._capacity:
            _NOTE.pack_into(self._memory, self._next * _NOTE.size, began, ended, name.encode()[:NAME_BYTES])
            self._next += 1

    def calls(self) -> list[Call]:
        """All notes, whoever wrote them."""
        found = []
        for began, ended, name in _NOTE.iter_unpack(self._memory[:]):
            if began == 0:
                break
            found.append(Call(name.rstrip(b"\0").decode(), began, ended))
        return found

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()


class TimedKernel:
    """The door.

    Args:
        kernel: makes the calls.
        parent, child: where they are noted, before a clone3 and in the child after it.
    """

    def __init__(self, kernel: Kernel, parent: CallLog, child: CallLog) -> None:
        self._kernel = kernel
        self._log = parent
        self._child = child

    def door(self) -> Kernel:
        """This object, as the type checker should see it."""
        return cast(Kernel, self)

    def clone3(self, flags: int, cgroup: int = -1) -> tuple[int, int]:
        """Comes back twice; the child goes on in its own log."""
        began = time.monotonic_ns()
        pid, pidfd = self._kernel.clone3(flags, cgroup)
        if pid == 0:
            self._log = self._child
        self._log.note("clone3" if pid else "born", began, time.monotonic_ns())
        return pid, pidfd

    def execve(self, path: str, args: tuple[str, ...], env: Mapping[str, str]) -> NoReturn:
        """Noted before it is done: afterwards nobody is left to note it."""
        now = time.monotonic_ns()
        self._log.note("execve", now, now)
        self._kernel.execve(path, args, env)

    def close_range(self, first: int, last: int = 0xFFFFFFFF, close_on_exec: bool = False) -> None:
        """Noted under another name when it is the one right before the exec."""
        began = time.monotonic_ns()
        self._kernel.close_range(first, last, close_on_exec)
        self._log.note("close_range at exec" if close_on_exec else "close_range", began, time.monotonic_ns())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._kernel, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.monotonic_ns()
            try:
                return call(*args, **kwargs)
            finally:
                self._log.note(name, began, time.monotonic_ns())

        return timed
