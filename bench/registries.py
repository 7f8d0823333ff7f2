"""Registries on loopback inside a daemon's network namespace: Debian's docker-registry, and ours.

Each daemon reaches one at the same address, 127.0.0.1, and the registries cannot be told apart by it.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bench.daemons import OWN_COMMAND, Daemon, DidNotStart
from bench.image_maker import DOCKER_MANIFEST, BigImage
from mini_docker.linux.constants import CLONE_NEWNET
from mini_docker.linux.linux_kernel import LinuxKernel

START_SECONDS = 20.0


class Registry:
    """A running registry beside *daemon*.

    Args:
        folder: its store and its log lie below; made if need be.
        own: ours instead of Debian's.
    """

    def __init__(self, daemon: Daemon, port: int, folder: Path, own: bool = False) -> None:
        self.address = f"127.0.0.1:{port}"
        self._daemon, self._port, self._folder, self._own = daemon, port, folder, own
        folder.mkdir(exist_ok=True)
        self._process = self._start()

    @property
    def pid(self) -> int:
        """Of the registry itself: what enters the namespace becomes it."""
        return self._process.pid

    def reset(self) -> None:
        """Start it anew with an empty store."""
        self.stop()
        shutil.rmtree(self._folder / "store", ignore_errors=True)
        self._process = self._start()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(START_SECONDS)

    def connection(self) -> http.client.HTTPConnection:
        """A connection to it, from inside its namespace."""
        made = http.client.HTTPConnection("127.0.0.1", self._port)
        made.sock = connect_in(self._daemon.pid, ("127.0.0.1", self._port))
        return made

    def stored_bytes(self) -> int:
        """How large all is that it keeps."""
        return sum(path.stat().st_size for path in (self._folder / "store").rglob("*") if path.is_file())

    def put(self, repository: str, tag: str, image: BigImage) -> None:
        """Push an image by plain HTTP, with no client of either side."""
        connection = self.connection()
        for digest, path in image.blobs.items():
            answer = _ask(connection, "POST", f"/v2/{repository}/blobs/uploads/", b"", {})
            url = urlsplit(answer.headers["Location"])
            target = f"{url.path}?{url.query}{'&' if url.query else ''}digest={digest}"
            _ask(connection, "PUT", target, path.read_bytes(), {"Content-Type": "application/octet-stream"})
        _ask(connection, "PUT", f"/v2/{repository}/manifests/{tag}", image.manifest, {"Content-Type": DOCKER_MANIFEST})
        connection.close()

    def _command(self) -> Sequence[str]:
        store = self._folder / "store"
        if self._own:
            return [str(OWN_COMMAND), "registry", "--addr", self.address, "--root", str(store)]
        config = self._folder / f"config-{self._port}-{self._daemon.name}.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {store}}}}}\nhttp: {{addr: '{self.address}'}}\n"
        )
        return ["docker-registry", "serve", str(config)]

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self._daemon.inside(*self._command()), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                _ask(self.connection(), "GET", "/v2/", None, {})
                return process
            except OSError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                words = (self._folder / "log").read_text(errors="replace").strip().splitlines()
                raise DidNotStart(f"the registry did not start: {words[-1] if words else 'it said nothing'}")
            time.sleep(0.02)


def connect_in(pid: int, address: tuple[str, int]) -> socket.socket:
    """A connected socket in the network namespace of process *pid*.

    A socket belongs to the namespace that its maker was in; a thread that ends right after may enter one.
    """
    made: list[socket.socket | OSError] = []

    def connect() -> None:
        try:
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                LinuxKernel().setns(namespace, CLONE_NEWNET)
            finally:
                os.close(namespace)
            made.append(socket.create_connection(address))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result


def _ask(
    connection: http.client.HTTPConnection, method: str, target: str, body: bytes | None, headers: dict[str, str]
) -> http.client.HTTPResponse:
    connection.request(method, target, body, headers)
    answer = connection.getresponse()
    words = answer.read()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {target}: {answer.status} {words[:200].decode(errors='replace')}")
    return answer
