"""The jobs ``kill``, ``stop`` and ``restart``: how a container is ended, in rising patience.

Classic Docker's ContainerKill, ContainerStop and ContainerRestart (``daemon/kill.go``, ``daemon/stop.go``).
"""

from __future__ import annotations

import signal

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.signals import DEFAULT_STOP_SIGNAL, parse_signal
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.waiter import Condition
from mini_docker.daemon.jobs.answers import argument
from mini_docker.daemon.jobs.events import log_event
from mini_docker.dataclasses import dataclass
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.engine import Job
from mini_docker.errors import Conflict, DeadlineExceeded, NotModified

DEFAULT_STOP_SECONDS = 10
KILL_SECONDS = 10
"""How long a container may take to die of SIGKILL: longer, and a process of it hangs in the kernel."""


@dataclass(frozen=True, slots=True)
class KillRequest:
    """Which container, and the signal's number."""

    container: str
    signal: int

    @classmethod
    def decode(cls, job: Job) -> KillRequest:
        """Read the job's arguments and environment."""
        return cls(argument(job), parse_signal(job.env.get("signal", "") or "KILL"))


class Kill:
    """Sends a signal to a container's init; SIGKILL waits until it is gone."""

    def __init__(self, containers: ContainerStore, exec_driver: ExecDriver) -> None:
        self._containers = containers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        request = KillRequest.decode(job)
        container = self._containers.get(request.container)
        with container.lock:
            try:
                container.require_running()
            except Conflict as error:
                raise Conflict(f"Cannot kill container: {request.container}: {error}") from None
            waiter = container.waiter(Condition.NEXT_EXIT)
            # Docker's rule: the policy does not bring back what a user killed.
            if request.signal in (signal.SIGKILL, stop_signal(container)):
                container.stopped_by_user = True
            send_signal(self._exec_driver, container, request.signal)
            log_event(job, container, "kill", signal=str(request.signal))
        if request.signal == signal.SIGKILL:
            waiter.wait(KILL_SECONDS)
        container.forget(waiter)


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Which container, and how it is asked.

    Attributes:
        timeout: seconds it has; None is its own word, negative is for ever.
        signal: None is its own.
        shutdown: the daemon's end, not a user, stops it: its policy will bring it back.
    """

    container: str
    timeout: int | None
    signal: int | None
    shutdown: bool = False

    @classmethod
    def decode(cls, job: Job) -> StopRequest:
        """Read the job's arguments and environment."""
        timeout = job.env.get_int("t") if job.env.get("t", "") else None
        word = job.env.get("signal", "")
        return cls(argument(job), timeout, parse_signal(word) if word else None, job.env.get_bool("shutdown"))


class Stop:
    """Asks a container to end, and kills it when it has not ended in time."""

    def __init__(self, containers: ContainerStore, exec_driver: ExecDriver) -> None:
        self._containers = containers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        request = StopRequest.decode(job)
        container = self._containers.get(request.container)
        if not stop(job, container, self._exec_driver, request):
            raise NotModified(f"Container {container.id} is already stopped")


def stop(job: Job, container: Container, exec_driver: ExecDriver, request: StopRequest) -> bool:
    """Stop *container*, for a stop or a restart; whether there was anything to stop."""
    with container.lock:
        container.stopped_by_user = container.stopped_by_user or not request.shutdown
        if container.state.restarting:
            container.cancel_restart()
            container.ring_exit()
            return True
        if not container.state.running:
            return False
        waiter = container.waiter(Condition.NEXT_EXIT)
        if container.state.paused:
            exec_driver.resume(container.id)  # a frozen process hears nothing
            container.move("unpause")
        send_signal(exec_driver, container, request.signal or stop_signal(container))
        log_event(job, container, "kill", signal=str(request.signal or int(stop_signal(container))))
    patience = stop_seconds(container, request.timeout)
    try:
        waiter.wait(patience)
    except DeadlineExceeded:
        send_signal(exec_driver, container, signal.SIGKILL)
        log_event(job, container, "kill", signal=str(int(signal.SIGKILL)))
        waiter.wait(KILL_SECONDS)
    finally:
        container.forget(waiter)
    log_event(job, container, "stop")
    return True


class Restart:
    """``stop``, then ``start``; both are children of this job."""

    def __init__(self, containers: ContainerStore) -> None:
        self._containers = containers

    def __call__(self, job: Job) -> None:
        request = StopRequest.decode(job)
        container = self._containers.get(request.container)
        stopping = job.child("stop", container.id)
        stopping.env.update({name: job.env[name] for name in ("t", "signal") if name in job.env})
        container.spared = True  # else --rm would remove it in between
        try:
            stopping.run()
        except NotModified:
            pass  # it did not run; restart starts it all the same
        finally:
            container.spared = False
        job.child("start", container.id).run()
        log_event(job, container, "restart")


def stop_signal(container: Container) -> int:
    """The signal that asks this container to end."""
    return parse_signal(container.config.stop_signal) if container.config.stop_signal else DEFAULT_STOP_SIGNAL


def stop_seconds(container: Container, wished: int | None) -> float | None:
    """How long it has to end: the request's word, else the container's, else ten seconds; None is for ever."""
    own = container.config.stop_timeout
    seconds = wished if wished is not None else own if own is not None else DEFAULT_STOP_SECONDS
    return None if seconds < 0 else float(seconds)


def send_signal(exec_driver: ExecDriver, container: Container, number: int) -> None:
    """Send a signal; that the container has just ended is no error."""
    try:
        exec_driver.signal(container.id, number)
        if number == signal.SIGKILL and container.state.paused:
            exec_driver.resume(container.id)  # a frozen process does not even die
    except Conflict:
        pass  # its end is on the way to us
