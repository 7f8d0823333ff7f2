"""What mini-runc prints: states, tables of containers, processes. It knows their shapes, not where they come from."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

from mini_docker.errors import Invalid

_COLUMNS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def list_containers(states: Sequence[dict[str, Any]], quiet: bool, form: str) -> str:
    """The ``list`` command: ids alone, JSON, or a table."""
    if quiet:
        return "".join(f"{state['id']}\n" for state in states)
    if form == "json":
        return json.dumps(list(states)) + "\n"
    if form not in ("", "table"):
        raise Invalid(f"invalid format option {form!r}: table or json")
    rows = [_COLUMNS, *(tuple(str(state[name.lower()]) for name in _COLUMNS) for state in states)]
    widths = [max(map(len, column)) + 3 for column in zip(*rows, strict=True)]
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows
    )


def list_processes(pids: Iterable[int], form: str, ps_options: Sequence[str]) -> str:
    """The ``ps`` command: pids as JSON, or the lines of ps(1) that are about them."""
    wanted = sorted(pids)
    if form == "json":
        return json.dumps(wanted) + "\n"
    if form not in ("", "table"):
        raise Invalid(f"invalid format option {form!r}: table or json")
    shown = subprocess.run(["ps", *(ps_options or ["-ef"])], capture_output=True, text=True, check=False)
    if shown.returncode:
        raise Invalid(f"ps: {shown.stderr.strip()}")
    title, *lines = shown.stdout.splitlines()
    if "PID" not in title.split():
        raise Invalid("couldn't find PID field in ps output")
    column = title.split().index("PID")
    return "".join(f"{line}\n" for line in (title, *(line for line in lines if int(line.split()[column]) in wanted)))
