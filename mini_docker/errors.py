"""The error tree, by kind: what went wrong, told apart by type and never by text.

The server turns a kind into an HTTP status and the client turns it into an exit code; neither
is known here. Raise the kind that fits, with one sentence that names what was wrong and, where
it helps, what to do.
"""

from __future__ import annotations


class MiniDockerError(Exception):
    """The root of every error that mini_docker raises on purpose: the *internal* kind when bare."""


class NotFound(MiniDockerError):
    """What was named does not exist."""


class Invalid(MiniDockerError):
    """The request itself is wrong, whatever the state of the daemon."""


class Conflict(MiniDockerError):
    """The request is sound, but the present state forbids it (name in use, container running)."""


class NotModified(MiniDockerError):
    """The wished-for state holds already (start of a running container)."""


class Denied(MiniDockerError):
    """The caller may not do this."""


class Unauthorized(MiniDockerError):
    """The caller did not say, or wrongly said, who it is."""


class Unsupported(MiniDockerError):
    """This kernel, machine or driver cannot do it; the message says what is missing."""


class Unavailable(MiniDockerError):
    """It could work later: shutting down, too many connections, a peer that does not answer."""


class DeadlineExceeded(MiniDockerError):
    """Something did not happen within the time it was given."""


class Cancelled(MiniDockerError):
    """Whoever asked for the work went away before it was done."""


class CannotExecute(Invalid):
    """A container's command cannot be executed.

    Args:
        message: the sentence for the user.
        exit_code: what a shell would exit with: 127 not found, 126 found but not executable.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


ERRORS_BY_NAME: dict[str, type[MiniDockerError]] = {
    cls.__name__: cls
    for cls in (
        MiniDockerError, NotFound, Invalid, Conflict, NotModified, Denied, Unauthorized,
        Unsupported, Unavailable, DeadlineExceeded, Cancelled,
    )
}  # fmt: skip
"""For errors that cross a process border, such as supervisor to daemon, as a name and a sentence."""


def error_of_kind(kind: str, message: str) -> MiniDockerError:
    """The error that crossed a process border: *kind* is its class's name; one that nobody knows is a plain one."""
    return ERRORS_BY_NAME.get(kind, MiniDockerError)(message)
