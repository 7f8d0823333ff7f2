"""The table: results as a reader scans them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from bench.goal import OURS
from bench.result import Result
from bench.unit import Unit

HEADERS = ("bench", "who", "median", "p10 – p90", "n", "ratio", "goal", "reached")
VERDICTS = {True: "yes", False: "NO", None: ""}


def as_text(results: Sequence[Result]) -> str:
    """A block of rows a bench, ours first; a peer's ratio says how many times it takes what we take."""
    rows = [row for result in results for row in _rows(result)]
    aligned = ("left", "left", "right", "right", "right", "right", "left", "left")
    return tabulate(rows, HEADERS, tablefmt="simple", colalign=aligned if rows else None, disable_numparse=True)


def curves_as_text(results: Sequence[Result]) -> str:
    """A line a curve: how many, and the time at that point."""
    lines = [
        f"{result.name}, {name}: " + ", ".join(f"{count:g}: {Unit.SECONDS.text(took)}" for count, took in curve)
        for result in results
        for name, curve in result.curves.items()
    ]
    return "\n".join(lines)


def _rows(result: Result) -> list[list[str]]:
    rows: list[list[str]] = []
    for name in result.samples:
        spread = result.spread(name)
        if spread is None:
            continue
        ratio = result.ratio(name)
        row = [
            "" if rows else result.name,
            name,
            result.unit.text(spread.median),
            f"{result.unit.text(spread.p10)} – {result.unit.text(spread.p90)}",
            str(spread.count),
            f"{ratio.median:.2f}×" if ratio else "",
            result.goal.text(result.unit) if result.goal and name == OURS else "",
            VERDICTS[result.reached] if name == OURS else "",
        ]
        rows.append(row)
    return rows
