"""The jobs ``pause`` and ``unpause``: freeze a container's processes, and thaw them."""

from __future__ import annotations

from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.jobs.answers import argument
from mini_docker.daemon.jobs.events import log_event
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.engine import Job


class Pause:
    """Freezes a running container."""

    def __init__(self, containers: ContainerStore, exec_driver: ExecDriver) -> None:
        self._containers = containers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        container = self._containers.get(argument(job))
        with container.lock:
            paused = container.state.after("pause", container.id)
            self._exec_driver.pause(container.id)
            container.state = paused
            self._containers.save(container)
            log_event(job, container, "pause")


class Unpause:
    """Thaws a paused container."""

    def __init__(self, containers: ContainerStore, exec_driver: ExecDriver) -> None:
        self._containers = containers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        container = self._containers.get(argument(job))
        with container.lock:
            running = container.state.after("unpause", container.id)
            self._exec_driver.resume(container.id)
            container.state = running
            self._containers.save(container)
            log_event(job, container, "unpause")
