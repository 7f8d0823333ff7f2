"""Stand-ins for a daemon's drivers, so that its jobs are tested without root: containers that are threads.

`FakeExecDriver` keeps the exec driver's laws with real socket pairs: a sandbox is parked until started, output is
logged and delivered before the end is reported, each end is reported once. What a "process" does is its command's
first word, one of `PROGRAMS`.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.volumes import VolumeStore
from mini_docker.daemon.daemon import Collaborators, Daemon
from mini_docker.daemon.event_log import EventLog
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.network import AllocateInterface, AllocatePort, Link, ReleaseInterface
from mini_docker.daemon.name_service import NameService
from mini_docker.daemon.settings import DaemonSettings
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.execdriver.contract import Exited, Found, Sandbox, Stdio, Walls
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.drivers.networkdriver.contract import EndpointState, Joined, Lease, PublishedPort
from mini_docker.engine import Engine, Job
from mini_docker.errors import CannotExecute, Conflict, MiniDockerError, NotFound
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.graph import Graph
from mini_docker.graph.graphdb import GraphDB
from mini_docker.graph.image import ImageConfig
from mini_docker.graph.tag_store import TagStore
from mini_docker.libcontainer.config import ContainerSpec, ProcessSpec
from mini_docker.linux.dns_sockets import DnsSockets
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.remote_api import STDERR, STDOUT, frame_header
from mini_docker.supervisor.json_log import encode_entries
from tests.graph.fake_driver import FakeDriver

PATIENCE_SECONDS = 10.0


class Forgotten(Exception):
    """Nobody tells the process anything any more."""


class FakeProcess:
    """One process: a thread that runs a program, with stdio, a log and attachers."""

    def __init__(self, driver: FakeExecDriver, container: str, execution: str, process: ProcessSpec, stdio: Stdio):
        self.driver, self.container, self.execution = driver, container, execution
        self.spec, self.stdio = process, stdio
        self.ended = threading.Event()
        self.signals: list[int] = []
        self.woken = threading.Condition()
        self.attachers: list[socket.socket] = []
        self.bells: list[socket.socket] = []
        self.size = (0, 0)
        self.input = bytearray()
        self.input_ended = not stdio.open_stdin
        self.awaited: socket.socket | None = self.attach() if stdio.attached else None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def attach(self, stdin: bool = True) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.attachers.append(theirs)
        if stdin and self.stdio.open_stdin:
            threading.Thread(target=self._read, args=(theirs,), daemon=True).start()
        return ours

    def bell(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        if self.ended.is_set():
            theirs.close()
        else:
            self.bells.append(theirs)
        return ours

    def _read(self, stream: socket.socket) -> None:
        while True:
            try:
                data = stream.recv(4096)
            except OSError:
                return
            with self.woken:
                self.input += data
                self.input_ended |= not data and self.stdio.stdin_once
                self.woken.notify_all()
            if not data:
                return

    def write(self, stream: int, data: bytes) -> None:
        if self.stdio.log is not None:
            with open(self.stdio.log, "ab") as log:
                for line in data.splitlines(keepends=True):
                    log.write(encode_entries(stream, [line], time.time_ns()))
        for attacher in list(self.attachers):
            try:
                attacher.sendall(data if self.spec.terminal else frame_header(stream, len(data)) + data)
            except OSError:
                self.attachers.remove(attacher)
        for bell in self.bells:
            bell.send(b"!")

    def signal(self, number: int) -> None:
        with self.woken:
            self.signals.append(number)
            self.woken.notify_all()

    def _run(self) -> None:
        try:
            self.end(PROGRAMS[self.spec.args[0]](self))
        except Forgotten:
            pass  # its daemon was "killed" and its test is over

    def end(self, code: int) -> None:
        """Deliver all, then report; as the contract has it."""
        if self.ended.is_set():
            return
        self.ended.set()
        self.hang_up()
        self.driver.report(Exited(self.container, self.execution, code, False, time.time()))

    def hang_up(self) -> None:
        for channel in (*self.attachers, *self.bells):
            try:
                channel.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            channel.close()

    def until(self, condition: Callable[[], bool]) -> None:
        with self.woken:
            if not self.woken.wait_for(condition, PATIENCE_SECONDS):
                raise Forgotten


def _sleep(process: FakeProcess) -> int:
    process.until(lambda: bool(process.signals))
    return 128 + process.signals[0]


def _stubborn(process: FakeProcess) -> int:
    process.until(lambda: signal.SIGKILL in process.signals)
    return 128 + signal.SIGKILL


def _echo(process: FakeProcess) -> int:
    process.write(STDOUT, " ".join(process.spec.args[1:]).encode() + b"\n")
    return 0


def _both(process: FakeProcess) -> int:
    process.write(STDOUT, b"out\n")
    process.write(STDERR, b"err\n")
    return 0


def _cat(process: FakeProcess) -> int:
    while True:
        process.until(lambda: bool(process.input) or process.input_ended or bool(process.signals))
        if process.signals:
            return 128 + process.signals[0]
        with process.woken:
            data, process.input = bytes(process.input), bytearray()
        if data:
            process.write(STDOUT, data)
        elif process.input_ended:
            return 0


PROGRAMS: dict[str, Callable[[FakeProcess], int]] = {
    "true": lambda process: 0,
    "exit": lambda process: int(process.spec.args[1]),
    "sleep": _sleep,
    "stubborn": _stubborn,
    "echo": _echo,
    "both": _both,
    "cat": _cat,
}


@dataclass
class FakeSandbox:
    spec: ContainerSpec
    init: FakeProcess
    execs: dict[str, FakeProcess] = field(default_factory=dict)
    started: bool = False
    paused: bool = False


class FakeExecDriver:
    """Containers as threads. ``fail_at`` names a method that raises."""

    name = "fake-1"

    def __init__(self) -> None:
        self.sandboxes: dict[str, FakeSandbox] = {}
        self.fail_at = ""
        self.found: list[Found] = []
        self.cleared: list[str] = []
        self._listeners: list[Callable[[Exited], None]] = []
        self._lost: list[Callable[[Sequence[str]], None]] = []

    def _maybe_fail(self, method: str) -> None:
        if self.fail_at == method:
            raise MiniDockerError(f"{method} fails, as told")

    def _get(self, container: str) -> FakeSandbox:
        sandbox = self.sandboxes.get(container)
        if sandbox is None or sandbox.init.ended.is_set():
            raise Conflict(f"container {container} is not running")
        return sandbox

    def _process(self, container: str, execution: str) -> FakeProcess:
        sandbox = self._get(container)
        return sandbox.execs[execution] if execution else sandbox.init

    def available(self) -> Availability:
        return AVAILABLE

    def walls(self) -> Walls:
        return Walls(pid=True)

    def create(
        self,
        container: str,
        spec: ContainerSpec,
        make_root: Callable[[], MountedRoot],
        stdio: Stdio,
        narrate: int = -1,
    ) -> Sandbox:
        self._maybe_fail("create")
        if container in self.sandboxes:
            raise Conflict(f"{container} exists")
        make_root()
        self.sandboxes[container] = FakeSandbox(spec, FakeProcess(self, container, "", spec.process, stdio))
        return Sandbox(os.getpid(), os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY))

    def start(self, container: str) -> None:
        self._maybe_fail("start")
        sandbox = self.sandboxes[container]
        _check_executable(sandbox.spec.process)
        sandbox.started = True
        sandbox.init.thread.start()

    def exec(self, container: str, execution: str, process: ProcessSpec, stdio: Stdio) -> int:
        sandbox = self._get(container)
        _check_executable(process)
        sandbox.execs[execution] = FakeProcess(self, container, execution, process, stdio)
        sandbox.execs[execution].thread.start()
        return os.getpid()

    def signal(self, container: str, number: int, execution: str = "") -> None:
        self._process(container, execution).signal(number)

    def pause(self, container: str) -> None:
        self._get(container).paused = True

    def resume(self, container: str) -> None:
        self._get(container).paused = False

    def resize(self, container: str, rows: int, columns: int, execution: str = "") -> None:
        self._process(container, execution).size = (rows, columns)

    def streams(self, container: str, execution: str = "", stdin: bool = True) -> socket.socket:
        sandbox = self.sandboxes[container]
        process = sandbox.execs[execution] if execution else sandbox.init
        if process.awaited is not None:
            awaited, process.awaited = process.awaited, None
            return awaited
        self._get(container)
        return process.attach(stdin)

    def log_bell(self, container: str) -> socket.socket:
        return self._get(container).init.bell()

    def processes(self, container: str) -> Sequence[int]:
        return [os.getpid()]

    def stats(self, container: str) -> dict[str, Any]:
        return {"cpu_stats": {"cpu_usage": {"total_usage": time.monotonic_ns()}}, "memory_stats": {"usage": 1}}

    def update(self, container: str, resources: Any) -> tuple[str, ...]:
        self.updated = resources
        return ()

    def restore(self) -> Sequence[Found]:
        return self.found

    def open_netlink(self, container: str) -> Sandbox:
        raise NotImplementedError

    def clear(self, cgroup: str) -> None:
        self._maybe_fail("clear")
        self.cleared.append(cgroup)

    def delete(self, container: str) -> None:
        sandbox = self.sandboxes.pop(container, None)
        if sandbox is not None and not sandbox.init.ended.is_set():
            sandbox.init.ended.set()
            sandbox.init.hang_up()
            sandbox.init.signal(signal.SIGKILL)

    def report(self, exited: Exited) -> None:
        for listener in self._listeners:
            listener(exited)

    def on_oom(self, listener: Callable[[str], None]) -> None:
        pass

    def on_exit(self, listener: Callable[[Exited], None]) -> None:
        self._listeners.append(listener)

    def on_lost(self, listener: Callable[[Sequence[str]], None]) -> None:
        self._lost.append(listener)

    def close(self) -> None:
        self._listeners.clear()


def _check_executable(process: ProcessSpec) -> None:
    if process.args[0] == "denied":
        raise CannotExecute('exec: "denied": permission denied', 126)
    if process.args[0] not in PROGRAMS:
        raise CannotExecute(f'exec: "{process.args[0]}": executable file not found in $PATH', 127)


class FakeNetworkDriver:
    """Counts what it holds: leases, joins, ports. ``fail_at`` names a method that raises."""

    name = "bridge"

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}
        self.joined: set[str] = set()
        self.published: dict[str, tuple[PublishedPort, ...]] = {}
        self.links: set[tuple[str, str]] = set()
        self.restored: Sequence[EndpointState] = ()
        self.fail_at = ""
        self._next = 2
        self._lock = threading.Lock()

    def held(self) -> int:
        return len(self.leases) + len(self.joined) + len(self.published) + len(self.links)

    def _maybe_fail(self, method: str) -> None:
        if self.fail_at == method:
            raise MiniDockerError(f"{method} fails, as told")

    def lease(self, network: str, endpoint: str, address: Any = None, mac_address: str = "") -> Lease:
        self._maybe_fail("lease")
        with self._lock:
            chosen = ipaddress.ip_interface((0xAC110000 + self._next, 16))
            self._next += 1
            self.leases[endpoint] = Lease(
                endpoint, network, chosen, ipaddress.ip_address("172.17.0.1"), "02:42:1:2:3:4"
            )
            return self.leases[endpoint]

    def release(self, endpoint: str) -> None:
        self.leases.pop(endpoint, None)
        self.published.pop(endpoint, None)
        self.links = {link for link in self.links if endpoint not in link}

    def join(self, endpoint: str, sandbox: Any, interface: str = "eth0", default_route: bool = True) -> Joined:
        self._maybe_fail("join")
        self.joined.add(endpoint)
        return Joined(interface, "veth0")

    def leave(self, endpoint: str, sandbox: Any) -> None:
        self.joined.discard(endpoint)

    def set_gateway(self, endpoint: str, sandbox: Any) -> None:
        assert endpoint in self.joined

    def publish(self, endpoint: str, bindings: Any) -> tuple[PublishedPort, ...]:
        self._maybe_fail("publish")
        ports = tuple(
            PublishedPort(
                each.container_port, each.protocol, ipaddress.ip_address("0.0.0.0"), each.host_ports[0] or 49153
            )
            for each in bindings
        )
        self.published[endpoint] = ports
        return ports

    def unpublish(self, endpoint: str) -> None:
        self.published.pop(endpoint, None)

    def link(self, endpoint: str, target: str, ports: Any) -> None:
        self.links.add((endpoint, target))

    def unlink(self, endpoint: str, target: str, ports: Any) -> None:
        self.links.discard((endpoint, target))

    def endpoint(self, endpoint: str) -> EndpointState:
        return EndpointState(self.leases[endpoint], self.published.get(endpoint, ()))

    def restore(self, endpoints: Sequence[EndpointState]) -> None:
        self.restored = endpoints
        self.leases = {state.lease.endpoint: state.lease for state in endpoints}
        self.joined &= self.leases.keys()

    def shutdown(self) -> None:
        pass


class FakeDns:
    """A DNS server that notes whom it serves."""

    def __init__(self) -> None:
        self.served: set[str] = set()

    def add(self, id: str, sockets: Any, names: Any, upstream: Any) -> None:
        self.served.add(id)
        sockets.close()

    def remove(self, id: str) -> None:
        self.served.discard(id)


class FakeNetworks:
    """Every predefined network, of one driver."""

    def __init__(self, driver: FakeNetworkDriver) -> None:
        self.driver = driver

    def resolve(self, word: str) -> tuple[str, str]:
        name = word.removeprefix("id-of-")
        if name not in ("bridge", "none", "host", "mine"):
            raise NotFound(f"network {word} not found")
        return f"id-of-{name}", name

    def driver_of(self, network_id: str) -> Any:
        return self.driver

    def drivers(self) -> Sequence[Any]:
        return [self.driver]


class FakeHouse:
    """A whole daemon on fakes, in a folder. A second house on the same folder is the next daemon."""

    def __init__(self, root: Path, exec_driver: FakeExecDriver | None = None, **settings: Any) -> None:
        self.root = root
        self.engine = Engine()
        self.exec_driver = exec_driver or FakeExecDriver()
        self.network_driver = FakeNetworkDriver()
        self.graph_driver = FakeDriver(root / "fake")
        self.graph = Graph(root / "graph", self.graph_driver)
        self.tags = TagStore(root / "repositories-fake.json")
        self.containers = ContainerStore(root / "containers")
        self.layers = ContainerLayers(self.graph_driver)
        self.names = GraphDB(root / "linkgraph.db")
        self.kernel = LinuxKernel()
        self.volumes = VolumeStore(root / "volumes", self.kernel)
        self.events = EventLog()
        networks = FakeNetworks(self.network_driver)
        self.dns = FakeDns()
        name_service = NameService(self.dns, lambda container: DnsSockets(*socket.socketpair()), self.containers)
        self.daemon = Daemon(
            self.engine,
            Collaborators(
                DaemonSettings(root, root, **settings), self.containers, ImageLookup(self.graph, self.tags),
                self.layers, self.names, self.volumes, self.graph_driver, self.exec_driver, networks,
                name_service, self.events, self.kernel, "hosty",
            ),
        )  # fmt: skip
        self.daemon.install()
        self.engine.register("allocate_interface", AllocateInterface(networks))
        self.engine.register("release_interface", ReleaseInterface(networks))
        self.engine.register("allocate_port", AllocatePort(networks, self.containers))
        self.engine.register("link", Link(self.network_driver))
        self.daemon.restore()

    def image(self, name: str = "busybox", **config: Any) -> str:
        """An image without layers, by that name; returns its id."""
        image = self.graph.register(ImageConfig("amd64", "linux", config=config or {"Cmd": ["true"]}).encode())
        self.tags.set(name, "latest", image.id)
        return image.id

    def job(self, name: str, /, *args: str, body: bytes = b"", **env: str) -> Job:
        job = self.engine.job(name, *args)
        job.env.update(env)
        if body:
            job.stdin.set(OneShot(body))
        return job

    def run(self, name: str, /, *args: str, body: Any = b"", **env: str) -> Any:
        """Run a job and decode its answer."""
        import json

        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        output = self.job(name, *args, body=data, **env).output()
        return json.loads(output) if output.strip() else None

    def create(self, *command: str, name: str = "", host: dict[str, Any] | None = None, **config: Any) -> str:
        body = {"Image": "busybox", "Cmd": list(command) or None, "HostConfig": host or {}, **config}
        return str(self.run("create", body=body, **({"name": name} if name else {}))["Id"])

    def start(self, *command: str, **kwargs: Any) -> str:
        container = self.create(*command, **kwargs)
        self.run("start", container)
        return container

    def wait(self, container: str, condition: str = "not-running") -> int:
        """The exit code, when all is swept that it left."""
        code = self.run("wait", container, condition=condition)["StatusCode"]
        self.swept(container)
        return int(code)

    def swept(self, container: str) -> None:
        """Wait until nothing is under way with the container."""
        known = self.containers.find(container)
        with known.lock if known is not None else nullcontext():
            pass

    def actions(self, actor: str = "") -> list[str]:
        """The actions of all events so far, of one actor if given."""
        with self.events.listen() as (past, _):
            return [event.action for event in past if not actor or event.actor == actor]


class OneShot:
    """A Reader of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int = -1) -> bytes:
        data = self._data if size < 0 else self._data[:size]
        self._data = self._data[len(data) :]
        return data
