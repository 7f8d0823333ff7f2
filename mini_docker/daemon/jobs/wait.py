"""The job ``wait``: block until a container stopped, and tell its exit code.

The head of the answer leaves before the wait: clients start the container only when they see it.
Classic Docker's ContainerWait (``daemon/wait.go``).
"""

from __future__ import annotations

from typing import Any

from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.waiter import Condition
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.dataclasses import dataclass
from mini_docker.engine import Job


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """Which container, and what to wait for."""

    container: str
    condition: Condition

    @classmethod
    def decode(cls, job: Job) -> WaitRequest:
        """Read the job's arguments and environment."""
        return cls(argument(job), Condition.parse(job.env.get("condition", "")))


class Wait:
    """Answers ``{"Error", "StatusCode"}``."""

    def __init__(self, containers: ContainerStore) -> None:
        self._containers = containers

    def __call__(self, job: Job) -> None:
        request = WaitRequest.decode(job)
        container = self._containers.get(request.container)
        job.service = True
        # Registered before the head leaves: what happens from now on is not missed.
        waiter = container.waiter(request.condition)
        try:
            with job.on_cancel(waiter.cancel):
                job.stdout.flush()
                code = waiter.wait()
        finally:
            container.forget(waiter)
        error: dict[str, Any] | None = {"Message": waiter.error} if waiter.error else None
        answer(job, {"Error": error, "StatusCode": code})
