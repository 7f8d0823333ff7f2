"""The two sockets on which a container's programs find their name server, opened where the caller is.

Whoever opens them stands in the container's network namespace; who answers on them need not. They are asked at
127.0.0.11:53, but they listen at other ports and questions are led there (dns_redirect.py), as Docker does it: a
socket bound to 127.0.0.11:53 would keep a name server of the container's own from binding port 53 of all
addresses, and be kept away by it. Where the kernel has no nftables, that is what remains.

Small on purpose: it is imported by the process that holds containers.
"""

from __future__ import annotations

import socket

from mini_docker.dataclasses import dataclass
from mini_docker.linux.dns_redirect import redirect

ADDRESS = "127.0.0.11"
PORT = 53


@dataclass(frozen=True, slots=True)
class DnsSockets:
    """A datagram and a listening stream socket that are reached at 127.0.0.11:53 inside a container's namespace."""

    datagrams: socket.socket
    streams: socket.socket

    def close(self) -> None:
        """Close both."""
        self.datagrams.close()
        self.streams.close()


def open_dns_sockets() -> DnsSockets:
    """The two sockets, in the namespace where the caller is. Its loopback is up.

    Raises:
        OSError: loopback is down; or there is no nftables, and a program in there has the port already.
    """
    sockets = _bound(0)
    try:
        redirect(ADDRESS, PORT, sockets.datagrams.getsockname()[1], sockets.streams.getsockname()[1])
    except OSError:
        sockets.close()
        return _bound(PORT)
    return sockets


def _bound(port: int) -> DnsSockets:
    """The two sockets at a port; 0 lets the kernel choose one for each.

    (ip(7)'s IP_FREEBIND would bind earlier, but then answers would leave from 127.0.0.1, where nobody was asked.)

    Raises:
        OSError: as above.
    """
    opened: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            opened.append(socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK))
            opened[-1].bind((ADDRESS, port))
        opened[1].listen(16)
    except OSError:
        for each in opened:
            each.close()
        raise
    return DnsSockets(*opened)
