"""The userland proxy as a process: what it carries, how it is found again, and that it leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from mini_docker.drivers.networkdriver.contract import PublishedPort
from mini_docker.drivers.networkdriver.userland_proxies import UserlandProxies

HERE = ip_address("127.0.0.1")
CONTAINER = ip_address("127.0.0.2")  # stands for a container: another address, a process of its own behind it
SECONDS = 10.0
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


@contextmanager
def proxy_to(folder: Path, protocol: str, container_port: int, address: str = "127.0.0.1") -> Iterator[PublishedPort]:
    """A proxy to that port of the "container", while the block runs."""
    held = socket.socket(socket.AF_INET, KINDS[protocol])
    held.bind((address, 0))
    port = PublishedPort(container_port, protocol, ip_address(address), held.getsockname()[1])
    proxies = UserlandProxies(folder)
    proxies.start(port, held, CONTAINER, "lo")
    try:
        yield port
    finally:
        proxies.end(port)
        assert not UserlandProxies(folder).runs(port)
        assert list(folder.iterdir()) == []


@pytest.fixture
def backwards() -> Iterator[int]:
    """The port of a server that reads to the end of the stream, then answers it backwards."""
    listener = socket.create_server((str(CONTAINER), 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                connection.sendall(stream.read()[::-1])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(SECONDS)


@pytest.fixture
def echo() -> Iterator[socket.socket]:
    """A datagram socket whose questions are answered with themselves, after who asked: only its address and port."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((str(CONTAINER), 0))

    def serve() -> None:
        while True:
            data, asker = server.recvfrom(70000)
            if data == b"end":
                return
            server.sendto(data, asker)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server
    server.sendto(b"end", server.getsockname())
    thread.join(SECONDS)
    server.close()


def ask_stream(port: PublishedPort, data: bytes) -> bytes:
    """Say it, end the sentence, and hear what comes back."""
    with socket.create_connection((str(HERE), port.host_port), SECONDS) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as stream:
            return stream.read()


def test_a_half_closed_connection_still_gets_its_answer(tmp_path: Path, backwards: int) -> None:
    """Who has said all may still listen: the end of one way is not the end of the other. Nothing is lost either way."""
    data = os.urandom(3_000_000)
    with proxy_to(tmp_path / "doors", "tcp", backwards) as port:
        assert ask_stream(port, data) == data[::-1]
        assert ask_stream(port, b"again") == b"niaga"


def test_a_closed_port_of_the_container_ends_the_connection(tmp_path: Path) -> None:
    """The proxy accepts before it knows: then all it can say is the end of the stream. The next may succeed."""
    with socket.socket() as nobody:
        nobody.bind((str(CONTAINER), 0))
        with (
            proxy_to(tmp_path / "doors", "tcp", nobody.getsockname()[1]) as port,
            socket.create_connection((str(HERE), port.host_port), SECONDS) as client,
        ):
            assert client.recv(1) == b""


def test_datagrams_are_answered_from_the_address_that_was_asked(tmp_path: Path, echo: socket.socket) -> None:
    """A client takes answers from whom it asked alone, and each gets its own; the largest datagrams pass too."""
    with proxy_to(tmp_path / "doors", "udp", echo.getsockname()[1], "0.0.0.0") as port:
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
        for number, client in enumerate(clients):
            client.settimeout(SECONDS)
            client.connect((f"127.0.0.{10 + number}", port.host_port))  # all of them are ours
            client.send(b"%d" % number)
        for number, client in enumerate(clients):
            assert client.recv(100) == b"%d" % number
            client.send(b"x" * 65000)
            assert client.recv(70000) == b"x" * 65000
            client.close()


def test_a_later_daemon_finds_the_proxy_and_ends_it(tmp_path: Path, backwards: int) -> None:
    """Proxies outlive who started them. What is not kept is ended when `collect` returns: its port can be bound."""
    folder = tmp_path / "doors"
    with proxy_to(folder, "tcp", backwards) as port:
        later = UserlandProxies(folder)
        assert later.runs(port)
        later.collect([port])
        assert ask_stream(port, b"kept") == b"tpek"
        later.collect([])
        assert not later.runs(port)
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # for connections that linger (TIME_WAIT)
            free.bind((str(HERE), port.host_port))
            free.listen()


def test_a_proxy_that_was_killed_is_known_to_be_gone(tmp_path: Path, backwards: int) -> None:
    """Its door stands there still, but nobody answers: a later daemon starts another in its place."""
    folder = tmp_path / "doors"
    with proxy_to(folder, "tcp", backwards) as port:
        door = next(folder.iterdir())
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(door))
            pid = int(caller.recv(20))
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert door.exists()
        later = UserlandProxies(folder)
        assert not later.runs(port)
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((str(HERE), port.host_port))
        later.start(port, held, CONTAINER, "lo")
        assert ask_stream(port, b"new") == b"wen"
        later.end(port)
