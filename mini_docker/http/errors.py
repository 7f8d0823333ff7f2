"""What can be wrong with a conversation in HTTP itself, before anybody asks what it is about.

They are kinds of `mini_docker.errors`, so that those who know no HTTP handle them as any other.
"""

from __future__ import annotations

from mini_docker.errors import Cancelled, DeadlineExceeded, Invalid


class RequestRefused(Invalid):
    """A request that this server does not accept, whatever it asks for.

    Args:
        status: the HTTP status that says why: 400 malformed, 408 too slow, 413 body too large,
            431 header too large, 505 another version of HTTP.
        message: the sentence for the client.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HangUp(Cancelled):
    """The peer closed the connection in the middle of a message."""


class TooSlow(DeadlineExceeded):
    """The peer sent nothing for longer than it may."""
