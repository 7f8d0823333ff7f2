"""The responder: how an application answers one request, in one of three ways.

A whole answer (`answer`), one that grows (`start`, `write` or `write_file`, `finish`), or none in HTTP at all: the
connection is handed over raw (`hijack`). It knows HTTP's framing and nothing of the words in it.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import h11

from mini_docker.http.hangup import HangupWatcher
from mini_docker.http.messages import REASONS, Answer, Headers, Request
from mini_docker.http.raw import RawStream
from mini_docker.http.wire import Wire

_BODILESS = frozenset({204, 304})

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@functools.lru_cache(1)
def http_date(seconds: int) -> str:
    """A time as HTTP writes it (RFC 9110, section 5.6.7), whatever language this machine speaks.

    ``email.utils`` would write it, too, and every daemon would hold 0.3 MB of mail for that.

    Args:
        seconds: since the epoch.
    """
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"


class Responder:
    """The one answer to one request. Its methods may be called from several threads, one at a time.

    Args:
        wire: where the answer goes.
        request: what is answered.
        watcher: notices that the client hung up.
        last: the connection shall be closed after this answer.
    """

    def __init__(self, wire: Wire, request: Request, watcher: HangupWatcher, last: bool) -> None:
        self._wire = wire
        self._request = request
        self._watcher = watcher
        self._last = last
        self._lock = threading.Lock()
        self._status = 0
        self._started = False
        self._finished = False
        self._hijacked = False

    @property
    def status(self) -> int:
        """The status that was sent; 0 as long as none was."""
        return self._status

    @property
    def started(self) -> bool:
        """Whether a part of the answer was sent, so that no other answer can be given."""
        return self._started

    @property
    def finished(self) -> bool:
        """Whether the whole answer was sent."""
        return self._finished

    @property
    def hijacked(self) -> bool:
        """Whether the connection was handed over raw."""
        return self._hijacked

    def close_after(self) -> None:
        """Let this answer be the connection's last; to be called before the answer starts."""
        self._last = True

    def on_hangup(self, callback: Callable[[], None], half_close: bool = True) -> AbstractContextManager[None]:
        """While the block runs, call *callback* when the client goes away: see `HangupWatcher.watching`."""
        return self._watcher.watching(self._wire.fileno(), callback, half_close)

    def answer(self, answer: Answer) -> None:
        """Send a whole answer in one piece.

        Raises:
            ValueError: an answer was begun already.
            OSError: the client is gone.
        """
        self._begin()
        headers = list(answer.headers)
        if answer.status not in _BODILESS:
            headers.append(("Content-Length", str(len(answer.body))))
        head = self._head(answer.status, headers)
        if answer.body and self._bears_body(answer.status):
            self._wire.send(head, h11.Data(data=answer.body), h11.EndOfMessage())
        else:
            self._wire.send(head, h11.EndOfMessage())
        self._finished = True

    def start(self, status: int, headers: Headers, first: bytes = b"") -> None:
        """Send the head of an answer that grows, with its first bytes if there are some already.

        Without a Content-Length among the *headers* the body is sent in chunks (to an HTTP/1.0 client:
        until the connection closes).

        Raises:
            ValueError: an answer was begun already.
            OSError: the client is gone.
        """
        self._begin()
        head = self._head(status, headers)
        if first and self._bears_body(status):
            self._wire.send(head, h11.Data(data=first))
        else:
            self._wire.send(head)

    def write(self, data: bytes) -> None:
        """Send more of the body; each piece leaves at once.

        Raises:
            OSError: the client is gone.
        """
        if data and self._request.method != "HEAD":
            self._wire.send(h11.Data(data=data))

    def write_file(self, descriptor: int, offset: int, count: int) -> None:
        """Send *count* bytes of the file *descriptor* from *offset* on, as more of the body: see `Wire.send_file`.

        Raises:
            OSError: the client is gone, or the file ends early.
        """
        if count and self._request.method != "HEAD":
            self._wire.send_file(descriptor, offset, count)

    def finish(self) -> None:
        """Say that the answer is whole. An answer left without it is cut off, and the client can tell.

        Raises:
            OSError: the client is gone.
        """
        self._wire.send(h11.EndOfMessage())
        self._finished = True

    def hijack(self, content_type: str, headers: Headers = ()) -> RawStream:
        """Leave HTTP: answer 101 if the client offered an upgrade, else a bare 200, and hand over the connection.

        Whatever is left of the request's body must have been read before.

        Raises:
            ValueError: an answer was begun already.
            OSError: the client is gone.
        """
        self._begin()
        fields = [("Content-Type", content_type), *headers]
        protocol = self._request.upgrade
        if protocol:
            fields += [("Connection", "Upgrade"), ("Upgrade", protocol)]
            self._wire.send(h11.InformationalResponse(status_code=101, headers=fields, reason=b"UPGRADED"))
        else:
            # Past h11, which would have to chunk a body that has no length.
            lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in fields), "", ""]
            self._wire.send_raw("\r\n".join(lines).encode("latin-1"))
        self._hijacked = True
        return RawStream(self._wire, self._wire.take_leftover())

    def _begin(self) -> None:
        with self._lock:
            if self._started:
                raise ValueError("this request has been answered already")
            self._started = True

    def _bears_body(self, status: int) -> bool:
        return status not in _BODILESS and self._request.method != "HEAD"

    def _head(self, status: int, headers: Headers) -> h11.Response:
        self._status = status
        fields = [*headers, ("Date", http_date(int(time.time())))]
        if self._last:
            fields.append(("Connection", "close"))
        return _response(status, tuple(fields))


@functools.lru_cache(16)
def _response(status: int, fields: tuple[tuple[str, str], ...]) -> h11.Response:
    """A head, which h11 checks field by field, and which most answers of the same second have in common."""
    return h11.Response(status_code=status, headers=list(fields), reason=REASONS.get(status, b""))
