"""Conversations: the four ways in which a job's streams are tied to a client's connection.

A job knows a standard input and a standard output; here they become a document, a stream,
a stream of progress lines, or the raw connection. What the bytes mean is not known here.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable

from mini_docker.daemon.server.routes import Kind, Route
from mini_docker.daemon.server.statuses import COMMON_HEADERS, NO_SUCH_JOB, error_answer
from mini_docker.engine import Job, Status
from mini_docker.engine.job import JobState
from mini_docker.errors import CannotExecute, Invalid, MiniDockerError
from mini_docker.http.messages import Answer, Headers, Request
from mini_docker.http.raw import RawStream
from mini_docker.http.responder import Responder
from mini_docker.remote_api import encode_stream_error

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.003
"""Between the head of a hijacked connection and its first data: docker-py loses bytes that come in the same read."""

LINE_HEADER_LIMIT = 16 * 1024
"""Bytes that a job may write before the newline that ends its `Route.line_header`."""

HIJACK_BODY_LIMIT = 64 * 1024
"""Bytes of the JSON object that may come with a request for a connection."""


def converse(job: Job, route: Route, request: Request, responder: Responder) -> None:
    """Run *job* as the answer to *request*, in the way of the route's kind."""
    try:
        _CONVERSATIONS[route.kind](job, route, request, responder)
    finally:
        job.settle()


class GrowingAnswer:
    """A job's standard output as an answer that grows: a Writer for `Output.add`.

    The head is held back until the job writes or flushes, so that a job that fails before can
    still be answered with a status.
    """

    def __init__(self, job: Job, route: Route, responder: Responder) -> None:
        self._job = job
        self._route = route
        self._responder = responder
        self._line: bytes | None = b"" if route.line_header else None  # what there is of the header's line

    def write(self, data: bytes) -> None:
        """Send *data*, after the head if it was not sent."""
        if self._responder.started:
            self._responder.write(data)
        elif self._line is None:
            self._responder.start(self._route.status, _headers(self._route), data)
        else:
            self._gather_line(data)

    def flush(self) -> None:
        """Send the head now, if it was not sent: a client may wait for it before it goes on."""
        # A job that ended closes its output, and that flushes, too; but how it ended its runner will say.
        if self._job.state == JobState.RUNNING and not self._responder.started and self._line is None:
            self._responder.start(self._route.status, _headers(self._route))

    def finish(self) -> None:
        """The job ended well: say that the answer is whole."""
        if not self._responder.started:
            self._responder.start(self._route.status, _headers(self._route, self._line))
        self._responder.finish()

    def _gather_line(self, data: bytes) -> None:
        assert self._line is not None
        line, newline, rest = (self._line + data).partition(b"\n")
        self._line = line
        if newline:
            self._responder.start(self._route.status, _headers(self._route, line), rest)
        elif len(line) > LINE_HEADER_LIMIT:
            raise MiniDockerError(f"{self._job.name}: no newline in the first {LINE_HEADER_LIMIT} bytes of its output")


class Hijack:
    """A connection that a job takes over, both ways, at its first read, write or flush."""

    def __init__(self, job: Job, route: Route, responder: Responder) -> None:
        self._job = job
        self._route = route
        self._responder = responder
        self._lock = threading.Lock()
        self._raw: RawStream | None = None
        self._settled_at = 0.0

    def read(self, size: int = -1) -> bytes:
        """What the client sends: see `RawStream.read`."""
        return self._take().read(size)

    def write(self, data: bytes) -> None:
        """Send *data*: see `RawStream.write`."""
        raw = self._take()
        wait = self._settled_at - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        raw.write(data)

    def flush(self) -> None:
        """Answer the switch now, if it was not: the client goes on when it sees it."""
        if self._job.state == JobState.RUNNING:  # as in GrowingAnswer.flush
            self._take()

    def _take(self) -> RawStream:
        with self._lock:
            if self._raw is None:
                if self._job.state != JobState.RUNNING:
                    raise BrokenPipeError("the job that might have taken the connection over has ended")
                self._raw = self._responder.hijack(self._route.content_type, COMMON_HEADERS)
                self._settled_at = time.monotonic() + SETTLE_SECONDS
            return self._raw


