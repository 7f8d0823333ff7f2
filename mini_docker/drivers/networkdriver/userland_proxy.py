"""The userland proxy: a porter at one published port, for where the kernel cannot forward by itself.

He takes every connection and every datagram that comes to the host's port, carries it to the container's,
and carries the answers back. A process of its own, one a port: containers keep their ports when the daemon
ends, and one busy port delays no other. It was born with two sockets, bound by whoever started it
(userland_proxies.py): the port, and a door at which it tells who asks its process id. It ends when it is
killed, or by itself when its container's cable is gone, for the daemon that would kill it may be dead by
then. It has nothing to tidy.

It knows a port, a target and the name of a cable, nothing of containers, networks or the daemon.

Source: Docker's ``docker-proxy``, before that classic Docker's ``daemon/networkdriver/portmapper``.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator

from mini_docker.dataclasses import dataclass, field

Target = tuple[str, int]
"""A container's address and port."""

PIECE_BYTES = 65536
"""The most that is carried at once; no datagram is larger."""
IDLE_SECONDS = 90.0
"""How long answers are expected after the last datagram, as in Docker."""
MOST_CONVERSATIONS = 1000
"""Of datagrams, at once. Whoever sends under many false names pushes out the oldest, and no more."""
STACK_BYTES = 256 << 10
"""Of a thread; each connection has two."""
IP_PKTINFO = 8  # linux/in.h
RTMGRP_LINK = 1  # linux/rtnetlink.h: tells of every network interface that comes, changes or goes

RTM_DELLINK = 17  # linux/rtnetlink.h
_NEWS_BYTES = 1 << 16
_LINK_MESSAGE = struct.Struct("=IH10xB3xi")  # struct nlmsghdr: length, type, …; struct ifinfomsg: family, …, index

_PACKET_INFO = struct.Struct("=i4s4s")  # struct in_pktinfo, ip(7): interface, our own address, the header's


def main(args: list[str]) -> int:
    """Be the proxy.

    Args:
        args: the numbers of two descriptors, the door's and the port's; tcp or udp; the container's address
            and port; the host's end of the cable that leads there.
    """
    door, port = (socket.socket(fileno=int(number)) for number in args[:2])
    protocol, address, number, cable = args[2:]
    target = address, int(number)
    threading.stack_size(STACK_BYTES)
    relay = StreamRelay(port, target) if protocol == "tcp" else DatagramRelay(port, target)
    threading.Thread(target=carry, args=(relay,), daemon=True).start()
    threading.Thread(target=keep_door, args=(door,), daemon=True).start()
    wait_until_gone(cable)
    return 0


def carry(relay: StreamRelay | DatagramRelay) -> None:
    """Carry for ever. A doorman who cannot any more must not stay at his door."""
    try:
        relay.run()
    finally:
        os._exit(1)


def wait_until_gone(cable: str) -> None:
    """Return when there is no network interface of this name (any more).

    A container's end of the cable lies in its network namespace. The kernel ends a namespace with the last process
    in it, and the cable with either end: no process id is needed to hear of a container's end, and the port is
    served as long as another container shares its network. Source: rtnetlink(7), network_namespaces(7).
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as changes:
        changes.bind((0, RTMGRP_LINK))  # before the first look: no end can fall between look and listening
        index = _index(cable)
        while index:
            try:
                if (RTM_DELLINK, index) in links_in(changes.recv(_NEWS_BYTES)):
                    return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                index = _index(cable)  # some news were lost: look


def links_in(messages: bytes) -> Iterator[tuple[int, int]]:
    """(message type, interface's number) of rtnetlink's messages about interfaces, but not about a bridge's ports."""
    offset = 0
    while offset + _LINK_MESSAGE.size <= len(messages):
        length, kind, family, index = _LINK_MESSAGE.unpack_from(messages, offset)
        if family == socket.AF_UNSPEC:
            yield kind, index
        offset += max(_LINK_MESSAGE.size, length + 3 & ~3)


def _index(interface: str) -> int:
    """Its number; 0 when there is none."""
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return 0


def keep_door(door: socket.socket) -> None:
    """Tell everyone who comes this process's id. For ever."""
    while True:
        caller, _ = door.accept()
        with caller:
            try:
                caller.sendall(b"%d" % os.getpid())
            except OSError:
                continue  # who asked did not wait for the answer


class StreamRelay:
    """Carries connections: two threads each, one for either way."""

    def __init__(self, listener: socket.socket, target: Target) -> None:
        self._listener = listener
        self._target = target

    def run(self) -> None:
        """For ever."""
        while True:
            try:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connection, args=(client,), daemon=True).start()
            except (OSError, RuntimeError):
                time.sleep(0.1)  # out of descriptors or threads: some will come free

    def _connection(self, client: socket.socket) -> None:
        with client:
            try:
                container = socket.create_connection(self._target)
            except OSError:
                return  # nobody listens in there: the client hears the end of the stream
            with container:
                for each in (client, container):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a vanished peer says nothing
                back = threading.Thread(target=_carry, args=(container, client), daemon=True)
                back.start()
                _carry(client, container)
                back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    """One way, to its end. An end is passed on as such: the other way stays open (half-close)."""
    try:
        while piece := source.recv(PIECE_BYTES):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # Broken, not ended: then the other way is of no use either.
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is broken itself


