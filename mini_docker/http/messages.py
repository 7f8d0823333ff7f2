"""A request and an answer as values, decoded once at the border. No sockets here."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from mini_docker.dataclasses import dataclass, field
from mini_docker.http.body import Body
from mini_docker.http.errors import RequestRefused

Headers = Sequence[tuple[str, str]]

MAX_QUERY_PARAMETERS = 1000

REASONS = {int(status): status.phrase.encode() for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for.

    Attributes:
        method: in capitals, as sent.
        path: decoded, beginning with a slash.
        query: the decoded parameters in their order, repeated ones included.
        headers: (name in small letters, value), as h11 gives them.
        body: reads the body as it comes.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Sequence[tuple[bytes, bytes]]
    body: Body

    def header(self, name: str, default: str = "") -> str:
        """The value of the header *name* (any case), or *default* when it was not sent."""
        wanted = name.lower().encode()
        for key, value in self.headers:
            if key == wanted:
                return value.decode("latin-1")
        return default

    @property
    def upgrade(self) -> str:
        """The protocol that the client offers to change to (RFC 9110, 7.8); empty when it offers none."""
        connection = self.header("connection").lower().split(",")
        return self.header("upgrade") if "upgrade" in (word.strip() for word in connection) else ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer.

    Attributes:
        status: an HTTP status of 200 or more.
        headers: without Content-Length, which follows from the body.
        body: empty for statuses that have none.
    """

    status: int
    headers: Headers = field(default=())
    body: bytes = b""


def decode_request(head: h11.Request, body: Body) -> Request:
    """The request that *head* announces.

    Raises:
        RequestRefused: 400, the target is not a path with an optional query, in percent-coded UTF-8;
            505, another HTTP.
    """
    if not head.http_version.startswith(b"1."):
        raise RequestRefused(505, f"HTTP/{head.http_version.decode()} is not spoken here: use HTTP/1.1")
    target = head.target.decode("ascii")
    if not target.startswith("/"):  # the absolute form, for proxies (RFC 9112, 3.2.2)
        parts = urlsplit(target)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    path, _, query = target.partition("?")
    try:
        decoded = unquote(path, errors="strict") if "%" in path else path
        pairs = (
            parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_PARAMETERS)
            if query
            else ()
        )
    except ValueError as error:
        raise RequestRefused(400, f"bad request: the target cannot be decoded: {error}") from None
    if "\0" in decoded or any("\0" in name or "\0" in value for name, value in pairs):
        raise RequestRefused(400, "bad request: a NUL byte in the target")
    return Request(head.method.decode("ascii"), decoded, tuple(pairs), head.headers, body)


def plain_refusal(status: int, message: str) -> Answer:
    """What a client is told when its request is refused before any application saw it."""
    return Answer(status, (("Content-Type", "text/plain; charset=utf-8"),), message.encode() + b"\n")
