"""The Engine: a table from job names to handlers, as a shell's PATH is one from words to programs.

It knows nothing of containers, HTTP or JSON: whoever wires the daemon registers handlers into it.
"""

from __future__ import annotations

import logging
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mini_docker.engine.job import Job, Status
from mini_docker.engine.trace import JobTrace
from mini_docker.errors import Conflict, Invalid, Unavailable

log = logging.getLogger(__name__)

Handler = Callable[[Job], Status | None]
"""What a job runs. None means OK; a failure is a raised `MiniDockerError`, or a status after a word on stderr."""


class Engine:
    """Keeps the handlers by name, makes jobs from them, and shuts down in order.

    *Fixed*: ``trace``.
    *Guarded by the lock*: handlers, running jobs, whether shutdown began.

    Source: classic Docker's ``engine/engine.go``.
    """

    def __init__(self, trace: JobTrace | None = None) -> None:
        self.trace = trace or JobTrace()
        self._lock = threading.Condition()
        self._handlers: dict[str, Handler] = {}
        self._catchall: Handler | None = None
        self._shutdown_handlers: list[Callable[[], None]] = []
        self._running: set[Job] = set()
        self._is_shutdown = False

    def register(self, name: str, handler: Handler) -> None:
        """Enter *handler* into the table.

        Raises:
            Conflict: the name is taken; a table has one meaning a word.
        """
        with self._lock:
            if name in self._handlers:
                raise Conflict(f"a handler for the job {name!r} is registered already")
            self._handlers[name] = handler

    def register_catchall(self, handler: Handler) -> None:
        """Let *handler* run every job whose name is not in the table."""
        self._catchall = handler

    def commands(self) -> list[str]:
        """The names in the table, sorted."""
        with self._lock:
            return sorted(self._handlers)

    def job(self, name: str, *args: str, parent: Job | None = None) -> Job:
        """Make a job; nothing happens until it is run. An unknown name ends with status 127 then."""
        with self._lock:
            return Job(self, name, args, self._handlers.get(name, self._catchall), parent)

    def parse_job(self, line: str) -> Job:
        """Make a job from a shell-like line: ``KEY=value … name arg …``, with quotes as in sh.

        Raises:
            Invalid: no name in it, or a quote left open.
        """
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise Invalid(f"bad job line {line!r}: {error}") from None
        count = 0
        while count < len(words) and "=" in words[count]:
            count += 1
        if count == len(words):
            raise Invalid(f"bad job line {line!r}: no job name in it")
        job = self.job(words[count], *words[count + 1 :])
        for assignment in words[:count]:
            key, _, value = assignment.partition("=")
            job.env[key] = value
        return job

    @contextmanager
    def running(self, job: Job) -> Iterator[None]:
        """Count *job* as running while the block runs; `Job.run` alone calls it.

        Raises:
            Unavailable: the engine is shutting down and the job's parent is not a running one.
        """
        with self._lock:
            # A running job may still ask for the help it needs to finish.
            if self._is_shutdown and job.parent not in self._running:
                job.status = Status.ERROR
                raise Unavailable("the daemon is shutting down and takes no new jobs")
            self._running.add(job)
        try:
            job.id = self.trace.begin(job.name, job.args, job.parent.id if job.parent else 0)
            yield
        finally:
            with self._lock:
                self._running.discard(job)
                self._lock.notify_all()

    def on_shutdown(self, handler: Callable[[], None]) -> None:
        """Have *handler* called at shutdown, after the running jobs had their time."""
        with self._lock:
            self._shutdown_handlers.append(handler)

    @property
    def is_shutdown(self) -> bool:
        """Whether shutdown has begun."""
        return self._is_shutdown

    def shutdown(self, jobs_seconds: float = 5.0, handlers_seconds: float = 10.0) -> None:
        """Refuse new jobs, wait for the running ones, then run the shutdown handlers side by side.

        Args:
            jobs_seconds: how long running jobs may take to finish; then they are cancelled.
            handlers_seconds: how long the shutdown handlers may take together.
        """
        with self._lock:
            if self._is_shutdown:
                return
            self._is_shutdown = True
            self._lock.wait_for(self._only_services_run, jobs_seconds)
            late = list(self._running)
            handlers = list(self._shutdown_handlers)
        for job in late:
            job.cancel()
        threads = [threading.Thread(target=self._call, args=(handler,), daemon=True) for handler in handlers]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + handlers_seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.trace.close()

    def _only_services_run(self) -> bool:
        """Services (the API itself, a log follower) never end by themselves: shutdown cancels them."""
        return all(job.service for job in self._running)

    @staticmethod
    def _call(handler: Callable[[], None]) -> None:
        try:
            handler()
        except Exception:
            log.exception("a shutdown handler failed")
