"""``run`` and its kin against a cardboard daemon: the order of requests, the streams, the exit codes."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path

import pytest
from fake_daemon import ROOT, Answer, Asked, FakeDaemon

from mini_docker.remote_api import STDERR, STDOUT, frame_header

Run = Callable[..., subprocess.CompletedProcess[bytes]]
ID = "c" * 64


class FakeContainer:
    """One container on the fake daemon: `process` is what happens on its attached connection after start."""

    def __init__(self, daemon: FakeDaemon, process: Callable[[socket.socket], None], status: int = 0) -> None:
        self.started, self.ended = threading.Event(), threading.Event()

        def attached(connection: socket.socket) -> None:
            assert self.started.wait(20)
            process(connection)
            self.ended.set()

        def start(_: Asked) -> Answer:
            self.started.set()
            return Answer(204)

        def wait(_: Asked) -> Answer:
            def later() -> Iterator[bytes]:
                assert self.ended.wait(20)
                yield b'{"Error":null,"StatusCode":%d}\n' % status

            return Answer(200, body=later(), headers={"Content-Type": "application/json"})

        daemon.route("POST", "/containers/create", Answer(201, {"Id": ID, "Warnings": ["mind the gap"]}))
        daemon.route("POST", f"/containers/{ID}/attach", lambda _: Answer(101, hijack=attached))
        daemon.route("POST", f"/containers/{ID}/wait", wait)
        daemon.route("POST", f"/containers/{ID}/start", start)
        daemon.route("POST", f"/containers/{ID}/(resize|kill)", Answer(200))


def framed(*pieces: tuple[int, bytes]) -> bytes:
    return b"".join(frame_header(stream, len(payload)) + payload for stream, payload in pieces)


def test_run_attaches_and_waits_before_it_starts(daemon: FakeDaemon, mini_docker: Run) -> None:
    """Were start first, the first output and a quick exit could be missed. Streams stay apart."""
    FakeContainer(daemon, lambda peer: peer.sendall(framed((STDOUT, b"out\n"), (STDERR, b"err\n"))), status=7)
    done = mini_docker("run", "--rm", "busybox", "true")
    assert done.stdout == b"out\n"
    assert done.stderr == b"WARNING: mind the gap\nerr\n"
    assert done.returncode == 7
    assert [str(asked).replace(ID, "ID") for asked in daemon.asked] == [
        "POST /containers/create", "POST /containers/ID/attach?stderr=1&stdout=1&stream=1",
        "POST /containers/ID/wait?condition=removed", "POST /containers/ID/start",
    ]  # fmt: skip


def test_detached_run_prints_the_id(daemon: FakeDaemon, mini_docker: Run) -> None:
    """``-d`` makes two requests and keeps nothing open."""
    FakeContainer(daemon, lambda peer: None)
    done = mini_docker("run", "-d", "busybox")
    assert (done.stdout, done.returncode) == (ID.encode() + b"\n", 0)
    assert [asked.path for asked in daemon.asked] == ["/containers/create", f"/containers/{ID}/start"]


def test_stdin_goes_in_and_ends(daemon: FakeDaemon, mini_docker: Run) -> None:
    """A megabyte each way at once: neither direction may block the other, and its end is told by half-close."""

    def cat(peer: socket.socket) -> None:
        # Like cat with a small buffer: it reads no further while nobody takes its output.
        while data := peer.recv(1 << 14):
            peer.sendall(framed((STDOUT, data)))

    FakeContainer(daemon, cat)
    data = os.urandom(1 << 20)
    done = mini_docker("run", "-i", "busybox", "cat", input=data)
    assert done.returncode == 0 and done.stdout == data
    body = daemon.asked[0].body
    assert body["OpenStdin"] and body["StdinOnce"] and body["AttachStdin"] and "Tty" not in body


def test_without_i_the_input_is_closed_at_once(daemon: FakeDaemon, mini_docker: Run) -> None:
    """A command that reads its input must see the end of it, not wait for ours."""
    FakeContainer(daemon, lambda peer: peer.sendall(framed((STDOUT, b"[" + peer.recv(9) + b"]"))))
    assert mini_docker("run", "busybox", input=b"ignored").stdout == b"[]"


@pytest.mark.parametrize(("answer", "code"), [(None, 125), (126, 126), (127, 127)])
def test_a_command_that_cannot_run(daemon: FakeDaemon, mini_docker: Run, answer: int | None, code: int) -> None:
    """126 and 127 come from the answer's field, never from its words; any other failed start is 125."""
    container = FakeContainer(daemon, lambda peer: None)
    error = {"message": "exec: no such file"} | ({"exit_code": answer} if answer else {})

    def start(_: Asked) -> Answer:
        container.started.set()
        container.ended.set()
        return Answer(400, error)

    daemon.route("POST", f"/containers/{ID}/start", start)
    done = mini_docker("run", "--rm", "busybox", "/no/such")
    assert done.returncode == code
    assert b"mini-docker: Error response from daemon: exec: no such file\n" in done.stderr


