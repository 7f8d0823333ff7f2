"""The server: accepts connections; each has a thread of its own for as long as it lasts.

It counts them, turns away those beyond the limit, and stops in order. It knows nothing of what
the application answers.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import h11

from mini_docker.http.connection import Application, Connection, Refusal
from mini_docker.http.hangup import HangupWatcher
from mini_docker.http.limits import Limits
from mini_docker.http.listeners import Listener
from mini_docker.http.messages import REASONS, plain_refusal

if TYPE_CHECKING:
    from mini_docker.http.tls import TlsSession

log = logging.getLogger(__name__)

_MAX_IDLE = 4
"""Threads without a connection: a ``docker run`` has three at a time."""

_BREATH_SECONDS = 0.05
"""How long to leave clients in the listen queue when the process is out of descriptors."""

_ARMED = select.EPOLLIN | select.EPOLLONESHOT


class _Crew:
    """Threads that wait at the same doors: whoever is woken lets the client in and serves it himself, to its end.

    Leader and followers: to hand a client over to another thread takes 0.1 ms, for two switches, a lock and a queue.
    At any time one of them waits: the last one has another one come before he turns to his client.

    *Fixed*: the epoll instance. A door is armed for one event; whoever was woken by it arms it again.
    *Guarded by the condition*: how many wait, and whether there will be no more work.

    Args:
        doors: listening sockets that do not block.
        stop: a descriptor; when it can be read, those who wait go home.
        let_in: accepts whoever is at the door; None when nobody is, after all, or nobody can be taken.
        serve: serves a connection to its end.
        send_away: ends a connection that was let in, unserved.
    """

    def __init__(
        self, doors: Sequence[socket.socket], stop: int, let_in: Callable[[socket.socket], Connection | None],
        serve: Callable[[Connection], None], send_away: Callable[[Connection], None],
    ) -> None:  # fmt: skip
        self._doors = {door.fileno(): door for door in doors}
        self._stop = stop
        self._let_in = let_in
        self._serve = serve
        self._send_away = send_away
        self._changed = threading.Condition()
        self._waiting = 0
        self._dismissed = False
        self._epoll = select.epoll()
        self._epoll.register(stop, select.EPOLLIN)
        for descriptor in self._doors:
            self._epoll.register(descriptor, _ARMED)
        self._have_another_come()

    def dismiss(self) -> None:
        """Let those go who wait, and the others when they have ended theirs. `stop` can be read by now."""
        with self._changed:
            self._dismissed = True
            self._changed.wait_for(lambda: not self._waiting)
        self._epoll.close()

    def _have_another_come(self) -> None:
        """
        Raises:
            RuntimeError: no thread more is to be had.
        """
        with self._changed:
            self._waiting += 1
        try:
            threading.Thread(target=self._live, name="connection", daemon=True).start()
        except RuntimeError:
            self._leave()
            raise

    def _live(self) -> None:
        while True:
            ((descriptor, _),) = self._epoll.poll(maxevents=1)
            last = self._leave()
            if descriptor == self._stop:
                return
            try:
                connection = self._let_in(self._doors[descriptor])
                if connection is not None and last:
                    try:
                        self._have_another_come()
                    except RuntimeError as error:
                        log.warning("cannot serve a connection: %s", error)
                        self._send_away(connection)  # to serve it would leave nobody at the doors
                        connection = None
            finally:
                self._arm(descriptor)
            if connection is not None:
                self._serve(connection)
            del connection  # it is over: nobody keeps it while waiting for the next
            with self._changed:
                if self._dismissed or self._waiting >= _MAX_IDLE:
                    return
                self._waiting += 1

    def _arm(self, descriptor: int) -> None:
        try:
            self._epoll.modify(descriptor, _ARMED)
        except (OSError, ValueError):
            pass  # the doors are closed by now

    def _leave(self) -> bool:
        """Wait no more; whether nobody does now."""
        with self._changed:
            self._waiting -= 1
            if self._dismissed:
                self._changed.notify_all()
            return not self._waiting


class HttpServer:
    """Serves an application on listening sockets, a thread a connection.

    *Fixed*: the application, the limits.
    *Guarded by the condition*: the open connections, whether `serve` is to end, and whether it has ended.

    Args:
        application: answers the requests, in many threads at once.
        limits: what clients may take.
        refusal: words the answers to requests that never reach the application.
        tls: makes each connection's TLS; None for HTTP in the clear.
    """

    def __init__(
        self,
        application: Application,
        limits: Limits | None = None,
        refusal: Refusal = plain_refusal,
        tls: Callable[[], TlsSession] | None = None,
    ) -> None:
        self._application = application
        self._limits = limits or Limits()
        self._refusal = refusal
        self._tls = tls
        self._watcher = HangupWatcher()
        self._changed = threading.Condition()
        self._connections: set[Connection] = set()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._stopping = self._ended = False
        self._full = self._compose_full()

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def serve(self, listeners: Sequence[Listener], grace_seconds: float = 5.0) -> None:
        """Accept and serve until `stop`; then end in order and close the listeners.

        Called once. The order of the end: accept no more, close idle connections, wait for the busy ones,
        then end those as well.

        Args:
            listeners: bound sockets; from now on the server's.
            grace_seconds: how long busy connections may go on after `stop`.
        """
        for listener in listeners:
            listener.socket.setblocking(False)
        doors = [listener.socket for listener in listeners]
        crew = _Crew(doors, self._stop, self._let_in, self._serve_connection, self._end_connection)
        try:
            _wait_until_readable(self._stop)
        finally:
            with self._changed:
                self._stopping = True
            for listener in listeners:
                listener.close()
        if self._end_connections(grace_seconds):
            self._watcher.close()
        crew.dismiss()
        with self._changed:
            os.close(self._stop)
            self._ended = True

    def stop(self) -> None:
        """Ask `serve` to end, or not to begin; returns at once."""
        with self._changed:
            if not self._ended:
                os.eventfd_write(self._stop, 1)

    def _let_in(self, door: socket.socket) -> Connection | None:
        """Accept a client; None when there is none, after all, or it was sent away."""
        try:
            sock, _ = door.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None  # the client left while it was waiting
        except OSError as error:
            if not self._stopping:
                log.error("cannot accept a connection: %s", error)
                time.sleep(_BREATH_SECONDS)
            return None
        try:
            return self._admit(sock)
        except OSError as error:  # gone already
            log.warning("cannot serve a connection: %s", error)
        except Exception:
            log.exception("cannot serve a connection")
        sock.close()
        return None

    def _admit(self, sock: socket.socket) -> Connection | None:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        tls = self._tls() if self._tls else None
        connection = Connection(sock, self._application, self._refusal, self._limits, self._watcher, tls)
        with self._changed:
            if self._stopping:
                connection.close()
                return None
            if len(self._connections) < self._limits.connections:
                self._connections.add(connection)
                return connection
        self._turn_away(sock)
        return None

    def _serve_connection(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            self._end_connection(connection)

    def _end_connection(self, connection: Connection) -> None:
        connection.close()
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def _turn_away(self, sock: socket.socket) -> None:
        """Say that the house is full and close at once: the accepting thread waits for no client."""
        sock.setblocking(False)
        with sock:
            try:
                sock.send(self._full)
                sock.shutdown(socket.SHUT_WR)
                # Bytes left unread would turn the close into a reset, which can overtake the answer.
                sock.recv(self._limits.header_bytes)
            except OSError:
                pass  # nothing to read yet, or gone: it would have been turned away anyhow

    def _compose_full(self) -> bytes:
        if self._tls is not None:
            return b""  # words in the clear would be noise to a client that speaks TLS
        answer = self._refusal(503, f"too many connections: the limit is {self._limits.connections}; try again later")
        headers = [*answer.headers, ("Content-Length", str(len(answer.body))), ("Connection", "close")]
        machine = h11.Connection(h11.SERVER)
        head = machine.send(h11.Response(status_code=answer.status, headers=headers, reason=REASONS[answer.status]))
        return head + answer.body

    def _end_connections(self, grace_seconds: float) -> bool:
        """End what is open, in order, and return whether all of it has ended."""
        with self._changed:
            for connection in self._connections:
                connection.stop()
            if self._changed.wait_for(lambda: not self._connections, grace_seconds):
                return True
            log.warning("ending %d connections that are still busy", len(self._connections))
            for connection in self._connections:
                connection.end()
            # Their jobs are told by the hang-up watcher. One that does not listen is left to the process's end.
            return self._changed.wait_for(lambda: not self._connections, grace_seconds)


def _wait_until_readable(descriptor: int) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.poll()