def _document(job: Job, route: Route, request: Request, responder: Responder) -> None:
    buffer = job.stdout.add_buffer()
    job.stdin.set(request.body)
    with responder.on_hangup(job.cancel):
        ended_well = _run(job, responder)
    if ended_well:
        output = buffer.getvalue()
        line: bytes | None = None
        if route.line_header:
            line, _, output = output.partition(b"\n")
        body = b"" if route.status == 204 else output
        responder.answer(Answer(route.status, _headers(route, line, bears_type=bool(body)), body))


def _stream(job: Job, route: Route, request: Request, responder: Responder) -> None:
    answer = GrowingAnswer(job, route, responder)
    job.stdout.add(answer)
    job.stdin.set(request.body)
    with responder.on_hangup(job.cancel):
        ended_well = _run(job, responder, in_stream=route.kind is Kind.PROGRESS)
    if ended_well:
        answer.finish()


def _hijack(job: Job, route: Route, request: Request, responder: Responder) -> None:
    request.body.allow(HIJACK_BODY_LIMIT)
    try:
        for name, value in _decode_members(request.body.read()):
            job.env.setdefault(name, value)
    except MiniDockerError as error:
        responder.answer(error_answer(error))
        return
    responder.close_after()
    hijack = Hijack(job, route, responder)
    job.stdin.set(hijack)
    job.stdout.add(hijack)
    # The stock client ends its sending at once when it has nothing to send, and goes on listening.
    with responder.on_hangup(job.cancel, half_close=False):
        ended_well = _run(job, responder)
    if ended_well and not responder.started:
        if request.upgrade:
            responder.hijack(route.content_type, COMMON_HEADERS)
        else:  # exec -d: there is no conversation, only a success
            responder.answer(Answer(route.status, COMMON_HEADERS))


_CONVERSATIONS: dict[Kind, Callable[[Job, Route, Request, Responder], None]] = {
    Kind.DOCUMENT: _document,
    Kind.STREAM: _stream,
    Kind.PROGRESS: _stream,
    Kind.HIJACK: _hijack,
}


def _run(job: Job, responder: Responder, in_stream: bool = False) -> bool:
    """Run *job*, and answer its failure as far as the client can still be told.

    Args:
        in_stream: a failure after the head was sent is told in a last line of the stream.

    Returns:
        Whether it ended well. Otherwise the answer is given or, being cut off, speaks for itself.
    """
    try:
        job.run(settle=False)
        return True
    except Exception as error:
        if isinstance(error, OSError) and responder.started:
            log.debug("%s: its client went away: %s", job, error)
            return False
        if not isinstance(error, MiniDockerError):
            log.exception("%s failed by an error nobody foresaw", job)
        if not responder.started:
            responder.answer(error_answer(error, NO_SUCH_JOB if job.status is Status.NOT_FOUND else None))
        elif in_stream:
            code = error.exit_code if isinstance(error, CannotExecute) else 0
            responder.write(encode_stream_error(str(error) or type(error).__name__, code))
            responder.finish()
        else:
            log.info("%s failed in the middle of its answer: %s", job, error)
        return False


def _headers(route: Route, line: bytes | None = None, bears_type: bool = True) -> Headers:
    """A successful answer's headers; *line* is the value of the route's `line_header`."""
    headers = [*COMMON_HEADERS, *route.headers]
    if bears_type:
        headers.insert(0, ("Content-Type", route.content_type))
    if line is not None:
        headers.append((route.line_header, base64.b64encode(line).decode()))
    return headers


def _decode_members(body: bytes) -> list[tuple[str, str]]:
    """The members of the JSON object in *body*, as an environment's pairs; an empty body has none.

    Raises:
        Invalid: it is no JSON object.
    """
    try:
        members = json.loads(body or b"{}")
    except ValueError as error:
        raise Invalid(f"the request's body is not JSON: {error}") from None
    if members is None:
        return []
    if not isinstance(members, dict):
        raise Invalid("the request's body is not a JSON object")
    return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in members.items()]