def test_a_missing_image_is_pulled_and_create_repeated(daemon: FakeDaemon, mini_docker: Run) -> None:
    """404 from create means: pull, with progress on standard error (standard output is the container's), and again."""
    FakeContainer(daemon, lambda peer: peer.sendall(framed((STDOUT, b"hello\n"))))
    seen: list[int] = []

    def create(_: Asked) -> Answer:
        seen.append(1)
        return Answer(201, {"Id": ID}) if len(seen) > 1 else Answer(404, {"message": "No such image: box:latest"})

    lines = [
        b'{"status":"Pulling from box","id":"latest"}\n',
        b'{"status":"Pull complete","progressDetail":{},"id":"l1"}\n',
    ]
    daemon.route("POST", "/containers/create", create)
    daemon.route("POST", "/images/create", lambda _: Answer(200, body=iter(lines)))
    done = mini_docker("run", "box")
    assert done.stdout == b"hello\n" and done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        "Unable to find image 'box:latest' locally", "latest: Pulling from box", "l1: Pull complete",
    ]  # fmt: skip
    pulled = daemon.asked[1]
    assert str(pulled) == "POST /images/create?fromImage=box&tag=latest"
    assert pulled.headers["x-registry-auth"] == "e30=", "nobody is logged in: {} in base64"


def test_a_failed_pull_is_125(daemon: FakeDaemon, mini_docker: Run) -> None:
    """An error may come in the stream, after status 200, or before it: both end the run."""
    daemon.route("POST", "/containers/create", Answer(404, {"message": "No such image"}))
    daemon.route("POST", "/images/create", Answer(404, {"message": "pull access denied"}))
    done = mini_docker("run", "box")
    assert done.returncode == 125 and b"pull access denied" in done.stderr
    line = b'{"errorDetail":{"message":"no space left"},"error":"no space left"}\n'
    daemon.route("POST", "/images/create", lambda _: Answer(200, body=iter([line])))
    done = mini_docker("run", "box")
    assert done.returncode == 125 and b"no space left" in done.stderr
    done = mini_docker("run", "--pull", "never", "box")
    assert done.returncode == 125 and b"No such image" in done.stderr


def test_cidfile(daemon: FakeDaemon, mini_docker: Run, tmp_path: Path) -> None:
    """The id is written for scripts, and an old file is not overwritten: its container may still run."""
    FakeContainer(daemon, lambda peer: None)
    file = tmp_path / "cid"
    assert mini_docker("run", "-d", "--cidfile", str(file), "busybox").returncode == 0
    assert file.read_text() == ID
    before = len(daemon.asked)
    done = mini_docker("run", "-d", "--cidfile", str(file), "busybox")
    assert done.returncode == 125 and b"container ID file found" in done.stderr and len(daemon.asked) == before


