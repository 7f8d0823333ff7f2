"""The body of a request, read as it comes: never more of it in memory than one piece."""

from __future__ import annotations

import threading

import h11

from mini_docker.http.errors import HangUp, RequestRefused, TooSlow
from mini_docker.http.limits import Limits
from mini_docker.http.wire import RECEIVE_BYTES, Wire


class Body:
    """A Reader of one request's body.

    Args:
        wire: where it comes from.
        limits: how large it may be and how long it may pause.
        announced: the Content-Length; None when the body is chunked or absent.
    """

    def __init__(self, wire: Wire, limits: Limits, announced: int | None) -> None:
        self._wire = wire
        self._stall_seconds = limits.body_stall_seconds
        self._limit: int | None = limits.body_bytes
        self._announced = announced
        self._lock = threading.Lock()
        self._piece = b""
        self._received = 0
        self._ended = False

    def allow(self, limit: int | None) -> None:
        """Let the body have up to *limit* bytes instead of the server's limit; None: any number."""
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        """At most *size* bytes as soon as there are some (all that is left when negative); empty at the end.

        Raises:
            RequestRefused: 413 it is too large, 408 it stalled, 400 its chunks are malformed.
            HangUp: the client closed before the body was whole.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(RECEIVE_BYTES), b""))
        with self._lock:
            return self._read(size)

    def drain(self, limit: int, seconds: float) -> bool:
        """Throw away what nobody read, if it is at most *limit* bytes and pauses no longer than *seconds*.

        Returns:
            Whether the body is at its end now, so that another request may follow it.
        """
        # A thread that the application forgot may still be reading: then this body has no end for us.
        if not self._lock.acquire(blocking=False):
            return False
        self._stall_seconds = seconds
        try:
            while not self._ended and limit > 0 and not self._wire.awaits_continue:
                limit -= len(self._read(RECEIVE_BYTES))
            return self._ended
        except (RequestRefused, HangUp):
            return False
        finally:
            self._lock.release()

    def _read(self, size: int) -> bytes:
        if not self._piece and not self._ended:
            self._piece = self._next_piece()
        data, self._piece = self._piece[:size], self._piece[size:]
        return data

    def _next_piece(self) -> bytes:
        self._check_size(self._announced or 0)
        if self._wire.awaits_continue and self._wire.can_answer:
            self._wire.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
        while True:
            event = self._wire.poll()
            if isinstance(event, h11.Data):
                self._received += len(event.data)
                self._check_size(self._received)
                return bytes(event.data)
            if event is not h11.NEED_DATA:
                self._ended = True
                return b""
            try:
                self._wire.fill(self._stall_seconds)
            except TooSlow:
                raise RequestRefused(
                    408, f"the request's body stalled for more than {self._stall_seconds:g} seconds"
                ) from None

    def _check_size(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise RequestRefused(413, f"the request's body is too large: the limit here is {self._limit} bytes")
