"""The userland proxies of a daemon: hires a porter for a published port, finds him again, and dismisses him.

The port's socket is bound here and handed to the proxy, so a port is taken, and its first callers wait in
its queue, before the proxy runs. Each proxy keeps a door in a folder of ours, a unix socket named after the
port: by it a later daemon finds what the one before it started. What a proxy does is userland_proxy.py's.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Collection
from pathlib import Path

from mini_docker import launcher
from mini_docker.drivers.networkdriver.contract import Address, PublishedPort
from mini_docker.drivers.networkdriver.userland_proxy import IP_PKTINFO
from mini_docker.errors import Unavailable

log = logging.getLogger(__name__)

BACKLOG = 1024
"""Connections that may wait to be accepted; the kernel's own limit (net.core.somaxconn) is lower or as high."""
ANSWER_SECONDS = 10.0
"""How long a proxy may take to answer at its door: it answers within the time that its start takes."""


class UserlandProxies:
    """One proxy for each published port that needs one.

    *Guarded by the lock*: the processes that this daemon started and must reap, by door.

    Args:
        folder: for their doors; root's alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._children: dict[Path, subprocess.Popen[bytes]] = {}

    def start(self, port: PublishedPort, held: socket.socket, address: Address, cable: str) -> None:
        """Start a proxy from the host's port to the same port's container.

        Args:
            held: a socket bound to the host's port; the proxy's from now on.
            address: the container's.
            cable: the network interface that leads there; the proxy ends with it, whether we live or not.

        Raises:
            Unavailable: it cannot be started.
        """
        path = self._door(port)
        try:
            with held, socket.socket(socket.AF_UNIX) as door:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.unlink(missing_ok=True)  # of a proxy that died without us
                door.bind(str(path))
                door.listen()
                if port.protocol == "tcp":
                    # Its connections inherit it: those that linger after their end (TIME_WAIT) leave the port free.
                    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    held.listen(BACKLOG)
                elif held.family == socket.AF_INET:
                    # Here already: of datagrams that came before, it would not be known to which address.
                    held.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
                sockets = (door.fileno(), held.fileno())
                words = (*map(str, sockets), port.protocol, str(address), str(port.container_port), cable)
                with self._folder.with_suffix(".log").open("ab") as output:
                    child = subprocess.Popen(
                        launcher.command("proxy", *words), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                        pass_fds=sockets, start_new_session=True, cwd="/",
                        env=launcher.environment(),
                    )  # fmt: skip
        except OSError as error:
            path.unlink(missing_ok=True)
            raise Unavailable(f"no userland proxy for port {port.host_port}/{port.protocol}: {error}") from None
        with self._lock:
            self._children[path] = child

    def runs(self, port: PublishedPort) -> bool:
        """Whether the port has a proxy, no matter which daemon started it."""
        return self._pid(self._door(port)) is not None

    def end(self, port: PublishedPort) -> None:
        """End the port's proxy, and its connections with it. When this returns, the port is free. None is no error."""
        self._end(self._door(port))

    def collect(self, keep: Collection[PublishedPort]) -> None:
        """End every proxy that an earlier daemon left, but those of the ports to *keep*."""
        kept = {self._door(port) for port in keep}
        for path in self._folder.glob("*"):
            if path not in kept:
                log.info("ending the userland proxy %s, whose port is published no more", path.name)
                self._end(path)

    def _door(self, port: PublishedPort) -> Path:
        return self._folder / f"{port.protocol}-{port.host_address}-{port.host_port}"

    def _end(self, path: Path) -> None:
        with self._lock:
            child = self._children.pop(path, None)
        if child is not None:
            child.kill()
            child.wait()
        elif (pid := self._pid(path)) is not None:
            _kill(pid)
        path.unlink(missing_ok=True)

    @staticmethod
    def _pid(path: Path) -> int | None:
        """The process id that the proxy behind this door tells; None when nobody is there."""
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(ANSWER_SECONDS)
            try:
                caller.connect(str(path))
                return int(caller.recv(20))
            except (OSError, ValueError):
                return None


def _kill(pid: int) -> None:
    """Kill a process that is nobody's child here, and wait until it is gone and its descriptors are closed."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return  # it died by itself
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        dead = select.poll()
        dead.register(pidfd, select.POLLIN)
        dead.poll()
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)