def start_client(*words: str, **streams: int) -> subprocess.Popen[bytes]:
    """The client as a process beside us, in a session of its own (so that a terminal can be its own)."""
    return subprocess.Popen([sys.executable, "-m", "mini_docker", *words], cwd=ROOT, start_new_session=True, **streams)


def test_signals_go_to_the_container(daemon: FakeDaemon) -> None:
    """Ctrl-C in front of ``run`` stops what runs in the container, not only the client."""
    go = threading.Event()
    FakeContainer(daemon, lambda peer: go.wait(20) and None, status=130)
    client = start_client("run", "busybox", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    daemon.wait_for("/start")
    client.send_signal(signal.SIGINT)
    assert daemon.wait_for("/kill").query == {"signal": "INT"}
    client.send_signal(signal.SIGTERM)
    assert daemon.wait_for("signal=TERM")
    go.set()
    assert client.wait(20) == 130


def read_until(descriptor: int, text: bytes) -> bytes:
    """What a terminal shows, up to *text*."""
    seen = b""
    while text not in seen:
        assert select.select([descriptor], [], [], 20)[0], f"the terminal showed only {seen!r}"
        seen += os.read(descriptor, 4096)
    return seen


def set_size(descriptor: int, rows: int, columns: int) -> None:
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_a_terminal_session(daemon: FakeDaemon) -> None:
    """``run -it``: our terminal is raw while it runs (Ctrl-C is a byte), its size is told, and all is undone after."""

    def shell(peer: socket.socket) -> None:
        peer.sendall(b"$ ")
        typed = b""
        while not typed.endswith(b"\x04"):
            typed += peer.recv(100)
            peer.sendall(b"<" + typed[-1:] + b">")

    container = FakeContainer(daemon, shell, status=3)
    master, slave = pty.openpty()
    set_size(slave, 24, 80)
    before = termios.tcgetattr(slave)
    client = start_client("run", "-it", "busybox", stdin=slave, stdout=slave, stderr=slave)
    read_until(master, b"$ ")
    assert daemon.wait_for("/resize").query == {"h": "24", "w": "80"}
    assert not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
    os.write(master, b"\x03")
    read_until(master, b"<\x03>")
    set_size(slave, 50, 132)
    client.send_signal(signal.SIGWINCH)
    assert daemon.wait_for("h=50").query == {"h": "50", "w": "132"}
    os.write(master, b"\x04")
    assert client.wait(20) == 3 and container.ended.is_set()
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_detaching_leaves_the_container(daemon: FakeDaemon) -> None:
    """Ctrl-P Ctrl-Q ends the client with 0 and restores the terminal; the keys are not sent, the container goes on."""
    got: list[bytes] = []

    def shell(peer: socket.socket) -> None:
        peer.sendall(b"$ ")
        while data := peer.recv(100):
            got.append(data)

    container = FakeContainer(daemon, shell)
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    client = start_client("run", "-it", "busybox", stdin=slave, stdout=slave, stderr=slave)
    read_until(master, b"$ ")
    os.write(master, b"x\x10")
    os.write(master, b"\x11")
    assert client.wait(20) == 0
    assert termios.tcgetattr(slave) == before
    assert container.ended.wait(20), "the client hung up"
    assert b"".join(got) == b"x"
    os.close(master)
    os.close(slave)


def test_it_needs_a_terminal(daemon: FakeDaemon, mini_docker: Run) -> None:
    """``-it`` from a pipe is refused before anything is created."""
    done = mini_docker("run", "-it", "busybox")
    assert done.returncode == 125 and b"the input device is not a TTY" in done.stderr and not daemon.asked


def test_exec(daemon: FakeDaemon, mini_docker: Run) -> None:
    """exec is made, started with its streams, and asked for its exit code."""
    daemon.route("POST", "/containers/web/exec", Answer(201, {"Id": "e1"}))
    daemon.route(
        "POST", "/exec/e1/start", lambda _: Answer(101, hijack=lambda peer: peer.sendall(framed((STDERR, b"x"))))
    )
    daemon.route("GET", "/exec/e1/json", Answer(200, {"ExitCode": 5, "Running": False}))
    done = mini_docker("exec", "-u", "me", "-e", "A=1", "web", "sh", "-c", "exit 5")
    assert (done.stderr, done.returncode) == (b"x", 5)
    body = daemon.asked[0].body
    assert body["Cmd"] == ["sh", "-c", "exit 5"] and body["User"] == "me" and body["Env"] == ["A=1"]
    assert daemon.asked[1].body == {"Detach": False, "Tty": False}


def test_exec_detached(daemon: FakeDaemon, mini_docker: Run) -> None:
    """``exec -d`` starts it and goes."""
    daemon.route("POST", "/containers/web/exec", Answer(201, {"Id": "e1"}))
    daemon.route("POST", "/exec/e1/start", Answer(200))
    done = mini_docker("exec", "-d", "web", "sleep", "9")
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)
    assert daemon.asked[1].body == {"Detach": True, "Tty": False}


