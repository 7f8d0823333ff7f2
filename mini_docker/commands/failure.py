"""How a command ends badly: with which words on standard error, and which exit code. No I/O but those words."""

from __future__ import annotations

import sys

from mini_docker.errors import MiniDockerError
from mini_docker.http.client import ErrorResponse

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class CommandFailed(MiniDockerError):
    """A command ends with an exit code of its own choice.

    Args:
        message: for standard error; nothing is printed when it is empty.
        exit_code: of the process; 0 leaves it to the command's custom (1, or 125 for run).
    """

    def __init__(self, message: str, exit_code: int = 0) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def error_text(error: Exception) -> str:
    """The sentence for a person; what the daemon said is marked as its word."""
    return f"Error response from daemon: {error}" if isinstance(error, ErrorResponse) else str(error)


def for_each(names: Iterable[str], act: Callable[[str], None]) -> int:
    """Call ``act(name)`` for each name, saying each failure and going on; 1 if any failed, else 0."""
    status = 0
    for name in names:
        try:
            act(name)
        except ErrorResponse as error:
            sys.stdout.flush()
            print(error_text(error), file=sys.stderr)
            status = 1
    return status
