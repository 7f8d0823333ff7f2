"""The exec driver's contract: give a container its execution environment, and run processes in it.

A driver knows specs (libcontainer's `ContainerSpec`), sandboxes and exit codes. It knows nothing
of images, names, networks or HTTP. In Docker's words: "customize the execution environment
surrounding each container".
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.availability import Availability
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.libcontainer.config import ContainerSpec, ProcessSpec, Resources
from mini_docker.linux.dns_sockets import DnsSockets


@dataclass(frozen=True, slots=True)
class Stdio:
    """What becomes of a process's three streams.

    Attributes:
        open_stdin: keep standard input open for an attacher; else it is at its end from the start.
        stdin_once: the first attacher that ends its input ends the process's.
        attached: an attacher is awaited from the very first byte: the first call of `streams` gives
            its socket, and nothing that the process writes before that call is lost.
        log: the json log to append output to; None to keep none.
        log_limit_bytes: start a new log file at this size, 0 never; *log_files* of them are kept.
    """

    open_stdin: bool = False
    stdin_once: bool = False
    attached: bool = False
    log: Path | None = None
    log_limit_bytes: int = 0
    log_files: int = 1


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A container that was created and not yet started: its namespaces exist, its init is parked.

    Attributes:
        pid: of its init, as the host sees it.
        namespace: descriptor of its network namespace, the caller's to close; -1 when it has none of its own.
        netlink: descriptor of a NETLINK_ROUTE socket opened inside it, the caller's to close; -1 likewise.
        warnings: what the kernel could not do, a sentence each.
    """

    pid: int
    namespace: int = -1
    netlink: int = -1
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exited:
    """A process of a container ended.

    Attributes:
        container: its id.
        execution: id of the exec it was; empty for the container's init.
        exit_code: 0 to 255; 128 plus the signal's number when one ended it.
        oom_killed: whether the kernel killed some process of the container for want of memory.
        finished: wall clock, seconds since the epoch.
    """

    container: str
    execution: str
    exit_code: int
    oom_killed: bool
    finished: float


@dataclass(frozen=True, slots=True)
class Found:
    """A container that outlived an earlier daemon.

    Attributes:
        pid: of its init; 0 once it ended.
        started: whether it got past `start`.
        paused: whether it is frozen.
        exited: how it ended, if it did while no daemon looked.
        root: descriptor of its root mount, for `GraphDriver.adopt`; -1 when it has none.
        executions: ids of execs still running, with their pids.
    """

    container: str
    pid: int
    started: bool
    paused: bool
    exited: Exited | None
    root: int
    executions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Walls:
    """Which isolation a driver gives: each field one wall between container and host.

    ``info`` and the docs print this table.
    """

    pid: bool = False
    mount: bool = False
    uts: bool = False
    ipc: bool = False
    network: bool = False
    cgroup: bool = False
    user: bool = False
    limits: bool = False
    capabilities: bool = False
    seccomp: bool = False
    root: bool = True


class ExecDriver(Protocol):
    """One way to run containers.

    Laws: `create` leaves a parked init and nothing else running, and on failure leaves nothing;
    every process that `start` or `exec` began is reported by exactly one `Exited`; output that a
    process wrote before its end is in the log and with the attachers before that report;
    `delete` leaves no process, mount, cgroup or descriptor. Containers outlive the daemon.

    May be called from many threads at once.
    """

    @property
    def name(self) -> str:
        """As ``-e`` and ``docker info`` have it, with a version: ``native-0.1``."""

    def available(self) -> Availability:
        """Whether it works here."""

    def walls(self) -> Walls:
        """Which isolation it gives."""

    def create(
        self,
        container: str,
        spec: ContainerSpec,
        make_root: Callable[[], MountedRoot],
        stdio: Stdio,
        narrate: int = -1,
    ) -> Sandbox:
        """Make the sandbox and park its init.

        Args:
            make_root: makes the container's root, and the files that the spec's mounts name. It is called once, from
                within: a driver may tell others of the spec before, who read it meanwhile.
            narrate: the writing end of a pipe, still the caller's to close, or -1. Every privileged step of both
                halves is told there in words, a line each; its end comes when the command runs or init is gone.

        Raises:
            Conflict: the id is in use. Invalid: the spec asks for nonsense. Unsupported: this driver cannot.
        """

    def start(self, container: str) -> None:
        """Let the parked init execute the container's command.

        Raises:
            CannotExecute: command not found (127) or not executable (126). The sandbox then ends by itself.
        """

    def exec(self, container: str, execution: str, process: ProcessSpec, stdio: Stdio) -> int:
        """Run a further process inside; returns its pid as the host sees it.

        Raises:
            Conflict: the container does not run. CannotExecute: as `start`. Unsupported: this driver cannot.
        """

    def signal(self, container: str, number: int, execution: str = "") -> None:
        """Send a signal to the init, or to an exec's process.

        Raises:
            Conflict: it has ended.
        """

    def pause(self, container: str) -> None:
        """Freeze every process of the container."""

    def resume(self, container: str) -> None:
        """Thaw them."""

    def resize(self, container: str, rows: int, columns: int, execution: str = "") -> None:
        """Tell the terminal its size; without a terminal Invalid is raised."""

    def streams(self, container: str, execution: str = "", stdin: bool = True) -> socket.socket:
        """A connected stream socket to the process's stdio, for one attacher.

        With a terminal it carries raw bytes both ways. Without one, what comes back is in the
        Remote API's frames (`mini_docker.remote_api.frame_header`). What is sent is standard
        input when *stdin* is true; half-closing it closes standard input where `stdin_once`
        says so. It reaches its end when the process has ended and all output was delivered.
        """

    def log_bell(self, container: str) -> socket.socket:
        """A socket that receives a byte whenever the log grew, and ends when nothing more will be logged.

        Bytes may be merged: after one, read the log to its end.
        """

    def processes(self, container: str) -> Sequence[int]:
        """Pids of all processes in the container, as the host sees them."""

    def stats(self, container: str) -> Mapping[str, Any]:
        """Resource use now, in the shape of the Remote API's stats (without networks and precpu)."""

    def update(self, container: str, resources: Resources) -> tuple[str, ...]:
        """Change the limits of a running container; returns warnings."""

    def restore(self) -> Sequence[Found]:
        """What is still there from an earlier daemon. Called once, before anything else."""

    def open_netlink(self, container: str) -> Sandbox:
        """The network descriptors of a running container again, as `create` gave them."""

    def open_dns(self, container: str) -> DnsSockets:
        """Sockets on which a running container's programs find their name server; the caller's to close.

        Raises:
            Conflict: it has no network namespace of its own, its loopback is down, or a program in it has the port.
        """

    def delete(self, container: str) -> None:
        """End every process of the container if any still runs, and release all it took. Unknown ids are no error."""

    def clear(self, cgroup: str) -> None:
        """Take away what a daemon left that died within `create`, before anybody else knew of the container.

        Args:
            cgroup: of the spec of a container that `restore` did not find.
        """

    def on_exit(self, listener: Callable[[Exited], None]) -> None:
        """Have *listener* called, in a thread of the driver's, for every end of a process."""

    def on_oom(self, listener: Callable[[str], None]) -> None:
        """Have *listener* called with a container's id whenever the kernel killed in it for want of memory."""

    def on_lost(self, listener: Callable[[Sequence[str]], None]) -> None:
        """Have *listener* called with the ids of containers that died with the process that held them."""

    def close(self) -> None:
        """Let go of the containers without ending them."""
