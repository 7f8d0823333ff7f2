"""A tiny registry for tests, in memory, that can be told to misbehave; with a token server beside it."""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.registry.image_fixture import ImageFixture, digest


@dataclass(frozen=True)
class Fault:
    """One way to misbehave for one answer.

    Attributes:
        status: answer this instead.
        headers: in addition.
        cut_after: bytes of the body after which the connection is cut.
        flip_at: the byte of the body that is damaged.
        lie: added to Content-Length.
        stall: an event to wait for before the body's second half; or before the head, if *mute*.
    """

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut_after: int = -1
    flip_at: int = -1
    lie: int = 0
    stall: threading.Event | None = None
    mute: bool = False


@dataclass
class Seen:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class TinyRegistry:
    """What it holds, and how it behaves.

    Attributes:
        auth: ``none``, ``basic`` or ``bearer``; user "ann", password "secret".
        misbehave: asked for a fault before each answer: (method, path, how often that was asked before).
        ranges: whether it honours Range.
    """

    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    auth: str = "none"
    public: bool = True
    misbehave: Callable[[str, str, int], Fault | None] = lambda method, path, nth: None
    ranges: bool = True
    token_life: int = 300
    page: int = 1000
    seen: list[Seen] = field(default_factory=list)
    valid_tokens: dict[str, str] = field(default_factory=dict)
    host: str = ""
    scheme: str = "http"
    realm: str = ""

    def add(self, repository: str, tag: str, image: ImageFixture) -> None:
        for name in (tag, image.digest):
            self.manifests[repository, name] = image.media_type, image.manifest
        self.blobs |= image.blobs

    def add_index(self, repository: str, tag: str, media_type: str, index: bytes) -> str:
        for name in (tag, digest(index)):
            self.manifests[repository, name] = media_type, index
        return digest(index)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def requests(self, pattern: str) -> list[Seen]:
        return [seen for seen in self.seen if re.search(pattern, f"{seen.method} {seen.path}")]

    def answer(self, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        if seen.path == "/token":
            return self._token(seen)
        if (refused := self._check_auth(seen)) is not None:
            return refused
        if seen.path == "/v2/":
            return 200, {}, b"{}"
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|tags)/([^/]+)", seen.path)
        if not match:
            return self._error(404, "NOT_FOUND", "no such path")
        repository, kind, name = match.groups()
        if kind == "tags":
            return self._tags(repository, seen)
        if kind == "manifests":
            if (repository, name) not in self.manifests:
                return self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
            media_type, data = self.manifests[repository, name]
            return 200, {"Content-Type": media_type, "Docker-Content-Digest": digest(data)}, data
        if name not in self.blobs:
            return self._error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        data = self.blobs[name]
        wanted = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", ""))
        if wanted and self.ranges:
            start = int(wanted[1])
            return 206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:]
        return 200, {"Content-Type": "application/octet-stream"}, data

    def _tags(self, repository: str, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        tags = sorted(name for place, name in self.manifests if place == repository and ":" not in name)
        if not tags:
            return self._error(404, "NAME_UNKNOWN", "repository name not known to registry")
        last = seen.query.get("last", [""])[0]
        rest = [tag for tag in tags if tag > last]
        page = rest[: self.page]
        more = {"Link": f'</v2/{repository}/tags/list?last={page[-1]}&n={self.page}>; rel="next"'}
        body = json.dumps({"name": repository, "tags": page}).encode()
        return 200, more if len(rest) > self.page else {}, body

    @staticmethod
    def _error(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
        return status, {}, json.dumps({"errors": [{"code": code, "message": message}]}).encode()

    def _check_auth(self, seen: Seen) -> tuple[int, dict[str, str], bytes] | None:
        sent = seen.headers.get("authorization", "")
        if self.auth == "none":
            return None
        status, _, body = self._error(401, "UNAUTHORIZED", "authentication required")
        if self.auth == "basic":
            if sent == "Basic " + base64.b64encode(b"ann:secret").decode():
                return None
            return status, {"WWW-Authenticate": 'Basic realm="tiny"'}, body
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|tags)/.*", seen.path)
        scope = f"repository:{match[1]}:pull" if match else ""
        challenge = f'Bearer realm="{self.realm or self.url}/token",service="tiny"'
        if scope:
            challenge += f',scope="{scope}"'
        granted = self.valid_tokens.get(sent.removeprefix("Bearer "))
        if granted is None:
            return status, {"WWW-Authenticate": challenge + (',error="invalid_token"' if sent else "")}, body
        if scope and scope not in granted.split():
            return status, {"WWW-Authenticate": challenge + ',error="insufficient_scope"'}, body
        return None

    def _token(self, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        form = parse_qs(seen.body.decode())
        known = seen.headers.get("authorization", "") == "Basic " + base64.b64encode(b"ann:secret").decode()
        known = known or form.get("refresh_token") == ["identity"]
        if seen.headers.get("authorization") and not known:
            return 401, {}, b'{"details": "incorrect username or password"}'
        scopes = seen.query.get("scope", []) + [word for line in form.get("scope", []) for word in line.split()]
        token = f"ticket-{len(self.valid_tokens)}"
        self.valid_tokens[token] = " ".join(scopes) if known or self.public else ""
        value: dict[str, object] = {"token": token, "expires_in": self.token_life}
        if seen.query.get("offline_token"):
            value["refresh_token"] = "identity"
        return 200, {}, json.dumps(value).encode()


def _handler(registry: TinyRegistry) -> type[BaseHTTPRequestHandler]:
    counts: dict[tuple[str, str], int] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one segment, or Nagle's algorithm waits for the client's delayed ACK

        def do(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = Seen(self.command, parts.path, parse_qs(parts.query), headers, self.rfile.read(length))
            registry.seen.append(seen)
            key = self.command, parts.path
            counts[key] = counts.get(key, 0) + 1
            fault = registry.misbehave(*key, counts[key] - 1) or Fault()
            status, sent, body = registry.answer(seen)
            if fault.status:
                status, sent, body = fault.status, {}, fault.body
            if fault.stall is not None and fault.mute:
                fault.stall.wait(30)
            self.send_response(status)
            for name, value in [*sent.items(), *fault.headers]:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) + fault.lie))
            self.end_headers()
            if self.command == "HEAD":
                return
            if 0 <= fault.flip_at < len(body):
                body = body[: fault.flip_at] + bytes([body[fault.flip_at] ^ 1]) + body[fault.flip_at + 1 :]
            if fault.cut_after >= 0:
                body = body[: fault.cut_after]
            half = len(body) // 2
            self.wfile.write(body[:half])
            if fault.stall is not None:
                self.wfile.flush()
                fault.stall.wait(30)
            try:
                self.wfile.write(body[half:])
                self.wfile.flush()
            except OSError:
                pass
            if fault.cut_after >= 0 or fault.lie:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@contextmanager
def serving(registry: TinyRegistry, tls: ssl.SSLContext | None = None) -> Iterator[TinyRegistry]:
    """Serve *registry* on loopback while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(registry))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    registry.scheme = "https" if tls else "http"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wait_until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Poll for something that another thread brings about.

    Raises:
        AssertionError: it did not within *seconds*.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
