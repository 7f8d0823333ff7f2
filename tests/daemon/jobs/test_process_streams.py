"""attach, logs, exec, resize: bytes between clients and processes."""

from __future__ import annotations

import json
import socket
import struct
import threading
from typing import Any

import pytest

from mini_docker.daemon.jobs.exec import ExecConfig, Executions
from mini_docker.engine import Job
from mini_docker.errors import CannotExecute, Conflict, Invalid, NotFound
from mini_docker.remote_api import STDERR, STDOUT, frame_header
from tests.daemon.fakes import FakeHouse


class Client:
    """One end of a hijacked connection: what the server would tie to the job, on a socket pair."""

    def __init__(self, job: Job) -> None:
        self.socket, self._server = socket.socketpair()
        self.socket.settimeout(10)
        self.switched = threading.Event()
        self.failure: Exception | None = None
        self._job = job
        job.stdin.set(self)
        job.stdout.add(self)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._job.run()
        except Exception as error:
            self.failure = error
        self._server.shutdown(socket.SHUT_WR)

    def read(self, size: int = -1) -> bytes:
        return self._server.recv(size)

    def write(self, data: bytes) -> None:
        self.switched.set()
        self._server.sendall(data)

    def flush(self) -> None:
        self.switched.set()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def end_input(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            assert piece, f"ended after {data!r}"
            data += piece
        return data

    def receive_all(self) -> bytes:
        data = b""
        while piece := self.socket.recv(65536):
            data += piece
        self._thread.join(10)
        self.socket.close()
        self._server.close()
        return data


def frame(stream: int, data: bytes) -> bytes:
    return frame_header(stream, len(data)) + data


def attach(house: FakeHouse, container: str, **env: str) -> Client:
    client = Client(house.job("attach", container, **{"stream": "1", "stdin": "1", "stdout": "1", "stderr": "1"} | env))
    assert client.switched.wait(10) or client.failure
    return client


def test_attach_before_start_misses_nothing(house: FakeHouse) -> None:
    """``docker run`` attaches to a container that does not run yet: the first byte is not missed."""
    container = house.create("both")
    client = attach(house, container)
    house.run("start", container)
    assert client.receive_all() == frame(STDOUT, b"out\n") + frame(STDERR, b"err\n")


def test_half_close_ends_input_only(house: FakeHouse) -> None:
    """The end of the client's input ends the process's, and the output still arrives: ``echo abc | run -i cat``."""
    container = house.create("cat", OpenStdin=True, StdinOnce=True)
    client = attach(house, container)
    house.run("start", container)
    client.send(b"abc")
    client.end_input()
    output = client.receive_all()
    assert output.endswith(b"abc") and house.wait(container) == 0


def test_only_the_wished_stream(house: FakeHouse) -> None:
    """attach to one of the two streams gets the frames of that one alone."""
    container = house.create("both")
    client = attach(house, container, stdout="0")
    house.run("start", container)
    assert client.receive_all() == frame(STDERR, b"err\n")


def test_detach_keys_leave_the_process_running(house: FakeHouse) -> None:
    """ctrl-p ctrl-q on a terminal: the keys are not passed on, the stream ends, the process goes on."""
    container = house.create("cat", OpenStdin=True, Tty=True)
    client = attach(house, container)
    house.run("start", container)
    client.send(b"hi\x10")
    assert client.receive(2) == b"hi"
    client.send(b"\x11")
    assert client.receive_all() == b""
    assert house.run("container_inspect", container)["State"]["Running"]
    assert "detach" in house.actions(container)
    house.run("kill", container)


def test_several_clients_see_the_same(house: FakeHouse) -> None:
    """Every attacher of a running process sees its output."""
    container = house.start("cat", OpenStdin=True, Tty=True)
    clients = [attach(house, container), attach(house, container)]
    clients[0].send(b"word")
    assert [client.receive(4) for client in clients] == [b"word", b"word"]
    house.run("kill", container)
    assert [client.receive_all() for client in clients] == [b"", b""]


def test_attacher_of_a_failed_start_is_let_go(house: FakeHouse) -> None:
    """A start that fails ends the streams of those who waited for it."""
    container = house.create("nosuch")
    client = attach(house, container)
    with pytest.raises(CannotExecute):
        house.run("start", container)
    assert client.receive_all() == b""


def test_attacher_that_gives_up_is_forgotten(house: FakeHouse) -> None:
    """A client that goes away before the start leaves no thread."""
    container = house.create("true")
    client = attach(house, container)
    client._job.cancel()
    assert client.receive_all() == b""
    house.run("start", container)


def test_attach_with_logs_repeats(house: FakeHouse) -> None:
    """``logs=1`` repeats what was said before."""
    container = house.start("echo", "once")
    house.wait(container)
    client = attach(house, container, logs="1", stream="0")
    assert client.receive_all() == frame(STDOUT, b"once\n")


def test_logs(house: FakeHouse) -> None:
    """logs frames what each stream said, as asked; at least one stream must be asked for."""
    container = house.start("both")
    house.wait(container)

    def logs(**env: str) -> bytes:
        return house.job("logs", container, **{"stdout": "1", "stderr": "1"} | env).output()

    assert logs() == frame(STDOUT, b"out\n") + frame(STDERR, b"err\n")
    assert logs(tail="1") == frame(STDERR, b"err\n")
    assert logs(stderr="0") == frame(STDOUT, b"out\n")
    assert logs(until="1") == b"" and logs(since="1h") == logs()
    (length,) = struct.unpack(">I", logs(timestamps="1", tail="1")[4:8])
    assert length == len("2014-08-20T17:03:05.123456789Z err\n")
    with pytest.raises(Invalid, match="choose at least one stream"):
        logs(stdout="0", stderr="0")


def test_logs_follow_ends_with_the_container(house: FakeHouse) -> None:
    """``logs -f`` goes on with what is written, and ends with the container: rung by a bell, never by polling."""
    container = house.start("cat", OpenStdin=True, Tty=True)
    client = Client(house.job("logs", container, stdout="1", follow="1"))
    assert client.switched.wait(10)
    talker = attach(house, container)
    for word in (b"one\n", b"two\n"):
        talker.send(word)
        assert client.receive(len(word)) == word
    house.run("kill", container)
    assert client.receive_all() == b""
    talker.receive_all()


def test_logs_follow_is_cancelled(house: FakeHouse) -> None:
    """A follower whose client hangs up ends, though the container says nothing."""
    container = house.start("sleep")
    client = Client(house.job("logs", container, stdout="1", follow="1"))
    assert client.switched.wait(10)
    client._job.cancel()
    assert client.receive_all() == b""


def exec_create(house: FakeHouse, container: str, *command: str, **config: Any) -> str:
    body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **config}
    return str(house.run("exec_create", container, body=body)["Id"])