@dataclass(slots=True)
class _Conversation:
    """One client's datagrams to one address of ours. Answers must come from the address that was asked."""

    client: Target
    asked: bytes
    container: socket.socket
    used: float = field(default_factory=time.monotonic)


class DatagramRelay:
    """Carries datagrams. UDP knows no connections, so each client gets a socket to the container for a while.

    Args:
        port: with IP_PKTINFO switched on, which tells of each datagram to which address of ours it was sent.
    """

    def __init__(self, port: socket.socket, target: Target) -> None:
        self._port = port
        self._target = target
        self._conversations: OrderedDict[tuple[Target, bytes], _Conversation] = OrderedDict()  # longest unused first
        self._selector = selectors.DefaultSelector()
        self._selector.register(port, selectors.EVENT_READ, None)

    def run(self) -> None:
        """For ever."""
        while True:
            for key, _ in self._selector.select(IDLE_SECONDS / 3):
                try:
                    if key.data is None:
                        self._question()
                    else:
                        self._answer(key.data)
                except OSError:
                    continue  # lost, as datagrams may be: the container's port is closed, the client is gone
            while self._conversations and time.monotonic() - self._oldest().used > IDLE_SECONDS:
                self._forget(self._oldest())

    def _question(self) -> None:
        data, notes, _, client = self._port.recvmsg(PIECE_BYTES, socket.CMSG_SPACE(_PACKET_INFO.size))
        asked = next((_PACKET_INFO.unpack(note)[1] for _, kind, note in notes if kind == IP_PKTINFO), b"")
        self._conversation(client, asked).container.send(data)

    def _answer(self, conversation: _Conversation) -> None:
        data = conversation.container.recv(PIECE_BYTES)
        self._touch(conversation)
        note = (socket.IPPROTO_IP, IP_PKTINFO, _PACKET_INFO.pack(0, conversation.asked, bytes(4)))
        self._port.sendmsg([data], [note] if conversation.asked else [], 0, conversation.client)

    def _conversation(self, client: Target, asked: bytes) -> _Conversation:
        conversation = self._conversations.get((client, asked))
        if conversation is None:
            if len(self._conversations) >= MOST_CONVERSATIONS:
                self._forget(self._oldest())
            container = socket.socket(self._port.family, socket.SOCK_DGRAM)
            try:
                container.connect(self._target)
            except OSError:
                container.close()
                raise
            conversation = self._conversations[client, asked] = _Conversation(client, asked, container)
            self._selector.register(container, selectors.EVENT_READ, conversation)
        self._touch(conversation)
        return conversation

    def _touch(self, conversation: _Conversation) -> None:
        conversation.used = time.monotonic()
        self._conversations.move_to_end((conversation.client, conversation.asked))

    def _oldest(self) -> _Conversation:
        return next(iter(self._conversations.values()))

    def _forget(self, conversation: _Conversation) -> None:
        del self._conversations[conversation.client, conversation.asked]
        self._selector.unregister(conversation.container)
        conversation.container.close()
