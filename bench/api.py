"""A plain client of the Remote API, the same for every daemon: the standard library and nothing of ours.

It is the stopwatch's hand: thin, so that what is timed is the daemon.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

VERSION = "/v1.41"


class ApiError(Exception):
    """A daemon answered with an error: the method, the path, the status and its words."""


class Api(http.client.HTTPConnection):
    """One kept connection to a daemon's unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("daemon")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))

    def call(
        self, method: str, path: str, body: Any = None, query: Mapping[str, object] | None = None,
        raw: bytes | None = None, headers: Mapping[str, str] | None = None,
    ) -> Any:  # fmt: skip
        """Send a request and read the whole answer, decoded if it is one JSON value, else as bytes.

        Args:
            body: sent as JSON. *raw*: sent as it is, a tar archive.

        Raises:
            ApiError: status 400 or above, or an error in a progress stream.
        """
        data = self.send_request(method, path, body, query, raw, headers).read()
        try:
            answer = json.loads(data) if data else None
        except ValueError:
            _raise_progress_error(f"{method} {path}", data)
            return data
        if isinstance(answer, dict) and "errorDetail" in answer:
            raise ApiError(f"{method} {path}: {answer['errorDetail']}")
        return answer

    def send_request(
        self, method: str, path: str, body: Any = None, query: Mapping[str, object] | None = None,
        raw: bytes | None = None, headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:  # fmt: skip
        """Send a request and return the answer once its head is there; arguments as `call`.

        Raises:
            ApiError: status 400 or above.
        """
        content_type = "application/x-tar" if raw is not None else "application/json"
        payload = raw if raw is not None else json.dumps(body) if body is not None else None
        self.request(
            method,
            VERSION + path + (f"?{urlencode(query)}" if query else ""),
            payload,
            {"Content-Type": content_type, **(headers or {})},
        )
        answer = self.getresponse()
        if answer.status >= 400:
            raise ApiError(f"{method} {path}: {answer.status} {answer.read()[:300].decode(errors='replace')}")
        return answer

    # the acts that many benches are made of

    def create(self, *command: str, network: str = "none", image: str = "busybox", **host: object) -> str:
        """Create a container and return its id."""
        config = {"Image": image, "Cmd": command, "HostConfig": {"NetworkMode": network, **host}}
        identity: str = self.call("POST", "/containers/create", config)["Id"]
        return identity

    def start(self, container: str) -> None:
        """Start it."""
        self.call("POST", f"/containers/{container}/start")

    def wait(self, container: str) -> int:
        """Wait for its end; its exit code."""
        code: int = self.call("POST", f"/containers/{container}/wait")["StatusCode"]
        return code

    def remove(self, container: str, force: bool = False) -> None:
        """Remove it."""
        self.call("DELETE", f"/containers/{container}", query={"force": int(force)})

    def cycle(self, network: str = "none", image: str = "busybox") -> float:
        """Create, start, wait, remove: the seconds it took. The command is ``true``."""
        began = time.perf_counter()
        container = self.create("true", network=network, image=image)
        self.start(container)
        code = self.wait(container)
        self.remove(container)
        if code != 0:
            raise ApiError(f"the container's command ended with {code}")
        return time.perf_counter() - began

    def execute(self, container: str, *command: str) -> float:
        """A further process, its output read to the end, its exit code asked: the seconds it took."""
        began = time.perf_counter()
        config = {"Cmd": command, "AttachStdout": True, "AttachStderr": True}
        execution = self.call("POST", f"/containers/{container}/exec", config)["Id"]
        fresh = Api(self._path)  # the stream takes its connection over
        try:
            answer = fresh.send_request("POST", f"/exec/{execution}/start", {"Detach": False, "Tty": False})
            answer.read()
        finally:
            fresh.close()
        code = self.call("GET", f"/exec/{execution}/json")["ExitCode"]
        if code != 0:
            raise ApiError(f"the exec's command ended with {code}")
        return time.perf_counter() - began


def _raise_progress_error(what: str, data: bytes) -> None:
    """A pull or load that fails says so in its last line, under status 200."""
    for line in data.splitlines():
        if b'"errorDetail"' in line:
            raise ApiError(f"{what}: {line.decode(errors='replace')}")
