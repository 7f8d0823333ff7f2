"""The laws of the exec driver contract, one suite for every driver of the family.

A driver's test subclasses `ExecDriverContract` and gives a `driver` fixture. What a driver says it
cannot do (`Unsupported`, or a wall that it has not) is skipped with that reason.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mini_docker.drivers.execdriver.contract import ExecDriver, Exited, Sandbox, Stdio
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.errors import CannotExecute, Conflict, Invalid, Unsupported
from mini_docker.libcontainer.capabilities import DEFAULT_CAPABILITIES
from mini_docker.libcontainer.config import (
    Capabilities,
    ContainerSpec,
    Device,
    Mount,
    Namespace,
    ProcessSpec,
    Resources,
)
from mini_docker.remote_api import parse_frame_header

WAIT_SECONDS = 20.0
CAPS = Capabilities(DEFAULT_CAPABILITIES, DEFAULT_CAPABILITIES, (), DEFAULT_CAPABILITIES)


def process(*args: str, **more: object) -> ProcessSpec:
    """A process with Docker's default capabilities."""
    fields: dict[str, object] = {"env": ("PATH=/bin",), "capabilities": CAPS, **more}
    return ProcessSpec(args, **fields)  # type: ignore[arg-type]


def spec(init: ProcessSpec, cgroup: str, **more: object) -> ContainerSpec:
    """A container much as Docker's default one."""
    fields: dict[str, object] = {
        "namespaces": tuple(Namespace(kind) for kind in ("pid", "mount", "uts", "ipc", "network")),
        "hostname": "box",
        "mounts": (
            Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
            Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "mode=755", "size=65536k")),
            Mount("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")),
            Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
        ),
        "devices": tuple(
            Device(f"/dev/{name}", "c", major, minor)
            for name, major, minor in (("null", 1, 3), ("zero", 1, 5), ("urandom", 1, 9), ("tty", 5, 0))
        ),
        "masked_paths": ("/proc/kcore", "/proc/keys"),
        "readonly_paths": ("/proc/sys", "/proc/sysrq-trigger"),
        "cgroup": cgroup,
        **more,
    }
    return ContainerSpec(init, **fields)  # type: ignore[arg-type]


def demultiplex(data: bytes) -> tuple[bytes, bytes]:
    """Frames as (standard output, standard error)."""
    streams = {1: b"", 2: b""}
    while data:
        stream, length = parse_frame_header(data[:8])
        streams[stream] += data[8 : 8 + length]
        data = data[8 + length :]
    return streams[1], streams[2]


def read_all(channel: socket.socket) -> bytes:
    """All that comes until the end, which must come."""
    channel.settimeout(WAIT_SECONDS)
    pieces = []
    with channel:
        while piece := channel.recv(1 << 16):
            pieces.append(piece)
    return b"".join(pieces)


@dataclass
class Bench:
    """A driver on the test bench: runs containers and hears how they end."""

    driver: ExecDriver
    root: Path
    work: Path
    ends: queue.SimpleQueue[Exited] = field(default_factory=queue.SimpleQueue)
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.driver.on_exit(self.ends.put)

    def create(self, init: ProcessSpec, stdio: Stdio | None = None, **more: object) -> str:
        """A created container; its sandbox's descriptors are closed."""
        name = f"c{len(self.made)}-{os.urandom(4).hex()}"
        self.made.append(name)
        stdio = stdio or Stdio(log=self.work / f"{name}.log")
        close(
            self.driver.create(
                name, spec(init, f"mini-docker-test/{name}", **more), lambda: MountedRoot(path=str(self.root)), stdio
            )
        )
        return name

    def with_terminal(self, *args: str, **more: object) -> str:
        """A created container with a terminal; a driver that gives none skips the test."""
        try:
            return self.create(process(*args, terminal=True, **more))
        except Unsupported as reason:
            pytest.skip(f"{self.driver.name}: {reason}")

    def end(self, container: str, execution: str = "") -> Exited:
        """The next end, which must be this one's."""
        ended = self.ends.get(timeout=WAIT_SECONDS)
        assert (ended.container, ended.execution) == (container, execution)
        return ended

    def run(self, *args: str, init: ProcessSpec | None = None, **more: object) -> tuple[int, bytes, bytes]:
        """Run to the end: (exit code, output, error output)."""
        name = self.create(init or process(*args), **more)
        channel = self.driver.streams(name, stdin=False)
        self.driver.start(name)
        code = self.end(name).exit_code
        out, err = demultiplex(read_all(channel))
        self.driver.delete(name)
        return code, out, err

    def started(self, *args: str, **more: object) -> str:
        """A running container."""
        name = self.create(process(*args), **more)
        self.driver.start(name)
        return name

    def up(self, shell: str, **more: object) -> str:
        """A running container whose shell said "up", which shows that it got so far."""
        name = self.create(process("sh", "-c", shell), **more)
        with self.driver.streams(name, stdin=False) as channel:
            self.driver.start(name)
            channel.settimeout(WAIT_SECONDS)
            assert b"up" in channel.recv(100)
        return name

    def exec(self, container: str, *args: str, **more: object) -> tuple[int, bytes, bytes]:
        """Run a further process to its end."""
        execution = os.urandom(4).hex()
        self.driver.exec(container, execution, process(*args, **more), Stdio(attached=True))
        channel = self.driver.streams(container, execution, stdin=False)
        code = self.end(container, execution).exit_code
        out, err = demultiplex(read_all(channel))
        return code, out, err

    def close(self) -> None:
        """Delete all that was made, and let the driver go."""
        for name in self.made:
            self.driver.delete(name)
        self.driver.close()


