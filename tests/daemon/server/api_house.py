"""What the server's tests share: the real Engine with small handlers, served on a unix socket."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from pathlib import Path
from typing import Any

from mini_docker.daemon.server.serve import AcceptConnections, ApiOptions, ServeApi, ping
from mini_docker.engine import Engine, Handler
from mini_docker.http.limits import Limits


class Api:
    """An engine and its API, running in threads of the test."""

    def __init__(self, path: Path, handlers: dict[str, Handler], limits: Limits | None = None) -> None:
        self.path = path
        self.engine = Engine()
        options = ApiOptions(limits=limits or Limits(linger_seconds=0.2), grace_seconds=2.0)
        self.serve_api = ServeApi(self.engine, options)
        built_in = {
            "serveapi": self.serve_api,
            "acceptconnections": AcceptConnections(self.serve_api, {}),
            "ping": ping,
        }
        for name, handler in (built_in | handlers).items():
            self.engine.register(name, handler)
        self.job = self.engine.job("serveapi", f"unix://{path}")
        self.thread = threading.Thread(target=self.job.run)
        self.thread.start()
        self.engine.job("acceptconnections").run()

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(str(self.path))
        return sock

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Send a request on a connection of its own; the answer's head has come when this returns."""
        connection = http.client.HTTPConnection("docker")
        connection.sock = self.connect()
        connection.request(method, target, body, headers or {})
        return connection.getresponse()

    def message(self, method: str, target: str) -> tuple[int, Any]:
        """The status and the decoded document of an answer."""
        response = self.ask(method, target)
        return response.status, json.loads(response.read() or b"null")

    def close(self) -> None:
        self.job.cancel()
        self.thread.join(20)
        assert not self.thread.is_alive(), "the API did not stop"
