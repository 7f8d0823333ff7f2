"""Our registry in the tests' own process, on loopback."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from mini_docker.http.limits import Limits
from mini_docker.http.listeners import listen
from mini_docker.http.server import HttpServer
from mini_docker.http.tls import TlsSession
from mini_docker.registry.server.access import Access, OpenAccess
from mini_docker.registry.server.application import RegistryApplication
from mini_docker.registry.server.errors import too_early
from mini_docker.registry.server.storage import Storage
from tests.registry.image_fixture import ImageFixture, digest


class Answered:
    """What came back: status, headers, body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.body = response.read()


class OwnRegistry:
    """The server and a plain HTTP client (for one in the clear) that is none of our code."""

    def __init__(
        self,
        root: Path,
        access: Access | None = None,
        read_only: bool = False,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.storage = Storage(root)
        self.application = RegistryApplication(self.storage, access or OpenAccess(), read_only)
        limits = limits or Limits(body_stall_seconds=5.0)
        self.server = HttpServer(self.application, limits, too_early, (lambda: TlsSession(tls)) if tls else None)
        listener = listen(["tcp://127.0.0.1:0"])[0]
        self.host = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.serve, args=([listener], 1.0), daemon=True)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, **query: str
    ) -> Answered:
        connection = http.client.HTTPConnection(self.host, timeout=10)
        try:
            target = path + ("?" + urlencode(query) if query else "")
            connection.request(method, target, body, dict(headers or {}))
            return Answered(connection.getresponse())
        finally:
            connection.close()

    def push_blob(self, repository: str, data: bytes) -> str:
        answer = self.ask("POST", f"/v2/{repository}/blobs/uploads/", data, digest=digest(data))
        assert answer.status == 201, answer.body
        return digest(data)

    def push(self, repository: str, tag: str, image: ImageFixture) -> Answered:
        for data in image.blobs.values():
            self.push_blob(repository, data)
        headers = {"Content-Type": image.media_type}
        return self.ask("PUT", f"/v2/{repository}/manifests/{tag}", image.manifest, headers)


@contextmanager
def own_registry(
    root: Path,
    access: Access | None = None,
    read_only: bool = False,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
) -> Iterator[OwnRegistry]:
    registry = OwnRegistry(root, access, read_only, tls, limits)
    registry.thread.start()
    try:
        yield registry
    finally:
        registry.server.stop()
        registry.thread.join(5)
