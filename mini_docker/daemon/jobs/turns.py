"""Taking turns, with the right to give up: a waiting room whose door opens from both sides.

The locks of the standard library cannot be left while one waits; a job whose client went away must. It knows
nothing of what the turns are for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mini_docker.errors import Cancelled


class Slots:
    """So many at once; who comes later waits, first come first served, and may give up waiting.

    *Guarded by the bell's lock*: who is inside or waits, in order of arrival.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._bell = threading.Condition()
        self._queue: list[object] = []

    def queue(self) -> object:
        """Stand in line; the ticket is for `turn`."""
        ticket = object()
        with self._bell:
            self._queue.append(ticket)
        return ticket

    @contextmanager
    def turn(self, ticket: object, given_up: Callable[[], bool], on_wait: Callable[[], None]) -> Iterator[None]:
        """While the block runs, a slot is taken; before it runs, those who came earlier go first.

        Args:
            given_up: asked whenever `wake` is called.
            on_wait: called before waiting.

        Raises:
            Cancelled: given up while waiting.
        """
        try:
            with self._bell:
                must_wait = ticket not in self._queue[: self._number]
            if must_wait:
                on_wait()
            with self._bell:
                self._bell.wait_for(lambda: ticket in self._queue[: self._number] or given_up())
            if given_up():
                raise Cancelled("gave up waiting: whoever wanted it has ended")
            yield
        finally:
            with self._bell:
                self._queue.remove(ticket)
                self._bell.notify_all()

    def wake(self) -> None:
        """Let those who wait ask whether they still want to."""
        with self._bell:
            self._bell.notify_all()


class KeyedTurns:
    """One at a time for each key.

    *Guarded by the bell's lock*: the keys that are taken.
    """

    def __init__(self) -> None:
        self._bell = threading.Condition()
        self._taken: set[str] = set()

    @contextmanager
    def turn(self, key: str, given_up: Callable[[], bool]) -> Iterator[None]:
        """While the block runs, *key* is taken.

        Args:
            given_up: asked whenever `wake` is called.

        Raises:
            Cancelled: given up while waiting.
        """
        with self._bell:
            self._bell.wait_for(lambda: key not in self._taken or given_up())
            if given_up():
                raise Cancelled("gave up waiting: whoever wanted it has ended")
            self._taken.add(key)
        try:
            yield
        finally:
            self.leave(key)

    def take(self, key: str) -> bool:
        """Take *key*, unless it is taken; whoever took it must `leave` it."""
        with self._bell:
            if key in self._taken:
                return False
            self._taken.add(key)
            return True

    def leave(self, key: str) -> None:
        """Let the next one have *key*."""
        with self._bell:
            self._taken.discard(key)
            self._bell.notify_all()

    def wake(self) -> None:
        """Let those who wait ask whether they still want to."""
        with self._bell:
            self._bell.notify_all()
