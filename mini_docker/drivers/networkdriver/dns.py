"""The embedded DNS server: the concierge of a network. It knows the neighbours by name and asks outside for the rest.

Every container on a network of the user's finds it at 127.0.0.11, through two sockets that were opened in
the container's own namespace and passed to the daemon. One thread reads all sockets and answers what is
known at once; what must be asked outside, and every TCP connection, goes to a few workers, so that a slow
resolver delays nobody else's answers. It knows names through `Names` only, and nothing of containers.

Source: RFC 1035, 4.2 (transport).
"""

from __future__ import annotations

import logging
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from dnslib import RCODE, DNSRecord

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.networkdriver.contract import Address
from mini_docker.drivers.networkdriver.dns_message import (
    Names,
    answer_locally,
    failure,
    for_datagram,
    parse_question,
)
from mini_docker.linux.dns_sockets import PORT, DnsSockets

log = logging.getLogger(__name__)

UPSTREAM_SECONDS = 2.0
CLIENT_SECONDS = 5.0
WORKERS = 16
PER_CONTAINER = 8
"""How many questions of one container may wait for workers: more are dropped, as a full resolver does."""
MESSAGE_BYTES = 65535


def ask_upstream(message: bytes, server: Address, stream: bool) -> bytes:
    """One question to one resolver.

    Raises:
        OSError: it cannot be reached, or does not answer in time.
    """
    family = socket.AF_INET if server.version == 4 else socket.AF_INET6
    kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    with socket.socket(family, kind | socket.SOCK_CLOEXEC) as upstream:
        upstream.settimeout(UPSTREAM_SECONDS)
        # Connected, so that only that server's datagrams arrive.
        upstream.connect((str(server), PORT))
        if stream:
            send_framed(upstream, message)
            return receive_framed(upstream)
        upstream.send(message)
        while True:
            answer = upstream.recv(MESSAGE_BYTES)
            if answer[:2] == message[:2]:
                return answer


def send_framed(stream: socket.socket, message: bytes) -> None:
    """A message on a stream, after its length."""
    stream.sendall(struct.pack("!H", len(message)) + message)


def receive_framed(stream: socket.socket) -> bytes:
    """The next message of a stream; empty at its end.

    Raises:
        OSError: the stream broke in the middle, or stalled.
    """
    head = _exactly(stream, 2)
    return _exactly(stream, struct.unpack("!H", head)[0]) if head else b""


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            if data:
                raise ConnectionError("the stream ended within a message")
            return b""
        data += piece
    return data


@dataclass(slots=True)
class _Client:
    """A container that is served. *waiting* is guarded by the server's lock."""

    id: str
    sockets: DnsSockets
    names: Names
    upstream: tuple[Address, ...]
    waiting: int = 0


class DnsServer:
    """Serves any number of containers.

    *Guarded by the lock*: the clients by id, and how many questions of each wait.
    *The thread's own*: the selector, but for registering.
    """

    def __init__(self, ask: Callable[[bytes, Address, bool], bytes] = ask_upstream) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._clients: dict[str, _Client] = {}
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._workers = ThreadPoolExecutor(WORKERS, "dns-worker")
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="dns", daemon=True)
        self._thread.start()

    def add(self, id: str, sockets: DnsSockets, names: Names, upstream: Sequence[Address]) -> None:
        """Serve a container from now on; the sockets are the server's now.

        Args:
            id: for `remove`. One that is served already is replaced.
            upstream: resolvers for everything else, in the order in which to ask; empty on a network without a way out.
        """
        self.remove(id)
        client = _Client(id, sockets, names, tuple(upstream))
        with self._lock:
            self._clients[id] = client
            self._selector.register(sockets.datagrams, selectors.EVENT_READ, client)
            self._selector.register(sockets.streams, selectors.EVENT_READ, client)
        self._wake()

    def remove(self, id: str) -> None:
        """Serve it no more; one that is not served is no error."""
        with self._lock:
            client = self._clients.pop(id, None)
            if client is not None:
                self._selector.unregister(client.sockets.datagrams)
                self._selector.unregister(client.sockets.streams)
                client.sockets.close()
        self._wake()

    def close(self) -> None:
        """Serve nobody any more."""
        for id in list(self._clients):
            self.remove(id)
        self._closed = True
        self._wake()
        self._thread.join()
        self._workers.shutdown(cancel_futures=True)
        self._selector.close()
        self._waker.close()
        self._woken.close()

    def _wake(self) -> None:
        """The selector must look again at what it watches."""
        self._waker.send(b"!")

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                client: _Client | None = key.data
                if client is None:
                    self._woken.recv(4096)
                    continue
                try:
                    if key.fileobj is client.sockets.datagrams:
                        self._datagram(client)
                    else:
                        connection, _ = client.sockets.streams.accept()
                        self._give(client, connection.close, self._conversation, client, connection)
                except OSError:
                    continue  # gone between the look and the call, or removed meanwhile
                except Exception:
                    # Containers choose what is asked, and their users what they are called: whatever one of them
                    # can break in here, the others must not lose their name server for it.
                    log.exception("a question of container %s got no answer", client.id)

    def _datagram(self, client: _Client) -> None:
        message, asker = client.sockets.datagrams.recvfrom(MESSAGE_BYTES)
        question = parse_question(message)
        if question is None:
            return
        reply = answer_locally(question, client.names)
        if reply is not None:
            client.sockets.datagrams.sendto(for_datagram(reply, question), asker)
        else:
            self._give(client, lambda: None, self._forward_datagram, client, question, message, asker)

    def _forward_datagram(self, client: _Client, question: DNSRecord, message: bytes, asker: tuple[str, int]) -> None:
        client.sockets.datagrams.sendto(self._forward(client, question, message, stream=False), asker)

    def _conversation(self, client: _Client, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(CLIENT_SECONDS)
            while message := receive_framed(connection):
                question = parse_question(message)
                if question is None:
                    return
                reply = answer_locally(question, client.names)
                send_framed(
                    connection, bytes(reply.pack()) if reply else self._forward(client, question, message, stream=True)
                )

    def _forward(self, client: _Client, question: DNSRecord, message: bytes, stream: bool) -> bytes:
        for server in client.upstream:
            try:
                return self._ask(message, server, stream)
            except OSError as error:
                log.debug("resolver %s: %s", server, error)
        return failure(question, RCODE.SERVFAIL)

    def _give(self, client: _Client, drop: Callable[[], None], work: Callable[..., None], *arguments: object) -> None:
        """Let a worker do it, unless this container keeps enough of them busy already."""
        with self._lock:
            full = client.waiting >= PER_CONTAINER
            client.waiting += not full
        if full:
            drop()
        else:
            self._workers.submit(self._work, client, work, *arguments)

    def _work(self, client: _Client, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except OSError as error:
            log.debug("a DNS client went away: %s", error)
        except Exception:
            log.exception("a question of container %s got no answer", client.id)
        finally:
            with self._lock:
                client.waiting -= 1
