"""The job ``attach``: talk with a container's process, from before its first byte if need be.

Classic Docker's ContainerAttach (``daemon/attach.go``).
"""

from __future__ import annotations

import contextlib
import socket

from mini_docker.daemon.container.attacher import Attacher
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.jobs.answers import argument
from mini_docker.daemon.jobs.conversation import Talk, converse
from mini_docker.daemon.jobs.events import log_event
from mini_docker.daemon.jobs.logs import LogsRequest, write_entries
from mini_docker.dataclasses import dataclass
from mini_docker.detach_keys import parse_keys
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.engine import Job
from mini_docker.errors import Conflict, NotFound
from mini_docker.supervisor.json_log import JsonLogReader


@dataclass(frozen=True, slots=True)
class AttachRequest:
    """Which streams; *logs* first repeats what was said before; *stream* goes on with what is said from now on."""

    container: str
    stdin: bool
    stdout: bool
    stderr: bool
    logs: bool
    stream: bool
    detach_keys: bytes

    @classmethod
    def decode(cls, job: Job) -> AttachRequest:
        """Read the job's arguments and environment.

        Raises:
            Invalid: bad detach keys.
        """
        env = job.env
        return cls(
            argument(job), env.get_bool("stdin"), env.get_bool("stdout"), env.get_bool("stderr"),
            env.get_bool("logs"), env.get_bool("stream"), parse_keys(env.get("detachKeys", "")),
        )  # fmt: skip


class Attach:
    """Carries bytes between a client and a container's process, or a process to come."""

    def __init__(self, containers: ContainerStore, exec_driver: ExecDriver) -> None:
        self._containers = containers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        request = AttachRequest.decode(job)
        container = self._containers.get(request.container)
        job.service = True
        attacher = self._announce(container, request) if request.stream else None
        log_event(job, container, "attach")
        job.stdout.flush()  # the client starts the container only when it sees the switch
        if request.logs:
            self._repeat(job, container, request)
        if attacher is None:
            return
        with job.on_cancel(attacher.dismiss):
            stream = attacher.wait()
        if stream is None:
            return
        talk = Talk(
            request.stdin, request.stdout, request.stderr, container.config.tty,
            request.detach_keys if container.config.tty else b"",
        )  # fmt: skip
        if converse(job, stream, talk):
            log_event(job, container, "detach")

    def _announce(self, container: Container, request: AttachRequest) -> Attacher:
        """An attacher that has its stream, when the container runs, or will get it from the start."""
        attacher = Attacher(request.stdin and container.config.open_stdin)
        with container.lock:
            if container.state.paused:
                raise Conflict(f"Container {container.id} is paused, unpause the container before attach.")
            if container.state.running:
                attacher.connect(self._streams(container, attacher.wants_stdin))
            else:
                container.attachers = [*(one for one in container.attachers if not one.done), attacher]
        return attacher

    def _streams(self, container: Container, stdin: bool) -> socket.socket:
        try:
            return self._exec_driver.streams(container.id, stdin=stdin)
        except (Conflict, NotFound):  # it has just ended
            ours, theirs = socket.socketpair()
            theirs.close()
            return ours

    @staticmethod
    def _repeat(job: Job, container: Container, request: AttachRequest) -> None:
        """What was said before. A line that is said at this very moment may come twice, but none is missing."""
        wanted = LogsRequest(container.id, request.stdout, request.stderr, False, False, None, "", "")
        with contextlib.closing(JsonLogReader(container.log_path)) as reader:
            write_entries(job, reader.read(), wanted, container.config.tty)
