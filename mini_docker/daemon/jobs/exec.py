"""The jobs ``exec_create``, ``exec_start``, ``exec_resize``, ``exec_inspect``: a further process in a container.

Ours by name; Docker has had them since 1.3 (``daemon/exec.go``).
"""

from __future__ import annotations

import secrets
import threading
from typing import Any

from mini_docker.daemon.container import api_json
from mini_docker.daemon.container.api_json import WORDS
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.jobs.answers import answer, argument, json_body
from mini_docker.daemon.jobs.conversation import Talk, converse
from mini_docker.daemon.jobs.events import log_event
from mini_docker.daemon.jobs.process_planner import ProcessPlanner
from mini_docker.daemon.jobs.resize import terminal_size
from mini_docker.dataclasses import dataclass, field, replace
from mini_docker.detach_keys import parse_keys
from mini_docker.drivers.execdriver.contract import ExecDriver, Stdio
from mini_docker.engine import Job
from mini_docker.errors import CannotExecute, Conflict, Invalid, NotFound
from mini_docker.remote_api import STDERR, frame_header


@dataclass(frozen=True, slots=True)
class ExecConfig:
    """What to execute, as ``POST /containers/{id}/exec`` says it."""

    user: str = ""
    privileged: bool = False
    tty: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach: bool = False
    detach_keys: str = ""
    env: tuple[str, ...] = ()
    working_dir: str = ""
    cmd: tuple[str, ...] = field(default=(), metadata=WORDS)

    @classmethod
    def decode(cls, job: Job) -> ExecConfig:
        """Read the job's body.

        Raises:
            Invalid: a field is wrong, or there is no command.
        """
        config = api_json.decode(cls, json_body(job))
        parse_keys(config.detach_keys)
        if not config.cmd:
            raise Invalid("No exec command specified")
        return config


@dataclass(frozen=True, slots=True)
class Execution:
    """One exec, from its making to its end."""

    id: str
    container: str
    config: ExecConfig
    pid: int = 0
    running: bool = False
    exit_code: int | None = None
    started: bool = False


ENDED_KEPT = 256
"""How many ended execs are remembered, for whoever asks for their exit codes; the oldest are forgotten."""


