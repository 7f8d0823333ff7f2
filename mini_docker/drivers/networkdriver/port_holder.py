"""The port holder: sits on the host ports that are published, so that no other program can take them.

Packets for a published port are led away before they reach a socket; the socket bound here gets none.
It is there so that whoever else binds the port is told "address in use", and so that we are told when
somebody else has it. It does not outlive the daemon: the rules go on working without it, and the next
daemon binds again.
"""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from mini_docker.drivers.networkdriver.contract import PortTaken
from mini_docker.drivers.networkdriver.port_allocator import HostPort
from mini_docker.errors import Invalid

_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class PortHolder:
    """The bound sockets, by port. Its owner has the lock."""

    def __init__(self) -> None:
        self._sockets: dict[HostPort, socket.socket] = {}

    def hold(self, port: HostPort) -> None:
        """Bind the port.

        Raises:
            PortTaken: another program has it.
            Invalid: the host has no such address, or the protocol has no ports.
        """
        if port.protocol not in _TYPES:
            raise Invalid(f"invalid proto: {port.protocol}: a published port is tcp or udp")
        try:
            self._sockets[port] = _bound(port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(port.address, port.port, port.protocol, program_at(port)) from None
            raise Invalid(
                f"listen {port.protocol} {port.address}:{port.port}: bind: {os.strerror(error.errno or 0).lower()}"
            ) from None

    def hand_over(self, port: HostPort) -> socket.socket:
        """The socket of a port that is held: whoever takes it holds the port from now on."""
        return self._sockets.pop(port)

    def let_go(self, port: HostPort) -> None:
        """Close the port's socket; one that is not held is no error."""
        held = self._sockets.pop(port, None)
        if held is not None:
            held.close()


def _bound(port: HostPort) -> socket.socket:
    family = socket.AF_INET if port.address.version == 4 else socket.AF_INET6
    holder = socket.socket(family, _TYPES[port.protocol])
    try:
        if family == socket.AF_INET6:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        where = (str(port.address), port.port)
        try:
            # Without SO_REUSEADDR nobody else can bind the port, whether or not they have it.
            holder.bind(where)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port.protocol != "tcp":
                raise
            # Perhaps only the last connections of a server that is gone linger there (TIME_WAIT). With
            # SO_REUSEADDR those do not matter; then listening is what keeps others away.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(where)
            holder.listen(0)
    except OSError:
        holder.close()
        raise
    return holder


def program_at(port: HostPort) -> str:
    """Which program has the port, as ``program nginx, pid 17``; empty if it cannot be found.

    Source: proc(5): /proc/net/tcp names sockets by inode, and so do the links in /proc/PID/fd.
    """
    inodes = _inodes_at(port)
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(os.readlink(link) in inodes for link in (process / "fd").iterdir()):
                return f"program {(process / 'comm').read_text().strip()}, pid {process.name}"
        except OSError:
            continue  # it ended, or its descriptors are none of ours to see
    return ""


def _inodes_at(port: HostPort) -> set[str]:
    """The sockets bound to the port, as links in /proc/PID/fd name them."""
    found = set()
    for version in ("", "6"):
        try:
            lines = Path(f"/proc/thread-self/net/{port.protocol}{version}").read_text().splitlines()[1:]
        except OSError:
            continue  # a kernel without IPv6
        for line in lines:
            words = line.split()
            if int(words[1].rpartition(":")[2], 16) == port.port:
                found.add(f"socket:[{words[9]}]")
    return found
