"""The job ``resize``: tell a container's terminal its size. Env: h, w."""

from __future__ import annotations

from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.jobs.answers import argument
from mini_docker.daemon.jobs.events import log_event
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.engine import Job
from mini_docker.errors import Invalid


def terminal_size(job: Job) -> tuple[int, int]:
    """Rows and columns, from the words h and w.

    Raises:
        Invalid: not sizes of a terminal.
    """
    rows, columns = job.env.get_int("h"), job.env.get_int("w")
    if not (0 <= rows <= 65535 and 0 <= columns <= 65535):
        raise Invalid(f"invalid terminal size: {rows} rows, {columns} columns")
    return rows, columns


class Resize:
    """Resizes the terminal of a running container."""

    def __init__(self, containers: ContainerStore, exec_driver: ExecDriver) -> None:
        self._containers = containers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        container = self._containers.get(argument(job))
        rows, columns = terminal_size(job)
        container.require_running()
        self._exec_driver.resize(container.id, rows, columns)
        log_event(job, container, "resize", height=str(rows), width=str(columns))
