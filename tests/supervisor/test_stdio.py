"""A process's stdio: back-pressure reaches whoever writes, and nobody else."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mini_docker.remote_api import STDOUT, frame_header
from mini_docker.supervisor.json_log import JsonLogReader
from mini_docker.supervisor.log_writer import LogWriter
from mini_docker.supervisor.loop import Loop
from mini_docker.supervisor.stdio import BACKLOG_BYTES, ProcessStdio


class Scene:
    """A stdio with the process's ends of its pipes in our hands."""

    def __init__(self, log: LogWriter | None = None, stdin_once: bool = True) -> None:
        self.loop = Loop()
        self.stdio = ProcessStdio(self.loop, log, stdin_once)
        self.stdin, our_in = os.pipe()
        our_out, self.stdout = os.pipe()
        our_err, self.stderr = os.pipe()
        self.stdio.set_pipes(our_in, our_out, our_err)
        os.set_blocking(self.stdout, False)
        self.clients: list[socket.socket] = []

    def attach(self, takes_input: bool = True) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.stdio.attach(theirs, takes_input)
        self.clients.append(ours)
        return ours

    def until(self, done: Callable[[], bool], seconds: float = 5.0) -> None:
        """Turn the loop until *done* says so."""

        def look() -> None:
            if done():
                self.loop.stop()
            else:
                self.loop.later(0.001, look)

        def too_late() -> None:
            raise AssertionError("it did not happen in time")

        deadline = self.loop.later(seconds, too_late)
        self.loop._stopped = False
        look()
        self.loop.run()
        deadline.cancel()

    def turn(self) -> None:
        """One short while of the loop."""
        self.loop._stopped = False
        self.loop.later(0.01, self.loop.stop)
        self.loop.run()

    def close(self) -> None:
        self.stdio.close()
        self.loop.close()
        for client in self.clients:
            client.close()
        for descriptor in (self.stdin, self.stdout, self.stderr):
            os.close(descriptor)


def fill(descriptor: int) -> int:
    """Write until the pipe is full."""
    written = 0
    try:
        while True:
            written += os.write(descriptor, b"x" * 65536)
    except BlockingIOError:
        return written


def test_output_is_framed_and_fanned_out() -> None:
    """Every attacher gets the same bytes."""
    scene = Scene()
    one, two = scene.attach(), scene.attach()
    os.write(scene.stdout, b"hello")
    scene.turn()
    expected = frame_header(STDOUT, 5) + b"hello"
    assert one.recv(100) == two.recv(100) == expected
    scene.close()


def test_an_attacher_that_does_not_read_stops_its_process_only() -> None:
    """Its backlog is bounded: then nothing more is read, and the pipe fills up."""
    scene, other = Scene(), Scene()
    scene.attach()
    total = 0
    for _ in range(100):
        wrote = fill(scene.stdout)
        if wrote == 0:
            break
        total += wrote
        scene.turn()
    else:
        raise AssertionError("the process was never made to wait")
    assert total < 4 * BACKLOG_BYTES
    client = other.attach()
    os.write(other.stdout, b"quick")
    other.turn()
    assert client.recv(100).endswith(b"quick")
    scene.close()
    other.close()


def test_a_slow_attacher_that_reads_on_gets_everything() -> None:
    """Back-pressure delays; it does not drop."""
    scene = Scene()
    client = scene.attach()
    sent = 0
    for _ in range(40):
        sent += fill(scene.stdout)
        scene.turn()
    os.set_blocking(scene.stdout, True)
    received = bytearray()
    client.setblocking(False)

    def drained() -> bool:
        try:
            received.extend(client.recv(1 << 20))
        except BlockingIOError:
            pass
        return received.count(b"x") == sent

    scene.until(drained)
    scene.close()


def test_input_passes_and_its_end_too() -> None:
    """A client's half-close is the process's end of file."""
    scene = Scene()
    client = scene.attach()
    client.sendall(b"words")
    client.shutdown(socket.SHUT_WR)
    scene.turn()
    assert os.read(scene.stdin, 100) == b"words"
    assert os.read(scene.stdin, 100) == b""
    scene.close()


def test_input_stays_open_for_the_next_attacher() -> None:
    """Unless stdin_once is wished, a client that leaves ends only its own part."""
    scene = Scene(stdin_once=False)
    scene.attach().close()
    scene.turn()
    scene.attach().sendall(b"second")
    scene.turn()
    assert os.read(scene.stdin, 100) == b"second"
    scene.close()


def test_an_attacher_without_input_cannot_type() -> None:
    """Attached for output only."""
    scene = Scene()
    scene.attach(takes_input=False).sendall(b"ignored")
    scene.attach().sendall(b"heard")
    scene.turn()
    assert os.read(scene.stdin, 100) == b"heard"
    scene.close()


def test_a_client_that_vanishes_is_forgotten() -> None:
    """Its descriptor is closed, the process goes on."""
    scene = Scene()
    scene.attach().close()
    scene.turn()
    os.write(scene.stdout, b"into the void")
    scene.turn()
    assert scene.stdio._attachers == []
    scene.close()


def test_what_was_written_before_the_end_is_delivered(tmp_path: Path) -> None:
    """finish drains the pipes into log and attachers, then ends the attachers."""
    scene = Scene(LogWriter(tmp_path / "log"))
    client = scene.attach()
    os.write(scene.stdout, b"last words")
    scene.stdio.finish()
    scene.turn()
    assert client.recv(100) == frame_header(STDOUT, 10) + b"last words"
    assert client.recv(100) == b""
    assert [entry.line for entry in JsonLogReader(tmp_path / "log").read()] == [b"last words"]
    scene.close()


def test_who_attaches_after_the_end_hears_the_end() -> None:
    """At once, rather than never."""
    scene = Scene()
    scene.stdio.finish()
    client = scene.attach()
    scene.turn()
    assert client.recv(100) == b""
    scene.close()


def test_a_full_disk_makes_the_process_wait_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is retried; meanwhile the pipe is not read."""
    log = LogWriter(tmp_path / "log")
    full = True
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if full and descriptor == log._file:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    scene = Scene(log)
    os.write(scene.stdout, b"first\n")
    scene.turn()
    waiting = fill(scene.stdout)
    scene.turn()
    assert fill(scene.stdout) == 0
    full = False
    scene.until(lambda: (tmp_path / "log").read_bytes().count(b"x") == waiting)
    scene.stdio.finish()
    entries = list(JsonLogReader(tmp_path / "log").read())
    assert b"".join(entry.line for entry in entries) == b"first\n" + b"x" * waiting
    scene.close()
