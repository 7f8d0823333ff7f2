"""The person's terminal: its size and its raw mode.

It knows file descriptors and bytes, nothing of containers.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from types import TracebackType


def size(descriptor: int) -> tuple[int, int] | None:
    """(rows, columns) of the terminal at *descriptor*; None when it is none, or has no size yet."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


class RawMode:
    """While the block runs, keys go through unread: no echo, no line editing, Ctrl-C is a byte (termios(3)).

    The terminal's settings are put back on every way out.

    Args:
        descriptor: the terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        import termios
        import tty

        self._before = termios.tcgetattr(self._descriptor)
        tty.setraw(self._descriptor, termios.TCSADRAIN)  # not FLUSH: what was typed ahead is meant

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import termios

        # TCSADRAIN, not FLUSH: what was typed ahead belongs to the shell.
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
