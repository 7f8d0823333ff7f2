"""The jobs that open the daemon's doors: `serveapi`, `acceptconnections`, and the smallest of all, `ping`.

Classic Docker's boot: `serveapi` listens at once, so that clients find an address, and they
wait in the kernel's listen queue while the rest of the daemon is put together; then
`acceptconnections` lets them in.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
from collections.abc import Mapping

from mini_docker.daemon.server.server import DockerServer
from mini_docker.daemon.server.statuses import refusal
from mini_docker.dataclasses import dataclass, field
from mini_docker.engine import Engine, Job
from mini_docker.errors import Conflict, Invalid, Unavailable
from mini_docker.http.limits import Limits
from mini_docker.http.listeners import Listener, listen, split_host_port
from mini_docker.http.server import HttpServer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How the API is served.

    Attributes:
        limits: what clients may take.
        group: who, beside root, may use the unix sockets; empty: nobody.
        grace_seconds: how long answers that are under way may go on when the API is to end.
    """

    limits: Limits = field(default_factory=Limits)
    group: str = ""
    grace_seconds: float = 5.0


class ServeApi:
    """The job `serveapi`, with the addresses to listen at as arguments: serves until it is cancelled.

    *Guarded by the condition*: ``listeners`` and whether the doors are open.

    Source: classic Docker's ``api/server/server.go`` (ServeApi, AcceptConnections).
    """

    def __init__(self, engine: Engine, options: ApiOptions | None = None) -> None:
        self._engine = engine
        self._options = options or ApiOptions()
        self._changed = threading.Condition()
        self._listeners: list[Listener] = []
        self._open = False

    @property
    def addresses(self) -> list[str]:
        """Where it listens; of a TCP address with port 0, the port that the kernel chose."""
        with self._changed:
            return [listener.address for listener in self._listeners]

    def __call__(self, job: Job) -> None:
        """Listen at the addresses in *job.args*, and serve once the doors are open.

        Raises:
            Invalid: no address.
            Conflict: the API is served already.
            MiniDockerError: what `listen` raises.
        """
        if not job.args:
            raise Invalid("serveapi: no address to listen at")
        job.service = True
        self._listen(job.args)
        server = HttpServer(DockerServer(self._engine), self._options.limits, refusal)
        try:
            with job.on_cancel(server.stop), job.on_cancel(self._wake):
                with self._changed:
                    self._changed.wait_for(lambda: self._open or job.cancelled)
                server.serve(self._listeners, self._options.grace_seconds)
        finally:
            with self._changed:
                self._listeners = []
                self._open = False

    def wait_until_listening(self, seconds: float) -> None:
        """Wait until `serveapi`, in whatever thread it runs, has its addresses.

        Raises:
            Unavailable: it does not listen after *seconds*.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._listeners, seconds):
                raise Unavailable(f"the API does not listen after {seconds:g} seconds: see why the job serveapi failed")

    def open(self) -> None:
        """Let clients in."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def _listen(self, addresses: tuple[str, ...]) -> None:
        with self._changed:
            if self._listeners:
                raise Conflict("serveapi: the API is served already")
            self._listeners = listen(addresses, self._options.group)
            self._changed.notify_all()
        for listener in self._listeners:
            log.info("the API listens at %s", listener.address)
            if _is_exposed(listener.address):
                log.warning("whoever reaches %s is root on this machine: it asks for no credentials", listener.address)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class AcceptConnections:
    """The job `acceptconnections`: the daemon is ready, clients may come in, and systemd is told so.

    Args:
        api: whose doors to open.
        environ: where a service manager left the address of its notification socket.
        listen_seconds: how long to wait for `serveapi` to listen.
    """

    def __init__(self, api: ServeApi, environ: Mapping[str, str] | None = None, listen_seconds: float = 10.0) -> None:
        self._api = api
        self._environ = os.environ if environ is None else environ
        self._listen_seconds = listen_seconds

    def __call__(self, job: Job) -> None:
        """Open the doors.

        Raises:
            Unavailable: `serveapi` does not listen.
        """
        self._api.wait_until_listening(self._listen_seconds)
        self._api.open()
        notify(self._environ, "READY=1")


def ping(job: Job) -> None:
    """The job `ping`: is anybody there?"""
    job.stdout.write(b"OK")


def notify(environ: Mapping[str, str], message: str) -> None:
    """Tell the service manager that started us, if one did. Source: sd_notify(3)."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket: unix(7)
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(address)
            sock.send(message.encode())
        except OSError as error:
            log.warning("cannot notify the service manager: %s", error)


def _is_exposed(address: str) -> bool:
    """Whether other machines may reach a listener's address."""
    return address.startswith("tcp://") and not ipaddress.ip_address(split_host_port(address)[0]).is_loopback