def inspected(**state: bool) -> dict[str, object]:
    config = {"Tty": False, "OpenStdin": False}
    return {"Id": ID, "State": {"Running": True} | state, "Config": config, "HostConfig": {"AutoRemove": False}}


def test_attach_and_start_attached(daemon: FakeDaemon, mini_docker: Run) -> None:
    """Both end with the container's exit code; attach to a stopped one is refused with what to do."""
    FakeContainer(daemon, lambda peer: peer.sendall(framed((STDOUT, b"o"))), status=9)
    daemon.route("GET", f"/containers/({ID}|web)/json", Answer(200, inspected()))
    done = mini_docker("start", "-a", "web")
    assert (done.stdout, done.returncode) == (b"o", 9)
    # The container runs now: its attach answers at once.
    done = mini_docker("attach", ID)
    assert (done.stdout, done.returncode) == (b"o", 9)
    daemon.route("GET", "/containers/web/json", Answer(200, inspected(Running=False)))
    daemon.route("POST", "/containers/web/wait", Answer(200, {"StatusCode": 0}))
    done = mini_docker("attach", "web")
    assert done.returncode == 1 and done.stderr == b"You cannot attach to a stopped container, start it first\n"


def test_ctrl_c_ends_a_follower_quietly(daemon: FakeDaemon) -> None:
    """Ctrl-C on ``logs -f`` is how one ends it: no traceback, and the exit code of a shell, 130."""
    go = threading.Event()

    def forever() -> Iterator[bytes]:
        yield framed((STDOUT, b"line\n"))
        go.wait(20)

    daemon.route("GET", "/containers/web/json", Answer(200, inspected()))
    daemon.route("GET", "/containers/web/logs", lambda _: Answer(200, body=forever()))
    client = start_client("logs", "-f", "web", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert client.stdout is not None and client.stdout.readline() == b"line\n"
    client.send_signal(signal.SIGINT)
    _, err = client.communicate(timeout=20)
    go.set()
    assert (client.returncode, err) == (130, b"")


def test_a_reader_that_leaves_is_no_accident(daemon: FakeDaemon) -> None:
    """``mini-docker logs web | head -1``: the closed pipe ends the client without a word."""
    lines = framed((STDOUT, b"line\n" * 1000)) * 100
    daemon.route("GET", "/containers/web/json", Answer(200, inspected()))
    daemon.route("GET", "/containers/web/logs", lambda _: Answer(200, body=iter([lines])))
    client = start_client("logs", "web", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert client.stdout is not None and client.stderr is not None
    assert client.stdout.readline() == b"line\n"
    client.stdout.close()
    assert client.wait(20) == 141
    assert client.stderr.read() == b""
    client.stderr.close()
