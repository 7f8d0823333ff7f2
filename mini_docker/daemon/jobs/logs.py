"""The job ``logs``: read a container's diary, from wherever to its end, or on and on.

Classic Docker's ContainerLogs (``daemon/logs.go``); following is by the exec driver's bell, never by polling.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.timestamps import format_log_time, parse_time
from mini_docker.daemon.jobs.answers import argument
from mini_docker.dataclasses import dataclass
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.engine import Job
from mini_docker.errors import Conflict, Invalid, NotFound, Unsupported
from mini_docker.remote_api import STDOUT, frame_header
from mini_docker.supervisor.json_log import Entry, JsonLogReader

_BATCH = 1 << 16


@dataclass(frozen=True, slots=True)
class LogsRequest:
    """Which entries.

    Attributes:
        tail: how many of the last; None for all.
        since, until: RFC 3339 with nine digits, which sorts as text; empty not said.
    """

    container: str
    stdout: bool
    stderr: bool
    follow: bool
    timestamps: bool
    tail: int | None
    since: str
    until: str

    @classmethod
    def decode(cls, job: Job) -> LogsRequest:
        """Read the job's arguments and environment.

        Raises:
            Invalid: no stream is asked for.
        """
        env = job.env
        stdout, stderr = env.get_bool("stdout"), env.get_bool("stderr")
        if not (stdout or stderr):
            raise Invalid("Bad parameters: you must choose at least one stream")
        tail = env.get("tail", "all")
        return cls(
            argument(job), stdout, stderr, env.get_bool("follow"), env.get_bool("timestamps"),
            int(tail) if tail.isascii() and tail.isdigit() else None,
            _moment(env.get("since", "")), _moment(env.get("until", "")),
        )  # fmt: skip

    def wants(self, entry: Entry) -> bool:
        """Whether the entry is asked for."""
        if not (self.stdout if entry.stream == STDOUT else self.stderr):
            return False
        return (not self.since or entry.time >= self.since) and (not self.until or entry.time <= self.until)


def _moment(text: str) -> str:
    nanoseconds = parse_time(text)
    return format_log_time(nanoseconds) if nanoseconds else ""


class Logs:
    """Writes the entries, framed when the container has no terminal."""

    def __init__(self, containers: ContainerStore, exec_driver: ExecDriver) -> None:
        self._containers = containers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        request = LogsRequest.decode(job)
        container = self._containers.get(request.container)
        if container.host_config.log_config.type == "none":
            raise Unsupported("configured logging driver does not support reading")
        # The bell first, then the reading: what is logged in between rings.
        bell = self._bell(container) if request.follow else None
        with contextlib.closing(JsonLogReader(container.log_path, request.tail)) as reader:
            job.stdout.flush()
            write_entries(job, reader.read(), request, container.config.tty)
            if bell is not None:
                self._follow(job, reader, bell, request, container.config.tty)

    def _bell(self, container: Container) -> socket.socket | None:
        try:
            return self._exec_driver.log_bell(container.id) if container.state.running else None
        except (Conflict, NotFound):
            return None  # it has ended since, and perhaps its end was seen to as well

    @staticmethod
    def _follow(job: Job, reader: JsonLogReader, bell: socket.socket, request: LogsRequest, terminal: bool) -> None:
        job.service = True
        with bell, job.on_cancel(lambda: _silence(bell)):
            while bell.recv(4096):
                write_entries(job, reader.read(), request, terminal)
            if not job.cancelled:
                write_entries(job, reader.read(), request, terminal)


def write_entries(job: Job, entries: Iterator[Entry], request: LogsRequest, terminal: bool) -> None:
    """Write those of *entries* that are asked for, many at a time, as a live attacher would see them."""
    batch = bytearray()
    for entry in entries:
        if not request.wants(entry):
            continue
        line = f"{entry.time} ".encode() + entry.line if request.timestamps else entry.line
        if not terminal:
            batch += frame_header(entry.stream, len(line))
        batch += line
        if len(batch) >= _BATCH:
            job.stdout.write(bytes(batch))
            batch.clear()
    if batch:
        job.stdout.write(bytes(batch))


def _silence(bell: socket.socket) -> None:
    try:
        bell.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended
