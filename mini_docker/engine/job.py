"""A Job is the smallest unit of the daemon's work, shaped like a unix process.

It has a name, arguments, an environment, standard input, output and error, and an exit status;
it is run once. It knows the handler that does its work only as something callable, and nothing
of containers, HTTP or JSON.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

from mini_docker.engine.env import Env
from mini_docker.engine.streams import Input, Output
from mini_docker.errors import Cancelled, MiniDockerError

if TYPE_CHECKING:
    from mini_docker.engine.engine import Engine, Handler

log = logging.getLogger(__name__)


class Status(IntEnum):
    """A job's exit status, with the numbers of a shell: 127 is "no such command"."""

    OK = 0
    ERROR = 1
    NOT_FOUND = 127


class JobFailed(MiniDockerError):
    """A handler answered a status other than OK without raising: its stderr's tail is the reason."""


class JobState:
    """The life of a job, as a table."""

    NEW = "new"
    RUNNING = "running"
    ENDED = "ended"


TRANSITIONS = {
    (JobState.NEW, "run"): JobState.RUNNING,
    (JobState.RUNNING, "exit"): JobState.ENDED,
}


class Job:
    """One run of one handler.

    *Fixed*: ``engine``, ``name``, ``args``, ``parent`` (the job that made this one, or None).
    *The maker's until run, then the handler's*: ``env``, ``stdin``, ``stdout``, ``stderr``.
    *Guarded by the lock*: state, status, cancellation.

    Source: classic Docker's ``engine/job.go``.
    """

    def __init__(self, engine: Engine, name: str, args: tuple[str, ...], handler: Handler | None, parent: Job | None):
        self.engine = engine
        self.name = name
        self.args = args
        self.parent = parent
        self.id = 0  # given by the trace when the job is run
        self.env = Env()
        self.stdin = Input()
        self.stdout = Output()
        self.stderr = Output()
        self.status: Status | None = None
        self.service = False  # set by a handler that runs until cancelled: shutdown does not wait for it
        self._handler = handler
        self._lock = threading.Lock()
        self._state = JobState.NEW
        self._cancelled = False
        self._cancel_callbacks: list[Callable[[], None]] = []
        self._afterwards: list[Callable[[], object]] = []

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.args)})"

    @property
    def state(self) -> str:
        """Where in its life the job is: a `JobState`."""
        return self._state

    def child(self, name: str, *args: str) -> Job:
        """A new job whose parent is this one: how a handler asks the engine for more work.

        Cancelling this job while the child runs cancels the child.
        """
        return self.engine.job(name, *args, parent=self)

    def run(self, settle: bool = True) -> None:
        """Do the work, in the calling thread, and return when it is done.

        Args:
            settle: also do what the handler left for `afterwards`. Who has an answer to send first calls `settle`
                then.

        Raises:
            RuntimeError: the job was run before.
            JobFailed: the handler answered a status other than OK.
            MiniDockerError: what the handler raised. Other exceptions pass through too, after the
                job has ended properly.
        """
        with self._lock:
            if (self._state, "run") not in TRANSITIONS:
                raise RuntimeError(f"job {self} was run before: a job runs once, as a process does")
            self._state = TRANSITIONS[self._state, "run"]
        tail = self.stderr.add_tail(lines=1)
        error = ""
        with self.engine.running(self):
            log.debug("+job %s", self)
            try:
                with self._cancelled_with_parent():
                    if self._handler is None:
                        self.status = Status.NOT_FOUND
                        self.stderr.write(f"{self.name}: no such job\n".encode())
                    else:
                        # Until the handler says otherwise, leaving it by an exception is a failure.
                        self.status = Status.ERROR
                        self.status = Status(self._handler(self) or Status.OK)
                if self.status is not Status.OK:
                    raise JobFailed("\n".join(tail.lines()) or f"{self.name}: exit status {int(self.status)}")
            except Exception as failure:
                error = str(failure) or type(failure).__name__
                if not isinstance(failure, JobFailed):
                    self._say(error)
                raise
            finally:
                with self._lock:
                    self._state = TRANSITIONS[self._state, "exit"]
                self.stdout.close()
                self.stderr.close()
                log.debug("-job %s = %s (%d)", self, self.status.name if self.status is not None else "?", self.status)
                self.engine.trace.end(self.id, int(self.status or Status.OK), error)
                if settle:
                    self.settle()

    def afterwards(self, task: Callable[[], object]) -> None:
        """Have *task* done once the answer of this job is out: something short that nobody waits for."""
        self._afterwards.append(task)

    def settle(self) -> None:
        """Do what was left for afterwards."""
        tasks, self._afterwards = self._afterwards, []
        for task in tasks:
            try:
                task()
            except Exception:  # nobody waits for it: there is nobody else to tell
                log.exception("%s: what it left for afterwards failed", self)

    def output(self) -> bytes:
        """`run`, and return all that the job wrote to its standard output."""
        buffer = self.stdout.add_buffer()
        self.run()
        return buffer.getvalue()

    @property
    def cancelled(self) -> bool:
        """Whether someone asked the job to stop early."""
        return self._cancelled

    def cancel(self) -> None:
        """Ask the job to stop early (its client hung up). A handler that waits registers `on_cancel`."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            callbacks = list(self._cancel_callbacks)
        for callback in callbacks:
            callback()

    def check_cancelled(self) -> None:
        """Stop here if the job was cancelled.

        Raises:
            Cancelled: it was.
        """
        if self._cancelled:
            raise Cancelled(f"{self.name}: cancelled: whoever asked for it went away")

    @contextmanager
    def on_cancel(self, callback: Callable[[], None]) -> Iterator[None]:
        """While the block runs, a `cancel` calls *callback* (at once if it came before)."""
        with self._lock:
            already = self._cancelled
            self._cancel_callbacks.append(callback)
        if already:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._cancel_callbacks.remove(callback)

    @contextmanager
    def _cancelled_with_parent(self) -> Iterator[None]:
        if self.parent is None or self.parent.state != JobState.RUNNING:
            yield
        else:
            with self.parent.on_cancel(self.cancel):
                yield

    def _say(self, sentence: str) -> None:
        """A process that fails says why on its standard error, if anyone still reads it."""
        try:
            self.stderr.write(sentence.encode() + b"\n")
        except (OSError, ValueError):
            pass
