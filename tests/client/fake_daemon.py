"""A daemon made of cardboard: it answers what a test tells it to, and remembers what it was asked.

Built on the standard library's HTTP server, so that it shares no code with the client under test.
"""

from __future__ import annotations

import json
import re
import socketserver
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
"""The project's folder."""


@dataclass(frozen=True)
class Asked:
    """One request as it came: method, path without version, query and body decoded."""

    method: str
    path: str
    query: dict[str, str]
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (
            "?" + "&".join(f"{k}={v}" for k, v in sorted(self.query.items())) if self.query else ""
        )


@dataclass(frozen=True)
class Answer:
    """What to answer: JSON, bytes, or an iterable of bytes sent as chunks; `hijack` takes over the socket."""

    status: int = 200
    json: Any = None
    body: bytes | Iterable[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hijack: Callable[[Any], None] | None = None


class FakeDaemon:
    """Listens on a unix socket; later routes win over earlier ones."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "fake.sock"
        self.host = f"unix://{self.path}"
        self.asked: list[Asked] = []
        self._routes: list[tuple[str, re.Pattern[str], Callable[[Asked], Answer]]] = []
        self._lock = threading.Condition()
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *_: object) -> None:
                pass

            def any(self) -> None:
                daemon._serve(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = any  # noqa: N815

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may leave when it likes
                    super().handle_error(request, client_address)

        self._server = Server(str(self.path), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def route(self, method: str, path: str, answer: Answer | Callable[[Asked], Answer]) -> None:
        """Answer *method* on the paths that match the regular expression *path*."""
        made = answer if callable(answer) else lambda _: answer
        self._routes.insert(0, (method, re.compile(path + r"\Z"), made))

    def wait_for(self, text: str, seconds: float = 10.0) -> Asked:
        """The first request whose text holds *text*, once it has come."""

        def found() -> Asked | None:
            return next((asked for asked in self.asked if text in str(asked)), None)

        with self._lock:
            assert self._lock.wait_for(lambda: found() is not None, seconds), f"never asked {text}: {self.asked}"
            result = found()
        assert result is not None
        return result

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        url = urllib.parse.urlsplit(handler.path)
        path = re.sub(r"\A/v1\.\d+", "", url.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        asked = Asked(
            handler.command, path, query, self._body(handler), {k.lower(): v for k, v in handler.headers.items()}
        )
        with self._lock:
            self.asked.append(asked)
            self._lock.notify_all()
        for method, pattern, make in self._routes:
            if method == asked.method and pattern.match(path):
                self._answer(handler, make(asked))
                return
        self._answer(handler, Answer(404, {"message": f"page not found: {asked}"}))

    def _body(self, handler: BaseHTTPRequestHandler) -> Any:
        if handler.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(handler.rfile.readline().split(b";")[0], 16):
                data += handler.rfile.read(size)
                handler.rfile.readline()
            handler.rfile.readline()
        else:
            data = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if data and handler.headers.get("Content-Type", "").startswith("application/json"):
            return json.loads(data)
        return data or None

    def _answer(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.send_response(answer.status)
        headers = {"Api-Version": "1.41", "Ostype": "linux", "Docker-Experimental": "false"} | answer.headers
        body = answer.body
        if answer.json is not None:
            body = json.dumps(answer.json).encode()
            headers["Content-Type"] = "application/json"
        if answer.hijack is not None:
            headers |= {"Connection": "Upgrade", "Upgrade": "tcp", "Content-Type": "application/vnd.docker.raw-stream"}
        elif body is None or isinstance(body, bytes):
            body = body or b""
            if answer.status != 204:
                headers.setdefault("Content-Length", str(len(body)))
        else:
            headers["Transfer-Encoding"] = "chunked"
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.flush()
        if answer.hijack is not None:
            answer.hijack(handler.connection)
            handler.close_connection = True
        elif handler.command == "HEAD" or body is None:
            pass
        elif isinstance(body, bytes):
            handler.wfile.write(body)
        else:
            for piece in body:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                handler.wfile.flush()
            handler.wfile.write(b"0\r\n\r\n")
