"""Tables as Docker prints them: columns under capital heads, three spaces apart.

Imports tabulate, so only commands that print a table import this module.
"""

from __future__ import annotations

import tabulate

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = 3
_ROW = tabulate.DataRow(begin="", sep=" " * GAP, end="")
_DOCKER = tabulate.TableFormat(None, None, None, None, headerrow=_ROW, datarow=_ROW, padding=0, with_header_hide=None)


def render(heads: Sequence[str], rows: Sequence[Sequence[str]], narrowest: int = 10) -> str:
    """The table as text, newline included; columns keep their place in every row, empty cells too.

    Args:
        narrowest: columns of the screen that a column takes at least, the gap included.
    """
    tabulate.PRESERVE_WHITESPACE = True  # a cell's own spaces are part of it
    padded = [*(head.ljust(narrowest - GAP) for head in heads[:-1]), *heads[-1:]]
    # The heads go in as a row: as heads proper, tabulate would widen each by two.
    text = tabulate.tabulate([padded, *rows], tablefmt=_DOCKER, disable_numparse=True, stralign="left")
    return "".join(line.rstrip() + "\n" for line in text.split("\n"))
