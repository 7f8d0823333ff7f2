"""What the HTTP tests share: a server in this process, and a client that says exactly the bytes it is told to."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import h11

from mini_docker.http.connection import Application
from mini_docker.http.limits import Limits
from mini_docker.http.listeners import listen
from mini_docker.http.messages import Answer, Request
from mini_docker.http.responder import Responder
from mini_docker.http.server import HttpServer
from mini_docker.http.tls import TlsSession


class House:
    """A server on a unix socket, running in threads of the test."""

    def __init__(
        self,
        path: Path,
        application: Application,
        limits: Limits,
        grace_seconds: float = 2.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.path = path
        self.server = HttpServer(application, limits, tls=(lambda: TlsSession(tls)) if tls else None)
        self.listeners = listen([f"unix://{path}"])
        self.thread = threading.Thread(target=self.server.serve, args=(self.listeners, grace_seconds))
        self.thread.start()

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(str(self.path))
        return sock

    def close(self) -> None:
        self.server.stop()
        self.thread.join(20)
        assert not self.thread.is_alive(), "the server did not stop"


class Reply:
    """One answer, read from a socket by h11's client half."""

    def __init__(self, sock: socket.socket, method: str = "GET", machine: h11.Connection | None = None) -> None:
        self.machine = machine or h11.Connection(h11.CLIENT)
        if self.machine.our_state is h11.DONE:
            self.machine.start_next_cycle()
        self.machine.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        self.machine.send(h11.EndOfMessage())
        self.status, self.body, self.complete = 0, b"", False
        self.headers: dict[str, str] = {}
        while True:
            try:
                event = self.machine.next_event()
            except h11.RemoteProtocolError:
                return  # cut off
            if event is h11.NEED_DATA:
                self.machine.receive_data(_receive(sock))
            elif isinstance(event, h11.Response):
                self.status = event.status_code
                self.headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                self.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.complete = True
                return
            elif isinstance(event, h11.ConnectionClosed):
                return


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except ConnectionError:
        return b""


def read_all(sock: socket.socket) -> bytes:
    """All until the peer's end."""
    return b"".join(iter(lambda: _receive(sock), b""))


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    """All up to and including *mark*, or until the end."""
    data = b""
    while mark not in data and (more := sock.recv(1)):
        data += more
    return data


def get(path: str = "/", *headers: str, method: str = "GET") -> bytes:
    """A request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def post(body: bytes, path: str = "/", *headers: str) -> bytes:
    """A request with a body of known length."""
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body


def echo(request: Request, responder: Responder) -> None:
    """Answers with what it was asked."""
    text = f"{request.method} {request.path} {list(request.query)} ".encode()
    responder.answer(Answer(200, (("X-Echo", "1"),), text + request.body.read()))