def test_exec(house: FakeHouse) -> None:
    """A further process: its output arrives, and when the stream ends its exit code is there to be asked for."""
    container = house.start("sleep")
    execution = exec_create(house, container, "echo", "hello")
    client = Client(house.job("exec_start", execution))
    assert client.receive_all() == frame(STDOUT, b"hello\n")
    form = house.run("exec_inspect", execution)
    assert form["ExitCode"] == 0 and not form["Running"] and form["ContainerID"] == container
    failing = exec_create(house, container, "exit", "5")
    Client(house.job("exec_start", failing)).receive_all()
    assert house.run("exec_inspect", failing)["ExitCode"] == 5
    with pytest.raises(Conflict, match="has already run"):
        house.run("exec_start", failing)


def test_exec_with_input_and_user(house: FakeHouse) -> None:
    """stdin, user, environment and folder of an exec are its own; the rest is the container's."""
    container = house.start("sleep", Env=["A=1", "B=1"], WorkingDir="/srv")
    execution = exec_create(house, container, "cat", AttachStdin=True, User="guest", Env=["B=2"])
    client = Client(house.job("exec_start", execution))
    client.send(b"abc")
    client.end_input()
    assert client.receive_all().endswith(b"abc")
    process = house.exec_driver.sandboxes[container].execs[execution].spec
    assert process.user == "guest" and process.cwd == "/srv" and process.env[-2:] == ("A=1", "B=2")


def test_exec_detached(house: FakeHouse) -> None:
    """``exec -d`` answers at once and touches no stream; the exec runs on."""
    container = house.start("sleep")
    execution = exec_create(house, container, "sleep")
    house.run("exec_start", execution, Detach="true")
    assert house.run("exec_inspect", execution)["Running"]
    house.exec_driver.signal(container, 9, execution)
    house.daemon._executions.wait(execution, house.job("info"))
    assert house.run("exec_inspect", execution)["ExitCode"] == 137


def test_exec_errors(house: FakeHouse) -> None:
    """A bad command gives its shell's exit code; a stopped container and an unknown exec are clear errors."""
    container = house.start("sleep")
    execution = exec_create(house, container, "nosuch")
    client = Client(house.job("exec_start", execution))
    said = client.receive_all()
    assert said[0] == STDERR and b"nosuch" in said  # stock clients read no other answer
    assert isinstance(client.failure, CannotExecute)
    assert house.run("exec_inspect", execution)["ExitCode"] == 127
    with pytest.raises(Invalid, match="No exec command specified"):
        house.run("exec_create", container, body={"Cmd": []})
    with pytest.raises(NotFound, match="No such exec instance"):
        house.run("exec_start", "nosuch")
    house.run("kill", container)
    with pytest.raises(Conflict, match="is not running"):
        exec_create(house, container, "true")


def test_resize(house: FakeHouse) -> None:
    """The terminal's size reaches the driver, of a container and of an exec."""
    container = house.start("sleep", Tty=True)
    house.run("resize", container, h="24", w="80")
    assert house.exec_driver.sandboxes[container].init.size == (24, 80)
    execution = exec_create(house, container, "sleep", Tty=True)
    house.run("exec_start", execution, Detach="1")
    house.run("exec_resize", execution, h="10", w="20")
    assert house.exec_driver.sandboxes[container].execs[execution].size == (10, 20)
    with pytest.raises(Invalid):
        house.run("resize", container, h="-1", w="80")


def test_stats_and_top(house: FakeHouse) -> None:
    """One answer of stats holds a previous sample; top shows exactly the container's processes."""
    container = house.start("sleep")
    sample = json.loads(house.job("stats", container, stream="0", **{"one-shot": "1"}).output())
    assert sample["id"] == container and sample["precpu_stats"]["cpu_usage"]["total_usage"] == 0
    top = house.run("top", container)
    assert "PID" in top["Titles"] and len(top["Processes"]) == 1
    with pytest.raises(Invalid):
        house.run("top", container, ps_args="; reboot")


def test_an_exec_of_a_container_that_is_deleted_meanwhile() -> None:
    """Between two looks the container may go, and its execs with it: no mistake of ours, and said as what it is."""
    executions = Executions()
    execution = executions.add("c1", ExecConfig(cmd=("true",)))
    assert executions.claim(execution.id).running
    executions.forget("c1")
    executions.running_as(execution.id, 7)  # it was started all the same, and nobody will ask for it
    assert executions.ended(execution.id, 0) is None and executions.of("c1") == []
    for ask in (executions.claim, executions.get):
        with pytest.raises(NotFound, match="No such exec instance"):
            ask(execution.id)
