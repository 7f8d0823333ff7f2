"""From kinds of errors to HTTP statuses: the one table, and the one form of an error's answer.

It decides by type, never by an error's text. Source: the error kinds and statuses of Docker's
Engine API; DeadlineExceeded, a plain 500 there, has its own here so that our client can tell it.
"""

from __future__ import annotations

import json

from mini_docker import VERSION
from mini_docker.daemon.server.router import MethodNotAllowed
from mini_docker.daemon.server.routes import JSON
from mini_docker.errors import (
    Cancelled,
    CannotExecute,
    Conflict,
    DeadlineExceeded,
    Denied,
    Invalid,
    MiniDockerError,
    NotFound,
    NotModified,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from mini_docker.http.errors import RequestRefused
from mini_docker.http.messages import Answer
from mini_docker.remote_api import API_VERSION

STATUS_BY_KIND: dict[type[MiniDockerError], int] = {
    NotModified: 304,
    Invalid: 400,
    Unauthorized: 401,
    Denied: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    Conflict: 409,
    MiniDockerError: 500,
    Unsupported: 501,
    Unavailable: 503,
    Cancelled: 503,  # its client went away and reads no answer, unless the daemon itself was who cancelled
    DeadlineExceeded: 504,
}

NO_SUCH_JOB = 501

COMMON_HEADERS = (
    ("Api-Version", API_VERSION),
    ("Docker-Experimental", "false"),
    ("Ostype", "linux"),
    ("Server", f"mini-docker/{VERSION} (linux)"),
)
"""On every answer: clients read what the server is from whichever one they get."""


def status_of(error: Exception) -> int:
    """The status of the most special kind in the table that *error* is of; 500 for a bug of ours."""
    if isinstance(error, RequestRefused):
        return error.status
    for kind in type(error).__mro__:
        if kind in STATUS_BY_KIND:
            return STATUS_BY_KIND[kind]
    return 500


def error_answer(error: Exception, status: int | None = None) -> Answer:
    """The answer to a request that failed.

    Args:
        error: its text is what the user reads.
        status: if it does not follow from the error's kind.
    """
    status = status or status_of(error)
    if status == 304:
        return Answer(status, COMMON_HEADERS)
    fields: dict[str, object] = {"message": str(error) or type(error).__name__}
    if isinstance(error, CannotExecute):
        fields["exit_code"] = error.exit_code  # ours: Docker's client finds it in the sentence
    headers = [("Content-Type", JSON), *COMMON_HEADERS]
    if isinstance(error, MethodNotAllowed):
        headers.append(("Allow", ", ".join(error.allowed)))
    return Answer(status, headers, json.dumps(fields).encode() + b"\n")


def refusal(status: int, message: str) -> Answer:
    """`error_answer` for what is refused before it is a request: see `mini_docker.http.connection.Refusal`."""
    return error_answer(RequestRefused(status, message))
