"""The person's terminal: its size, its raw mode, and the keys that mean "let go".

It knows file descriptors and bytes, nothing of containers.
"""

from __future__ import annotations

import os

from mini_docker.errors import Invalid

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"


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


def parse_detach_keys(text: str) -> bytes:
    """The bytes of a key sequence such as ``ctrl-p,ctrl-q`` or ``ctrl-a,d``.

    Raises:
        Invalid: a word is neither one character nor ``ctrl-`` with a letter or one of ``@[\\]^_``.
    """
    keys = bytearray()
    for word in text.split(","):
        if len(word) == 1 and word.isascii():
            keys += word.encode()
        elif word.startswith("ctrl-") and len(word) == 6 and "@" <= word[5].upper() <= "_":
            keys.append(ord(word[5].upper()) - ord("@"))
        else:
            raise Invalid(f"invalid detach keys ({text}): unknown character: '{word}'")
    return bytes(keys)


class DetachKeys:
    """Watches what is typed for the detach sequence; the keys of a sequence begun are held back.

    Args:
        keys: the sequence, at least one byte.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0
        self.detached = False

    def feed(self, data: bytes) -> bytes:
        """What of *data* (and of what was held back) may be sent on; sets ``detached`` when the sequence is whole.

        What is typed after the sequence goes nowhere: nobody is attached any more.
        """
        if self.detached:
            return b""
        out = bytearray()
        for position in range(len(data)):
            byte = data[position]
            if byte != self._keys[self._matched]:
                # Not the sequence after all. It may begin again with this very key.
                out += self._keys[: self._matched]
                self._matched = 0
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self.detached = True
                    break
            else:
                out.append(byte)
        return bytes(out)
