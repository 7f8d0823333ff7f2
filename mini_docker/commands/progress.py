"""The progress of a pull, push, load or import, drawn: a line a layer, redrawn in place on a terminal.

It knows the lines of a progress stream and a place to write, nothing of images.
Source: the form of Docker's client (moby, ``pkg/jsonmessage``).
"""

from __future__ import annotations

import os

from mini_docker.commands.failure import CommandFailed
from mini_docker.units import human_size

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TextIO

BAR_WIDTH = 50
WIDE_TERMINAL = 110
"""Columns below which only the numbers are shown."""


def bar(current: int, total: int, columns: int) -> str:
    """``[=====>     ]  12.3MB/45.6MB``; no total, no bar.

    Args:
        current, total: bytes.
        columns: of the terminal.
    """
    if current <= 0 and total <= 0:
        return ""
    if total <= 0 or current > total:
        return f"{human_size(current, 4):>8}"
    done = min(BAR_WIDTH, current * BAR_WIDTH // total)
    box = f"[{'=' * done}>{' ' * (BAR_WIDTH - done)}] " if columns > WIDE_TERMINAL else ""
    return f"{box}{human_size(current, 4):>8}/{human_size(total, 4)}"


class ProgressDisplay:
    """Shows lines of a progress stream.

    Args:
        out: where to.
        columns: the terminal's width; 0 when *out* is none: then bars are left out, and each status is a line.
    """

    def __init__(self, out: TextIO, columns: int) -> None:
        self._out = out
        self._columns = columns
        self._rows: dict[str, int] = {}  # on which row, counted from the first, a layer's line stands
        self._below = 0  # rows drawn since the first

    def show(self, line: dict[str, Any]) -> None:
        """Draw one line of the stream."""
        identifier = line.get("id", "")
        detail = line.get("progressDetail") or {}
        current, total = detail.get("current") or 0, detail.get("total") or 0
        if not self._columns:
            if not (current or total):
                self._out.write(self._words(line))
        elif identifier and "progressDetail" in line:
            self._redraw(identifier, line, current, total)
        else:
            self._rows.clear()
            self._below = 0
            self._out.write(self._words(line))
        self._out.flush()

    @staticmethod
    def _words(line: dict[str, Any]) -> str:
        if "stream" in line:
            return str(line["stream"])
        status = line.get("status", "")
        if not status:
            return ""
        return f"{line['id']}: {status}\n" if line.get("id") else f"{status}\n"

    def _redraw(self, identifier: str, line: dict[str, Any], current: int, total: int) -> None:
        """Go up to the layer's row, write it anew, and come back down (ECMA-48: CUU, EL, CUD)."""
        if identifier not in self._rows:
            self._rows[identifier] = self._below
            self._below += 1
            self._out.write("\n")
        up = self._below - self._rows[identifier]
        text = f"{identifier}: {line.get('status', '')} {bar(current, total, self._columns)}".rstrip()
        self._out.write(f"\x1b[{up}A\x1b[2K\r{text[: self._columns]}\x1b[{up}B\r")


def show_progress(lines: Iterable[dict[str, Any]], out: TextIO, quiet: bool = False) -> list[dict[str, Any]]:
    """Draw a whole progress stream.

    Args:
        quiet: draw nothing.

    Returns:
        The ``aux`` objects in it.

    Raises:
        CommandFailed: the stream ends in an error.
    """
    columns = 0
    if out.isatty():
        try:
            columns = os.get_terminal_size(out.fileno()).columns or 80
        except OSError:
            columns = 80
    display = ProgressDisplay(out, columns)
    aux = []
    for line in lines:
        if "error" in line or "errorDetail" in line:
            detail = line.get("errorDetail") or {}
            raise CommandFailed(str(detail.get("message") or line.get("error")), int(detail.get("code") or 0))
        if line.get("aux") is not None:
            aux.append(line["aux"])
        elif not quiet:
            display.show(line)
    return aux