def close(sandbox: Sandbox) -> None:
    """Close a sandbox's descriptors."""
    for descriptor in (sandbox.namespace, sandbox.netlink):
        if descriptor >= 0:
            os.close(descriptor)


@pytest.mark.root
class ExecDriverContract:
    """The laws."""

    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[ExecDriver]:
        """The driver under test."""
        raise NotImplementedError

    @pytest.fixture
    def bench(self, driver: ExecDriver, busybox_root: Path, tmp_path: Path) -> Iterator[Bench]:
        available = driver.available()
        if not available:
            pytest.skip(f"{driver.name}: {available.reason}")
        driver.restore()
        with contextlib.closing(Bench(driver, busybox_root, tmp_path)) as bench:
            yield bench

    @pytest.mark.parametrize("code", [0, 1, 7, 255])
    def test_exit_codes(self, bench: Bench, code: int) -> None:
        """The command's own exit code, unchanged."""
        assert bench.run("sh", "-c", f"exit {code}")[0] == code

    def test_death_by_signal(self, bench: Bench) -> None:
        """128 plus the signal's number, as a shell counts."""
        name = bench.started("sh", "-c", "echo up; sleep 1000")
        bench.driver.signal(name, signal.SIGKILL)
        assert bench.end(name).exit_code == 137

    def test_output_and_error_stay_apart(self, bench: Bench) -> None:
        """Two streams in, two streams out."""
        assert bench.run("sh", "-c", "echo out; echo err >&2") == (0, b"out\n", b"err\n")

    def test_all_output_is_delivered_before_the_end_is_reported(self, bench: Bench) -> None:
        """However much there is, the log is whole when the exit is heard."""
        name = bench.create(process("sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"))
        bench.driver.start(name)
        bench.end(name)
        assert (bench.work / f"{name}.log").read_text().count("\n") == 2000

    def test_input_reaches_the_process_and_ends(self, bench: Bench) -> None:
        """A half-close at our end is the end of file at the other."""
        name = bench.create(process("cat"), Stdio(open_stdin=True, stdin_once=True))
        channel = bench.driver.streams(name)
        bench.driver.start(name)
        channel.sendall(b"to and fro")
        channel.shutdown(socket.SHUT_WR)
        bench.end(name)
        assert demultiplex(read_all(channel)) == (b"to and fro", b"")

    def test_without_open_stdin_the_input_is_at_its_end(self, bench: Bench) -> None:
        """cat must not wait for somebody who will never come."""
        assert bench.run("cat") == (0, b"", b"")

    def test_several_attachers_see_the_same(self, bench: Bench) -> None:
        """Output goes to all; one that leaves disturbs nobody."""
        name = bench.create(process("sh", "-c", "echo hello"))
        one, two, three = (bench.driver.streams(name, stdin=False) for _ in range(3))
        two.close()
        bench.driver.start(name)
        bench.end(name)
        assert demultiplex(read_all(one)) == demultiplex(read_all(three)) == (b"hello\n", b"")

    @pytest.mark.parametrize(
        ("command", "code", "words"),
        [
            ("/no/such", 127, "no such file"),
            ("nope", 127, "not found in $PATH"),
            ("/etc/passwd", 126, "permission denied"),
        ],
    )
    def test_what_cannot_be_executed(self, bench: Bench, command: str, code: int, words: str) -> None:
        """The starter is told, by type and code; the sandbox then ends by itself."""
        name = bench.create(process(command))
        with pytest.raises(CannotExecute) as caught:
            bench.driver.start(name)
        assert caught.value.exit_code == code
        assert words in str(caught.value)
        assert bench.end(name).exit_code == code

    def test_a_parked_init_runs_nothing(self, bench: Bench) -> None:
        """Created is not started: only init is there, and it can be deleted again."""
        name = bench.create(process("touch", "/tmp/should-not-be"))
        bench.driver.delete(name)
        assert not (bench.root / "tmp/should-not-be").exists()

    def test_an_id_is_used_once(self, bench: Bench) -> None:
        """Two containers of one id would be one cgroup and two truths."""
        name = bench.create(process("true"))
        with pytest.raises(Conflict):
            bench.driver.create(
                name,
                spec(process("true"), f"mini-docker-test/{name}"),
                lambda: MountedRoot(path=str(bench.root)),
                Stdio(),
            )

    def test_it_starts_once(self, bench: Bench) -> None:
        """A second start is a conflict, not a second process."""
        name = bench.started("sleep", "1000")
        with pytest.raises(Conflict):
            bench.driver.start(name)

    def test_exec_runs_beside_init(self, bench: Bench) -> None:
        """A further process shares what init sees, and has its own end."""
        name = bench.started("sleep", "1000")
        try:
            code, out, _ = bench.exec(name, "sh", "-c", "cat /etc/hostname 2>/dev/null; hostname; exit 5")
        except Unsupported as reason:
            pytest.skip(f"{bench.driver.name}: {reason}")
        assert (code, out) == (5, b"box\n" if bench.driver.walls().uts else out)

    def test_exec_of_nothing(self, bench: Bench) -> None:
        """Whoever asked is told, and the container goes on."""
        name = bench.started("sleep", "1000")
        try:
            with pytest.raises(CannotExecute) as caught:
                bench.driver.exec(name, "e1", process("nope"), Stdio(attached=True))
        except Unsupported as reason:
            pytest.skip(f"{bench.driver.name}: {reason}")
        assert caught.value.exit_code == 127
        assert bench.exec(name, "true")[0] == 0

    def test_exec_needs_a_running_container(self, bench: Bench) -> None:
        """A parked or ended one takes no guests."""
        name = bench.create(process("true"))
        with pytest.raises((Conflict, Unsupported)):
            bench.driver.exec(name, "e1", process("true"), Stdio())

    def test_processes_are_listed(self, bench: Bench) -> None:
        """As the host sees them: they can be looked up in /proc."""
        name = bench.up("sleep 1000 & sleep 1000 & echo up; wait")
        pids = bench.driver.processes(name)
        assert len(pids) == 3
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)

    def test_pause_stops_time_and_resume_lets_it_go_on(self, bench: Bench) -> None:
        """A frozen container answers nobody, and forgets nothing."""
        name = bench.create(
            process("sh", "-c", "echo up; read line; echo $line"), Stdio(open_stdin=True, stdin_once=True)
        )
        channel = bench.driver.streams(name)
        bench.driver.start(name)
        channel.settimeout(WAIT_SECONDS)
        assert b"up" in channel.recv(100)
        try:
            bench.driver.pause(name)
        except Unsupported as reason:
            channel.close()
            pytest.skip(f"{bench.driver.name}: {reason}")
        channel.sendall(b"later\n")
        channel.settimeout(0.2)
        with pytest.raises(TimeoutError):
            channel.recv(100)
        bench.driver.resume(name)
        assert bench.end(name).exit_code == 0
        assert b"later" in read_all(channel)

    def test_memory_is_limited(self, bench: Bench) -> None:
        """The kernel ends what takes more than its share, and the driver says so."""
        if not bench.driver.walls().limits:
            pytest.skip(f"{bench.driver.name} has no limits")
        limited = Resources(memory_bytes=16 << 20, memory_swap_bytes=16 << 20)
        name = bench.started("sh", "-c", "hunger=more; while :; do hunger=$hunger$hunger; done", resources=limited)
        ended = bench.end(name)
        assert (ended.exit_code, ended.oom_killed) == (137, True)

    def test_stats_count(self, bench: Bench) -> None:
        """The shape is the Remote API's; the numbers are the kernel's."""
        name = bench.up("echo up; sleep 1000")
        stats = bench.driver.stats(name)
        assert stats["pids_stats"]["current"] >= 1
        assert stats["memory_stats"]["usage"] > 0

    def test_delete_of_a_running_container_leaves_no_process(self, bench: Bench) -> None:
        """Whatever it began."""
        name = bench.up("sleep 1000 & sleep 1000 & echo up; wait")
        pids = bench.driver.processes(name)
        bench.driver.delete(name)
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists() and not _is_zombie(pid)]
        bench.driver.delete(name)  # once more is no error

    def test_a_terminal(self, bench: Bench) -> None:
        """`tty` names it, its size is what was asked, and output is raw."""
        name = bench.with_terminal("sh", "-c", "tty; stty size", rows=31, columns=97)
        channel = bench.driver.streams(name, stdin=False)
        bench.driver.start(name)
        bench.end(name)
        assert read_all(channel) == b"/dev/pts/0\r\n31 97\r\n"

    def test_resize_reaches_the_process(self, bench: Bench) -> None:
        """As SIGWINCH and a new size."""
        shell = "trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.05; done"
        name = bench.with_terminal("sh", "-c", shell)
        channel = bench.driver.streams(name, stdin=False)
        bench.driver.start(name)
        channel.settimeout(WAIT_SECONDS)
        assert b"up" in channel.recv(100)
        bench.driver.resize(name, 40, 120)
        bench.end(name)
        assert b"40 120" in read_all(channel)

    def test_resize_without_a_terminal(self, bench: Bench) -> None:
        """Named for what it is: the request makes no sense."""
        name = bench.started("sleep", "1000")
        with pytest.raises(Invalid):
            bench.driver.resize(name, 1, 1)

    def test_the_log_bell_rings_and_ends(self, bench: Bench) -> None:
        """A follower waits for the bell, reads what is new, and knows when there will be no more."""
        name = bench.create(process("sh", "-c", "echo one; echo two"))
        bell = bench.driver.log_bell(name)
        bench.driver.start(name)
        assert read_all(bell)
        assert (bench.work / f"{name}.log").read_text().count('"log"') == 2

    def test_containers_outlive_the_daemon(self, bench: Bench) -> None:
        """Let go and come back: everything is found, and the end is not missed."""
        name = bench.up("echo up; sleep 1000")
        gone = bench.started("sh", "-c", "exit 9")
        assert bench.end(gone).exit_code == 9
        bench.driver.close()
        successor = self.successor(bench)
        found = {entry.container: entry for entry in successor.restore()}
        bench.driver = successor
        successor.on_exit(bench.ends.put)
        assert found[name].started
        assert found[name].pid > 0
        assert not found[name].paused
        exited = found[gone].exited
        assert exited is not None
        assert exited.exit_code == 9
        successor.signal(name, signal.SIGKILL)
        assert bench.end(name).exit_code == 137

    def successor(self, bench: Bench) -> ExecDriver:
        """A new driver object on the same run folder, as the next daemon makes one."""
        raise NotImplementedError

    def test_many_at_once(self, bench: Bench) -> None:
        """Threads of the daemon start containers side by side: none is confused with another."""
        results: dict[int, bytes] = {}
        names = [bench.create(process("sh", "-c", f"echo {number}")) for number in range(10)]
        channels = [bench.driver.streams(name, stdin=False) for name in names]

        def run(number: int) -> None:
            bench.driver.start(names[number])
            results[number] = demultiplex(read_all(channels[number]))[0]

        threads = [threading.Thread(target=run, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_SECONDS)
        assert results == {number: f"{number}\n".encode() for number in range(10)}


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
