"""The job ``exit``: a container's process has ended; see to its estate.

State → event ``die`` → give back its places on networks → restart policy → tell who waits → store the state, give back
sandbox and layers → the next start, or removal.
Ours; in classic Docker this was the second half of ``daemon/monitor.go``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.jobs.answers import argument
from mini_docker.daemon.jobs.connections import Connections
from mini_docker.daemon.jobs.events import log_event
from mini_docker.dataclasses import dataclass
from mini_docker.drivers.execdriver.contract import ExecDriver, Exited
from mini_docker.engine import Engine, Job
from mini_docker.errors import MiniDockerError, NotFound
from mini_docker.graph.container_layers import ContainerLayers

log = logging.getLogger(__name__)

_CLOCK_SLACK_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class ExitRequest:
    """Which container ended, and how.

    Attributes:
        finished: nanoseconds since the epoch.
        root_is_open: whether its root file system is open in this daemon.
    """

    container: str
    exit_code: int
    oom_killed: bool
    finished: int
    root_is_open: bool

    @classmethod
    def decode(cls, job: Job) -> ExitRequest:
        """Read the job's arguments and environment."""
        env = job.env
        return cls(
            argument(job), env.get_int("exit_code"), env.get_bool("oom_killed"), env.get_int("finished"),
            env.get_bool("root_is_open", True),
        )  # fmt: skip

    @staticmethod
    def job(engine: Engine, exited: Exited) -> Job:
        """The job that sees to *exited*."""
        job = engine.job("exit", exited.container)
        job.env.set_int("exit_code", exited.exit_code)
        job.env.set_bool("oom_killed", exited.oom_killed)
        job.env.set_int("finished", int(exited.finished * 10**9))
        return job


class Exit:
    """Sees to containers that ended.

    *Written by the daemon alone*: ``restarts``, false once it is about to end.
    """

    def __init__(
        self,
        containers: ContainerStore,
        layers: ContainerLayers,
        exec_driver: ExecDriver,
        connections: Connections,
    ) -> None:
        self.restarts = True
        self._containers = containers
        self._layers = layers
        self._exec_driver = exec_driver
        self._connections = connections

    def __call__(self, job: Job) -> None:
        request = ExitRequest.decode(job)
        container = self._containers.find(request.container)
        if container is None:
            return  # a start that failed and was removed
        with container.lock:
            state = container.state
            if not state.running or request.finished + _CLOCK_SLACK_NS < state.started:
                return  # the end of a run that never began, or that was seen to already
            with container.settling:
                self._ended(job, container, request)
                _try(self._connections.release, job, container)
                backoff = self._decide(container, request)
                removes = container.host_config.auto_remove and backoff is None and not container.spared
                dies_with_init = self._exec_driver.walls().pid and not container.host_config.pid_mode
                if not dies_with_init:
                    self._clear(container, request, removes)
                if not removes:
                    container.ring_exit()
            # Who waited has his answer on its way by now. Who wants to do something with the container finds it locked.
            if dies_with_init:
                self._clear(container, request, removes)
            if backoff is not None:
                self._restart_later(job.engine, container, backoff)
        if removes:
            self._remove(job, container)
            container.ring_exit()  # only now, when its name is free: the next "run --rm --name" often follows at once

    def _clear(self, container: Container, request: ExitRequest, removes: bool) -> None:
        if not removes:
            # The exec driver knows the exit code until it is told to forget the container: not before it is stored.
            self._containers.save(container)
        _try(self._exec_driver.delete, container.id)
        if request.root_is_open:
            _try(self._layers.close, container.id)

    @staticmethod
    def _ended(job: Job, container: Container, request: ExitRequest) -> None:
        container.move(
            "exit", pid=0, exit_code=request.exit_code, oom_killed=request.oom_killed, finished=request.finished
        )
        if request.oom_killed:
            log_event(job, container, "oom")
        log_event(job, container, "die", exitCode=str(request.exit_code))

    def _decide(self, container: Container, request: ExitRequest) -> float | None:
        if not self.restarts:
            return None
        ran_seconds = (request.finished - container.state.started) / 1e9
        backoff, container.monitor = container.monitor.after(
            container.host_config.restart_policy, request.exit_code, ran_seconds, container.stopped_by_user
        )
        if backoff is not None:
            container.move("await_restart")
            container.restart_count += 1
        return backoff

    @staticmethod
    def _restart_later(engine: Engine, container: Container, backoff_seconds: float) -> None:
        def restart() -> None:
            job = engine.job("start", container.id)
            job.env.set_bool("restart", True)
            try:
                job.run()
            except MiniDockerError as error:
                log.warning("restart of container %s: %s", container.id, error)

        timer = threading.Timer(backoff_seconds, restart)
        timer.daemon = True
        container.restart_timer = timer
        timer.start()

    @staticmethod
    def _remove(job: Job, container: Container) -> None:
        child = job.child("delete", container.id)
        child.env.set_bool("v", True)
        try:
            child.run()
        except NotFound:
            pass  # someone was quicker
        except MiniDockerError as error:
            log.warning("container %s could not be removed after its end: %s", container.id, error)


def _try(give_back: Callable[..., None], *args: Any) -> None:
    """Whatever becomes of it, the rest must be given back, too: what is not given back now is lost."""
    try:
        give_back(*args)
    except (MiniDockerError, OSError):
        log.exception("a container ended, and something of it could not be released: %r", args)
