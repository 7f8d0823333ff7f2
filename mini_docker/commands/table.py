"""Tables as Docker prints them: columns under capital heads, three spaces apart.

Imports tabulate, so only commands that print a table import this module.
"""

from __future__ import annotations

from tabulate import DataRow, TableFormat, tabulate

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = 3
_ROW = DataRow(begin="", sep=" " * GAP, end="")
_DOCKER = TableFormat(None, None, None, None, headerrow=_ROW, datarow=_ROW, padding=0, with_header_hide=None)


def render(heads: Sequence[str], rows: Sequence[Sequence[str]], narrowest: int = 10) -> str:
    """The table as text, newline included; columns keep their place in every row, empty cells too.

    Args:
        narrowest: columns of the screen that a column takes at least, the gap included.
    """
    padded = [*(head.ljust(narrowest - GAP) for head in heads[:-1]), *heads[-1:]]
    # The heads go in as a row: as heads proper, tabulate would widen each by two.
    text = tabulate([padded, *rows], tablefmt=_DOCKER, disable_numparse=True, stralign="left", preserve_whitespace=True)
    return "".join(line.rstrip() + "\n" for line in text.split("\n"))
