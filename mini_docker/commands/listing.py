"""A list of things on the screen: as a table, through a template, as JSON lines, or the ids alone.

It knows rows of fields, not what they are. tabulate (34 ms to import) is loaded only for a table.
"""

from __future__ import annotations

import sys

from mini_docker.commands.failure import CommandFailed
from mini_docker.commands.options import STRING, SWITCH, Flag, Kind
from mini_docker.commands.template import Template, TemplateError

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

FORMAT = Flag("format", "", STRING, "Format output: 'table', 'table TEMPLATE', 'json' or a Go template")


def _filter(word: str) -> str:
    if "=" not in word:
        raise ValueError("bad format of filter (expected name=value)")
    return word


_FILTERS = Kind("filter", _filter, (), repeated=True)
FILTER = Flag("filter", "f", _FILTERS, "Filter output based on conditions provided")
PRUNE_FILTER = Flag("filter", "", _FILTERS, 'Provide filter values (e.g. "until=<timestamp>")')
QUIET = Flag("quiet", "q", SWITCH, "Only display IDs")
NO_TRUNC = Flag("no-trunc", "", SWITCH, "Don't truncate output")


def show(
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Mapping[str, Any]],
    format: str = "",
    quiet_field: str = "",
) -> None:
    """Print *rows*.

    Args:
        columns: (field, head) of the table that is printed when *format* is empty.
        format: the user's ``--format``.
        quiet_field: print this field only; wins over all else when not empty.

    Raises:
        CommandFailed: the format is bad.
    """
    if quiet_field:
        sys.stdout.write("".join(f"{row[quiet_field]}\n" for row in rows))
        return
    rows = [dict(sorted(row.items())) for row in rows]
    if format == "json":
        format = "{{json .}}"
    if format in ("", "table"):
        _table([head for _, head in columns], [[str(row[field]) for field, _ in columns] for row in rows])
        return
    try:
        if format.startswith("table "):
            template = Template(_unescape(format.removeprefix("table ").strip()))
            heads: dict[str, Any] = {
                field: _head(field) for row in rows[:1] or [dict(columns)] for field in row
            } | dict(columns)
            cells = [template.render(row).split("\t") for row in rows]
            _table(template.render(heads).split("\t"), cells)
        else:
            template = Template(_unescape(format))
            sys.stdout.write("".join(f"{template.render(row)}\n" for row in rows))
    except TemplateError as error:
        raise CommandFailed(f"template parsing error: {error}") from None


def _table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from mini_docker.commands.table import render

    sys.stdout.write(render(heads, cells))


def _unescape(text: str) -> str:
    r"""A shell passes ``\t`` as two characters; in a format it means a tab."""
    return text.replace("\\t", "\t").replace("\\n", "\n")


def _head(field: str) -> str:
    """``RunningFor`` as a head: ``RUNNING FOR``."""
    return "".join(
        f" {letter}" if letter.isupper() and field[i - 1 : i].islower() else letter for i, letter in enumerate(field)
    ).upper()


def short_id(identifier: str, whole: bool = False) -> str:
    """The twelve digits by which people know a thing, or the whole id."""
    return identifier if whole else identifier.removeprefix("sha256:")[:12]


def ellipsis(text: str, width: int) -> str:
    """*text* cut to *width* characters, the last one then being ``…``."""
    return text if len(text) <= width else text[: width - 1] + "…"


def labels(value: Mapping[str, str] | None) -> str:
    """Labels in one word: ``a=1,b=2``."""
    return ",".join(f"{name}={text}" for name, text in sorted((value or {}).items()))
