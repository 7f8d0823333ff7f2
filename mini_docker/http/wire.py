"""The Wire: one socket and the h11 state machine that reads and writes HTTP/1.1 on it.

h11 does no I/O and this module does nothing but: it knows no routes, no limits of its own, and not
what the messages are for. Sending and receiving may happen in two threads at once: an answer may
flow out while the request's body still flows in.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias, cast

import h11

from mini_docker.http.errors import HangUp, RequestRefused, TooSlow

if TYPE_CHECKING:
    from mini_docker.http.tls import TlsSession  # OpenSSL is not for those who never speak TLS

RECEIVE_BYTES = 64 * 1024
_SEAL_BYTES = 256 * 1024

Event: TypeAlias = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]

_TIMEVAL = struct.Struct("ll")


class _FileBody:
    """Stands for *count* bytes of a file where h11 expects the bytes themselves."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


class Wire:
    """A server's end of one connection.

    *receiving* and *sending* are held during the system call, so that `close` can wait until nobody uses
    the descriptor any more, whose number the next connection will get. Inside them, for moments only:
    *machine* (h11 is not thread-safe) and *closing* (a shutdown must not hit the number's next owner).

    Args:
        sock: a connected stream socket in blocking mode; the wire owns it from now on.
        header_bytes: more than this without an end is not a header.
        tls: what everything is wrapped in; None for nothing.
    """

    def __init__(self, sock: socket.socket, header_bytes: int, tls: TlsSession | None = None) -> None:
        self._socket = sock
        self._tls = tls
        self._machine = h11.Connection(h11.SERVER, max_incomplete_event_size=header_bytes)
        self._receiving = threading.Lock()
        self._sending = threading.Lock()
        self._machine_lock = threading.Lock()
        self._closing = threading.Lock()
        self._timeout: float | None = None
        self._ended = False  # the peer will send no more
        self._closed = False

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    @property
    def reusable(self) -> bool:
        """Whether both sides have finished this request and agree to have another."""
        return self._machine.our_state is h11.DONE and self._machine.their_state is h11.DONE

    @property
    def can_answer(self) -> bool:
        """Whether HTTP still allows an answer to be begun here."""
        return self._machine.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    @property
    def awaits_continue(self) -> bool:
        """Whether the client holds its body back until it is told to send it (Expect: 100-continue)."""
        return self._machine.they_are_waiting_for_100_continue

    @property
    def holds_bytes(self) -> bool:
        """Whether bytes were received that no event has used up."""
        return bool(self._machine.trailing_data[0])

    def shake_hands(self, seconds: float) -> None:
        """Agree with the peer on TLS, if this wire has any, before anything else is said.

        Raises:
            TooSlow: they did not within *seconds*.
            OSError: there is no agreement (`ssl.SSLError`), or the peer is gone. The wire has no TLS any more.
        """
        tls = self._tls
        if tls is None:
            return
        deadline = time.monotonic() + seconds
        self._tls = None  # until there is agreement, everything goes past it
        try:
            while not tls.shake_hands():
                self.send_raw(tls.answer())
                tls.feed(self.receive(RECEIVE_BYTES, max(0.0, deadline - time.monotonic())))
        finally:
            self.send_raw(tls.answer())  # the last word: that ours is done, or why there is no agreement
        self._tls = tls

    def next_cycle(self) -> None:
        """Make ready for the next request on this connection."""
        self._machine.start_next_cycle()

    def poll(self) -> Event:
        """The next event among the bytes that are here; NEED_DATA asks for `fill`.

        Raises:
            RequestRefused: what came is not HTTP, or a header grew beyond its limit.
            HangUp: the peer ended in the middle of a message.
        """
        with self._machine_lock:
            try:
                return self._machine.next_event()
            except h11.RemoteProtocolError as error:
                if self._ended:
                    raise HangUp("the client hung up in the middle of its request") from None
                raise RequestRefused(error.error_status_hint, f"bad request: {error}") from None

    def fill(self, seconds: float) -> None:
        """Wait for bytes and give them to the state machine; the peer's end is news, too.

        Raises:
            TooSlow: none came within *seconds*.
        """
        data = self.receive(RECEIVE_BYTES, seconds)
        with self._machine_lock:
            self._ended = self._ended or not data
            self._machine.receive_data(data)

    def receive(self, size: int, seconds: float | None) -> bytes:
        """At most *size* bytes as they come, past the state machine; empty when the peer ended.

        Raises:
            TooSlow: none came within *seconds* (None waits for ever).
        """
        if not self._receiving.acquire(timeout=-1 if seconds is None else seconds):
            raise TooSlow("another thread still waits for what this client sends")
        try:
            if self._closed:
                return b""
            return self._open(size, seconds) if self._tls else self._receive(size, seconds)
        except BlockingIOError:
            raise TooSlow("the client sent nothing for too long") from None
        except ConnectionError:
            return b""
        finally:
            self._receiving.release()

    def send(self, *events: h11.Event) -> None:
        """Send *events* in one piece.

        Raises:
            OSError: the peer is gone.
        """
        with self._sending:
            with self._machine_lock:
                data = b"".join(self._machine.send(event) or b"" for event in events)
            self._transmit(data)

    def send_file(self, descriptor: int, offset: int, count: int) -> None:
        """Send *count* bytes of the file *descriptor* from *offset* on, as more of a body.

        The kernel moves them: they never pass through Python (sendfile(2)). TLS alone must see them.

        Raises:
            OSError: the peer is gone, or the file ends early.
        """
        with self._sending:
            with self._machine_lock:
                # h11 frames a body whose bytes it does not see: it asks for their number only, and hands them back.
                framed = self._machine.send_with_data_passthrough(h11.Data(data=cast(bytes, _FileBody(count)))) or []
            for piece in framed:
                if isinstance(piece, _FileBody):
                    self._transmit_file(descriptor, offset, count)
                else:
                    self._transmit(piece)

    def send_raw(self, data: bytes) -> None:
        """Send *data* past the state machine.

        Raises:
            OSError: the peer is gone.
        """
        with self._sending:
            self._transmit(data)

    def take_leftover(self) -> bytes:
        """The bytes that were received but belong to no request; whoever goes on raw reads them first."""
        return self._machine.trailing_data[0]

    def end_sending(self) -> None:
        """Tell the peer that no more will come; receiving goes on."""
        with self._sending, suppress(OSError):
            if self._tls is not None and not self._closed:
                self._socket.sendall(self._tls.farewell())
        self._shutdown(socket.SHUT_WR)

    def end_receiving(self) -> None:
        """See no more of what the peer sends; a reader who waits wakes up at the end."""
        self._shutdown(socket.SHUT_RD)

    def end(self) -> None:
        """End both directions: whoever waits in this wire wakes up. The descriptor stays."""
        self._shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """`end`, then give the descriptor back once no thread is inside a system call on it."""
        self.end()
        with self._receiving, self._sending, self._closing:
            self._closed = True
            self._socket.close()

    def _receive(self, size: int, seconds: float | None) -> bytes:
        self._limit_receiving(seconds)
        return self._socket.recv(size)

    def _open(self, size: int, seconds: float | None) -> bytes:
        """`_receive` until there is a whole record to be opened. A trickle of bytes does not move the deadline."""
        assert self._tls is not None
        deadline = None if seconds is None else time.monotonic() + seconds
        while (plain := self._tls.read(size)) is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._tls.feed(self._receive(RECEIVE_BYTES, left))
        return plain

    def _limit_receiving(self, seconds: float | None) -> None:
        """Set SO_RCVTIMEO (socket(7)): unlike `settimeout` it leaves the sending direction alone."""
        if seconds != self._timeout:
            # The kernel reads zero as "for ever": a deadline that has passed is a microsecond from now.
            micros = 0 if seconds is None else max(1, int(seconds * 1_000_000))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(*divmod(micros, 1_000_000)))
            self._timeout = seconds

    def _transmit(self, data: bytes) -> None:
        if self._closed:
            raise BrokenPipeError("the connection is closed")
        self._socket.sendall(self._tls.seal(data) if self._tls else data)

    def _transmit_file(self, descriptor: int, offset: int, count: int) -> None:
        if self._closed:
            raise BrokenPipeError("the connection is closed")
        end = offset + count
        while offset < end:
            if self._tls is None:
                sent = os.sendfile(self._socket.fileno(), descriptor, offset, end - offset)
            else:
                piece = os.pread(descriptor, min(_SEAL_BYTES, end - offset), offset)
                self._socket.sendall(self._tls.seal(piece))
                sent = len(piece)
            if not sent:
                raise OSError("the file is shorter than was announced")
            offset += sent

    def _shutdown(self, direction: int) -> None:
        with self._closing:
            if self._closed:
                return
            try:
                self._socket.shutdown(direction)
            except OSError:
                pass  # the peer was faster: it has ended, which was the wish
