"""The server: accepts connections and gives each a thread of its own for as long as it lasts.

It counts them, turns away those beyond the limit, and stops in order. It knows nothing of what
the application answers.
"""

from __future__ import annotations

import logging
import os
import queue
import selectors
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


class _Crew:
    """Threads that serve one connection after another: to wake one takes 0.15 ms less than to start one.

    *Guarded by the lock*: who waits for work, last come first served, and whether there will be no more.

    Args:
        serve: serves one connection, to its end.
    """

    def __init__(self, serve: Callable[[Connection], None]) -> None:
        self._serve = serve
        self._lock = threading.Lock()
        self._idle: list[tuple[threading.Thread, queue.SimpleQueue[Connection | None]]] = []
        self._dismissed = False

    def hand(self, connection: Connection) -> None:
        """Have *connection* served.

        Raises:
            RuntimeError: nobody is idle, and no thread more is to be had.
        """
        with self._lock:
            work = self._idle.pop()[1] if self._idle else None
        if work is None:
            work = queue.SimpleQueue()
            threading.Thread(target=self._live, args=(work,), name="connection", daemon=True).start()
        work.put(connection)

    def dismiss(self) -> None:
        """Let those go who wait for work, and the others when they have ended theirs."""
        with self._lock:
            self._dismissed = True
            idle, self._idle = self._idle, []
        for thread, work in idle:
            work.put(None)
            thread.join()

    def _live(self, work: queue.SimpleQueue[Connection | None]) -> None:
        while (connection := work.get()) is not None:
            self._serve(connection)
            del connection  # it is over: nobody keeps it while waiting for the next
            with self._lock:
                if self._dismissed or len(self._idle) >= _MAX_IDLE:
                    return
                self._idle.append((threading.current_thread(), work))


class HttpServer:
    """Serves an application on listening sockets, a thread a connection.

    *Fixed*: the application, the limits.
    *Guarded by the condition*: the open connections, whether `serve` has ended.

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
        self._crew = _Crew(self._serve_connection)
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._ended = False
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
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop, selectors.EVENT_READ)
            for listener in listeners:
                listener.socket.setblocking(False)
                selector.register(listener.socket, selectors.EVENT_READ)
            try:
                self._accept_until_stopped(selector)
            finally:
                for listener in listeners:
                    listener.close()
        if self._end_connections(grace_seconds):
            self._watcher.close()
        self._crew.dismiss()
        with self._changed:
            os.close(self._stop)
            self._ended = True

    def stop(self) -> None:
        """Ask `serve` to end, or not to begin; returns at once."""
        with self._changed:
            if not self._ended:
                os.eventfd_write(self._stop, 1)

    def _accept_until_stopped(self, selector: selectors.BaseSelector) -> None:
        while True:
            for key, _ in selector.select():
                if key.fileobj == self._stop:
                    return
                assert isinstance(key.fileobj, socket.socket)
                self._accept(key.fileobj)

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client left while it was waiting
        except OSError as error:
            log.error("cannot accept a connection: %s", error)
            time.sleep(_BREATH_SECONDS)
            return
        try:
            self._admit(sock)
        except (OSError, RuntimeError) as error:  # gone already, or no thread to be had
            log.warning("cannot serve a connection: %s", error)
            sock.close()

    def _admit(self, sock: socket.socket) -> None:
        if len(self._connections) >= self._limits.connections:  # only this thread adds any
            self._turn_away(sock)
            return
        sock.setblocking(True)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        tls = self._tls() if self._tls else None
        connection = Connection(sock, self._application, self._refusal, self._limits, self._watcher, tls)
        with self._changed:
            self._connections.add(connection)
        try:
            self._crew.hand(connection)
        except RuntimeError:
            self._forget(connection)
            raise

    def _serve_connection(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            connection.close()
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
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
