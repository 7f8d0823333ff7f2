"""The door to the kernel's network stack: every link, address and route of mini_docker is made through here.

`Netlink` is the door's shape, `LinuxNetlink` the real one, `RecordingNetlink` (recording_netlink.py)
stands in for tests without root. A batch of orders is one write and one read for each answer. Orders
go to the daemon's own namespace, or, through a socket that somebody opened there, to another: the
thread that sends them never leaves its own. It knows nothing of containers.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from mini_docker.linux import rtnetlink
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.netlink_requests import Link, LinkAddress, Request, Route
from mini_docker.linux.rtnetlink import NLMSG_DONE, NLMSG_ERROR, RTM_GETADDR, RTM_GETLINK, RTM_GETROUTE, Message

SOL_NETLINK, NETLINK_EXT_ACK = 270, 11
RECEIVE_BYTES = 1 << 17  # a dump's datagrams have at most 32 KiB; one too small would be cut without a word


class NetlinkError(SyscallError):
    """The kernel refused an order.

    Attributes:
        request: the order, or the name of a link that was looked for.
        words: the kernel's own reason, if it gave one.
    """

    def __init__(self, request: object, errno: int, words: str = "") -> None:
        super().__init__("netlink", (str(request),), errno)
        self.request = request
        self.words = words

    def __str__(self) -> str:
        return super().__str__() + (f": {self.words}" if self.words else "")


class Netlink(Protocol):
    """What mini_docker asks of the kernel's network stack.

    *namespace_socket*, wherever it stands, is the descriptor of a NETLINK_ROUTE socket that was opened
    in another network namespace; None means the daemon's own. It stays the caller's.
    """

    def apply(self, requests: Sequence[Request], namespace_socket: int | None = None) -> None:
        """Carry the orders out, in order, in as few writes as can be.

        Within one write the kernel goes on after an order that fails: the caller undoes what a
        half-done batch left.

        Raises:
            NetlinkError: of the first order that failed.
        """

    def link(self, name: str, namespace_socket: int | None = None) -> Link | None:
        """One link by its name; None if there is none."""

    def links(self, namespace_socket: int | None = None) -> tuple[Link, ...]:
        """All links."""

    def addresses(self, namespace_socket: int | None = None) -> tuple[LinkAddress, ...]:
        """All addresses."""

    def routes(self, namespace_socket: int | None = None) -> tuple[Route, ...]:
        """All routes of the main table."""


class LinuxNetlink:
    """The real door. Keeps one socket open for the daemon's own namespace.

    *Guarded by the lock*: the socket, for the time of one exchange.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sequences = itertools.count(1)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)

    def close(self) -> None:
        """Close the door's own socket."""
        self._socket.close()

    def apply(self, requests: Sequence[Request], namespace_socket: int | None = None) -> None:
        with self._exchange(namespace_socket) as descriptor:
            pending: dict[int, tuple[Request, bytes]] = {}
            indexes: dict[str, int] = {}

            def index_of(name: str) -> int:
                if name not in indexes:
                    # The link may be one that an order still in hand makes: that one must go first.
                    self._send(descriptor, pending)
                    indexes[name] = self._get_link(descriptor, name).index
                return indexes[name]

            for request in requests:
                sequence = next(self._sequences)
                # Encoding may send what is pending, so it comes before this order is added to that.
                data = rtnetlink.encode(request, sequence, index_of)
                pending[sequence] = (request, data)
            self._send(descriptor, pending)

    def link(self, name: str, namespace_socket: int | None = None) -> Link | None:
        with self._exchange(namespace_socket) as descriptor:
            try:
                return self._get_link(descriptor, name)
            except NetlinkError as error:
                if error.errno == errno.ENODEV:
                    return None
                raise

    def links(self, namespace_socket: int | None = None) -> tuple[Link, ...]:
        return tuple(rtnetlink.decode_link(answer.body) for answer in self._dump(RTM_GETLINK, namespace_socket))

    def addresses(self, namespace_socket: int | None = None) -> tuple[LinkAddress, ...]:
        return tuple(rtnetlink.decode_address(answer.body) for answer in self._dump(RTM_GETADDR, namespace_socket))

    def routes(self, namespace_socket: int | None = None) -> tuple[Route, ...]:
        found = (rtnetlink.decode_route(answer.body) for answer in self._dump(RTM_GETROUTE, namespace_socket))
        return tuple(route for route in found if route is not None)

    @contextmanager
    def _exchange(self, namespace_socket: int | None) -> Iterator[int]:
        """The descriptor to talk on. A namespace's socket belongs to one call; the own one is shared."""
        if namespace_socket is not None:
            yield namespace_socket
        else:
            with self._lock:
                yield self._socket.fileno()

    @staticmethod
    def _send(descriptor: int, pending: dict[int, tuple[Request, bytes]]) -> None:
        """Send what is pending, in one write, and wait for every answer; nothing is pending afterwards."""
        if not pending:
            return
        os.write(descriptor, b"".join(data for _, data in pending.values()))
        failure: NetlinkError | None = None
        while pending:
            for answer in _receive(descriptor):
                if answer.type == NLMSG_ERROR and answer.sequence in pending:
                    request, _ = pending.pop(answer.sequence)
                    number, words = rtnetlink.decode_error(answer)
                    if number and failure is None:
                        failure = NetlinkError(request, number, words)
        if failure is not None:
            raise failure

    def _get_link(self, descriptor: int, name: str) -> Link:
        sequence = next(self._sequences)
        os.write(descriptor, rtnetlink.encode_get_link(name, sequence))
        while True:
            for answer in _receive(descriptor):
                if answer.sequence != sequence:
                    continue
                if answer.type == NLMSG_ERROR:
                    raise NetlinkError(f"ip link show {name}", *rtnetlink.decode_error(answer))
                return rtnetlink.decode_link(answer.body)

    def _dump(self, type: int, namespace_socket: int | None) -> list[Message]:
        with self._exchange(namespace_socket) as descriptor:
            while True:
                found, interrupted = self._dump_once(type, descriptor)
                if not interrupted:
                    return found

    def _dump_once(self, type: int, descriptor: int) -> tuple[list[Message], bool]:
        """All messages of a dump, and whether the table changed under it so that it must be asked again."""
        sequence = next(self._sequences)
        os.write(descriptor, rtnetlink.encode_dump(type, sequence))
        found: list[Message] = []
        interrupted = False
        while True:
            for answer in _receive(descriptor):
                if answer.sequence != sequence:
                    continue
                interrupted |= bool(answer.flags & rtnetlink.NLM_F_DUMP_INTR)
                if answer.type == NLMSG_DONE:
                    return found, interrupted
                if answer.type == NLMSG_ERROR:
                    raise NetlinkError(f"dump {type}", *rtnetlink.decode_error(answer))
                found.append(answer)


def _receive(descriptor: int) -> list[Message]:
    """The messages of the next datagram; answers to somebody else's questions are the caller's to skip."""
    return list(rtnetlink.split_messages(os.read(descriptor, RECEIVE_BYTES)))
