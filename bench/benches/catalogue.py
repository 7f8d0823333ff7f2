"""The catalogue: every bench there is, in the order of the report, and which of them a sitting runs."""

from __future__ import annotations

from collections.abc import Sequence

from bench.benches import command_lines, containers, images, memory, runtimes
from bench.contract import Bench


class NoSuchBench(Exception):
    """A name that the catalogue does not have."""


def catalogue() -> list[Bench]:
    """Every bench, new."""
    modules = (containers, command_lines, runtimes, images, memory)
    return [bench for module in modules for bench in module.benches()]


def choose(benches: Sequence[Bench], only: Sequence[str], quick: bool, full: bool) -> list[Bench]:
    """The benches of a sitting.

    Args:
        only: names; those alone, whatever the other two say. A name that ends in ``*`` stands for all that begin so.
        quick: without the benches that take long.
        full: with the curves.

    Raises:
        NoSuchBench: a name stands for none.
    """
    if not only:
        return [bench for bench in benches if (full or not bench.full_only) and (bench.quick_rounds or not quick)]
    chosen = []
    for name in only:
        found = [bench for bench in benches if _stands_for(name, bench.name)]
        if not found:
            raise NoSuchBench(f"no bench is named {name!r}: script/bench --list shows all")
        chosen += [bench for bench in found if bench not in chosen]
    return chosen


def _stands_for(name: str, bench: str) -> bool:
    return bench.startswith(name[:-1]) if name.endswith("*") else bench == name
