"""A connection: requests come in one after another, and each is answered before the next is read.

It is the loop of one thread over one `Wire`. It knows HTTP and its own limits; what a request
asks for is the application's business.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import h11

from mini_docker.http.body import Body
from mini_docker.http.errors import HangUp, RequestRefused, TooSlow
from mini_docker.http.hangup import HangupWatcher
from mini_docker.http.limits import Limits
from mini_docker.http.messages import REASONS, Answer, Request, decode_request
from mini_docker.http.responder import Responder
from mini_docker.http.wire import RECEIVE_BYTES, Wire

if TYPE_CHECKING:
    from mini_docker.http.tls import TlsSession

log = logging.getLogger(__name__)

Application = Callable[[Request, Responder], None]
"""What answers requests. It answers its errors itself: one that it lets out closes the connection."""

Refusal = Callable[[int, str], Answer]
"""How a server words its refusals: from a status and a sentence to an answer."""


class Connection:
    """One client's connection, from its acceptance to its end.

    Args:
        sock: the accepted socket.
        application: answers the requests.
        refusal: words the answers to what is not even a request.
        limits: what the client may take.
        watcher: notices hang-ups while the application works.
        tls: what everything is wrapped in; None for nothing.
    """

    def __init__(
        self,
        sock: socket.socket,
        application: Application,
        refusal: Refusal,
        limits: Limits,
        watcher: HangupWatcher,
        tls: TlsSession | None = None,
    ) -> None:
        self._wire = Wire(sock, limits.header_bytes, tls)
        self._application = application
        self._refusal = refusal
        self._limits = limits
        self._watcher = watcher
        self._busy = False
        self._stopping = False

    def serve(self) -> None:
        """Answer requests until either side has had enough; `close` remains to be called."""
        seconds = self._limits.header_seconds
        try:
            if not self._shake_hands(seconds):
                return
            while self._serve_one(seconds):
                seconds = self._limits.idle_seconds
        except HangUp as error:
            log.debug("%s", error)
        except OSError as error:
            log.debug("a client went away: %s", error)

    def stop(self) -> None:
        """Take no more requests: end now if idle, else after the present answer. Any thread may ask this."""
        self._stopping = True
        if not self._busy:
            self._wire.end_receiving()

    def end(self) -> None:
        """End both directions now, whatever is going on; the serving thread finds out. Any thread may ask this."""
        self._wire.end()

    def close(self) -> None:
        """Give the socket back. The serving thread calls this last."""
        self._wire.close()

    def _shake_hands(self, seconds: float) -> bool:
        """Agree on TLS, if there is to be any; return whether a request may follow."""
        try:
            self._wire.shake_hands(seconds)
        except TooSlow:
            return False
        except OSError as error:
            log.info("a client and this server do not agree on TLS: %s", error)
            self._linger()
            return False
        return True

    def _serve_one(self, idle_seconds: float) -> bool:
        """Read a request and have it answered.

        Returns:
            Whether another request may follow.
        """
        try:
            head = self._read_head(idle_seconds)
            if head is None:
                return False
            body = Body(self._wire, self._limits, _content_length(head))
            request = decode_request(head, body)
        except RequestRefused as refused:
            self._refuse(refused)
            return False
        self._busy = True
        responder = Responder(self._wire, request, self._watcher, last=self._stopping)
        try:
            self._application(request, responder)
        except (OSError, HangUp):
            raise  # the client went away: nobody is left to be served
        except Exception:
            log.exception("%s %s: the application failed", request.method, request.path)
            return False
        return self._conclude(responder, body)

    def _conclude(self, responder: Responder, body: Body) -> bool:
        """Bring the exchange to its end, in order; return whether another request may follow."""
        if responder.hijacked:
            self._linger()
            return False
        if not responder.finished:
            return False  # cut off, so that half an answer does not look whole
        drained = body.drain(self._limits.drain_bytes, self._limits.linger_seconds)
        if not (drained and self._wire.reusable) or self._stopping:
            self._linger()
            return False
        self._wire.next_cycle()
        self._busy = False
        return not self._stopping  # asked again: a `stop` that came just now saw a busy connection

    def _read_head(self, idle_seconds: float) -> h11.Request | None:
        """The next request's head; None when the client closed, or sent nothing at all for too long.

        Raises:
            RequestRefused: what came is no request, or did not come whole in time.
        """
        started = self._wire.holds_bytes  # the beginning of a pipelined request may be here already
        deadline = time.monotonic() + (self._limits.header_seconds if started else idle_seconds)
        while True:
            event = self._wire.poll()
            if isinstance(event, h11.Request):
                return event
            if event is not h11.NEED_DATA:
                return None
            try:
                self._wire.fill(max(0.0, deadline - time.monotonic()))
            except TooSlow:
                if not started:
                    return None
                raise RequestRefused(
                    408, f"the request's header was not whole after {self._limits.header_seconds:g} seconds"
                ) from None
            if not started:
                started = True
                deadline = min(deadline, time.monotonic() + self._limits.header_seconds)

    def _refuse(self, refused: RequestRefused) -> None:
        """Answer what is no request, as far as HTTP still allows it, and let the client read that."""
        if not self._wire.can_answer:
            return
        answer = self._refusal(refused.status, str(refused))
        length = ("Content-Length", str(len(answer.body)))
        headers = [*answer.headers, length, ("Connection", "close")]
        reason = REASONS.get(answer.status, b"")
        response = h11.Response(status_code=answer.status, headers=headers, reason=reason)
        self._wire.send(response, h11.Data(data=answer.body), h11.EndOfMessage())
        self._linger()

    def _linger(self) -> None:
        """Let the client read the last answer and close first: see `Limits.linger_seconds`."""
        self._wire.end_sending()
        deadline = time.monotonic() + self._limits.linger_seconds
        try:
            while (left := deadline - time.monotonic()) > 0 and self._wire.receive(RECEIVE_BYTES, left):
                pass
        except TooSlow:
            pass  # it had its time


def _content_length(head: h11.Request) -> int | None:
    """The announced length; h11 has made sure that it is a number."""
    for name, value in head.headers:
        if name == b"content-length":
            return int(value)
    return None