class Executions:
    """The execs of living containers, as far as they are remembered.

    *Guarded by the lock*: the executions, oldest first.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._by_id: dict[str, Execution] = {}

    def add(self, container: str, config: ExecConfig) -> Execution:
        """A new one."""
        execution = Execution(secrets.token_hex(32), container, config)
        with self._lock:
            ended = [one.id for one in self._by_id.values() if one.exit_code is not None]
            for id in ended[:-ENDED_KEPT]:
                del self._by_id[id]
            self._by_id[execution.id] = execution
        return execution

    def get(self, id: str) -> Execution:
        """
        Raises:
            NotFound: no such exec.
        """
        with self._lock:
            execution = self._by_id.get(id)
        if execution is None:
            raise NotFound(f"No such exec instance: {id}")
        return execution

    def claim(self, id: str) -> Execution:
        """Let it be started, once.

        Raises:
            Conflict: it was started before. NotFound: no such exec.
        """
        with self._lock:
            execution = self._by_id.get(id)
            if execution is None:
                raise NotFound(f"No such exec instance: {id}")
            if execution.started:
                if execution.running or execution.exit_code is None:
                    raise Conflict(f"Error: Exec command {id} is already running")
                raise Conflict(f"Error: Exec command {id} has already run")
            execution = self._by_id[id] = replace(execution, started=True, running=True)
        return execution

    def running_as(self, id: str, pid: int) -> None:
        """It runs; if its end is known already, it stays ended, and if its container is gone, it is forgotten."""
        with self._lock:
            execution = self._by_id.get(id)
            if execution is not None and execution.running:
                self._by_id[id] = replace(execution, pid=pid)

    def ended(self, id: str, exit_code: int) -> Execution | None:
        """It ended; None if we do not know it (it is an earlier daemon's)."""
        with self._lock:
            execution = self._by_id.get(id)
            if execution is not None:
                execution = self._by_id[id] = replace(execution, running=False, pid=0, exit_code=exit_code)
                self._lock.notify_all()
        return execution

    def wait(self, id: str, job: Job) -> None:
        """Wait until it has ended, or *job* is cancelled."""
        with job.on_cancel(self._wake), self._lock:
            self._lock.wait_for(lambda: job.cancelled or id not in self._by_id or not self._by_id[id].running)

    def _wake(self) -> None:
        with self._lock:
            self._lock.notify_all()

    def of(self, container: str) -> list[str]:
        """Ids of the container's execs that run or may yet be started."""
        with self._lock:
            return [one.id for one in self._by_id.values() if one.container == container and one.exit_code is None]

    def forget(self, container: str) -> None:
        """The container is gone."""
        with self._lock:
            self._by_id = {id: one for id, one in self._by_id.items() if one.container != container}
            self._lock.notify_all()


class ExecCreate:
    """Answers ``{"Id"}``."""

    def __init__(self, containers: ContainerStore, executions: Executions) -> None:
        self._containers = containers
        self._executions = executions

    def __call__(self, job: Job) -> None:
        config = ExecConfig.decode(job)
        container = self._containers.get(argument(job))
        _require_up(container)
        execution = self._executions.add(container.id, config)
        log_event(job, container, f"exec_create: {' '.join(config.cmd)}", execID=execution.id)
        answer(job, {"Id": execution.id})


class ExecStart:
    """Runs the process; attached unless told to detach. Env: Detach, Tty."""

    def __init__(
        self,
        containers: ContainerStore,
        executions: Executions,
        exec_driver: ExecDriver,
        planner: ProcessPlanner,
    ) -> None:
        self._containers = containers
        self._executions = executions
        self._exec_driver = exec_driver
        self._planner = planner

    def __call__(self, job: Job) -> None:
        detach = job.env.get_bool("Detach")
        execution = self._executions.get(argument(job, what="an exec"))
        container = self._containers.get(execution.container)
        _require_up(container)
        config = execution.config
        # Before it is claimed: who claims it must also end it, whatever happens.
        process = self._planner.plan(container, config.cmd, config.env, config.working_dir, config.user,
                                     config.tty, config.privileged)  # fmt: skip
        execution = self._executions.claim(execution.id)
        stdin = config.attach_stdin and not detach
        log_event(job, container, f"exec_start: {' '.join(config.cmd)}", execID=execution.id)
        try:
            pid = self._exec_driver.exec(
                container.id, execution.id, process, Stdio(open_stdin=stdin, stdin_once=True, attached=not detach)
            )
        except Exception as failure:
            code = failure.exit_code if isinstance(failure, CannotExecute) else 126
            self._executions.ended(execution.id, code)
            if not detach:
                _say_why(job, config.tty, failure)
            raise
        self._executions.running_as(execution.id, pid)
        if detach:
            return
        job.service = True
        job.stdout.flush()
        stream = self._exec_driver.streams(container.id, execution.id, stdin)
        keys = parse_keys(config.detach_keys) if config.tty else b""
        talk = Talk(stdin, config.attach_stdout, config.attach_stderr, config.tty, keys)
        if converse(job, stream, talk):
            log_event(job, container, "exec_detach", execID=execution.id)
        else:
            # The client asks for the exit code as soon as we hang up: it must be there by then.
            self._executions.wait(execution.id, job)


def _say_why(job: Job, terminal: bool, failure: Exception) -> None:
    """Say on the process's own output why it did not begin: stock clients read no other answer to an attached exec.

    Source: Docker's ``api/server/router/container/exec.go``.
    """
    words = f"{failure}\r\n".encode()
    job.stdout.write(words if terminal else frame_header(STDERR, len(words)) + words)


class ExecResize:
    """Resizes the terminal of an exec. Env: h, w."""

    def __init__(self, executions: Executions, exec_driver: ExecDriver) -> None:
        self._executions = executions
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        execution = self._executions.get(argument(job, what="an exec"))
        rows, columns = terminal_size(job)
        if not execution.running:
            raise Conflict(f"exec {execution.id} is not running")
        self._exec_driver.resize(execution.container, rows, columns, execution.id)


class ExecInspect:
    """Answers what is known of an exec."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    def __call__(self, job: Job) -> None:
        execution = self._executions.get(argument(job, what="an exec"))
        config = execution.config
        process: dict[str, Any] = {
            "tty": config.tty,
            "entrypoint": config.cmd[0],
            "arguments": list(config.cmd[1:]),
            "privileged": config.privileged,
        }
        if config.user:
            process["user"] = config.user
        answer(
            job,
            {
                "ID": execution.id,
                "Running": execution.running,
                "ExitCode": execution.exit_code,
                "ProcessConfig": process,
                "OpenStdin": config.attach_stdin,
                "OpenStderr": config.attach_stderr,
                "OpenStdout": config.attach_stdout,
                "CanRemove": False,
                "ContainerID": execution.container,
                "DetachKeys": config.detach_keys,
                "Pid": execution.pid,
            },
        )


class ExecExit:
    """The job ``exec_exit``: an exec's process has ended, which was noted already; say so. Env: exit_code."""

    def __init__(self, containers: ContainerStore) -> None:
        self._containers = containers

    def __call__(self, job: Job) -> None:
        container = self._containers.find(argument(job))
        if container is not None:
            log_event(job, container, "exec_die", execID=argument(job, 1), exitCode=job.env.get("exit_code", ""))


def _require_up(container: Container) -> None:
    if container.state.paused:
        raise Conflict(f"Container {container.name} is paused, unpause the container before exec")
    container.require_running()
