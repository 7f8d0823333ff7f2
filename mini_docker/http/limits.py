"""Limits: how much of the server's time and memory one client may take. A value, no logic."""

from __future__ import annotations

from mini_docker.dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server grants its clients.

    There is no limit on how slowly a client may *read* an answer: `logs -f | less` may pause for
    hours, and costs one sleeping thread. TCP keepalive finds the peers that died silently.

    Attributes:
        connections: how many at once; the next one gets a 503 and is closed.
        header_seconds: from a header's first byte (on a new connection: from its start) to its end.
        header_bytes: of request line and header fields together.
        idle_seconds: how long a connection may be kept open between two requests.
        body_bytes: of a request's body, unless the application allows more.
        body_stall_seconds: how long a body may pause. It is long, for a body may be a pipe of the user's.
        drain_bytes: of a body that nobody read, to be read and thrown away so that the connection
            can serve the next request; with more left the connection is closed instead.
        linger_seconds: how long to wait, after the last answer, for the client to close first: closing
            with unread bytes would reset the connection, and the client might lose the answer.
    """

    connections: int = 512
    header_seconds: float = 10.0
    header_bytes: int = 64 * 1024
    idle_seconds: float = 60.0
    body_bytes: int = 4 * 1024 * 1024
    body_stall_seconds: float = 300.0
    drain_bytes: int = 256 * 1024
    linger_seconds: float = 1.0
