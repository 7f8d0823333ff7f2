"""``jobs``: the work of the daemon as a tree, once or live. Ours: Docker had the jobs but no command to see them.

Each line is one job: what it is, how it went, how long it took. A job that another one ran stands
under it, as a child process stands under its parent in ``pstree``.
"""

from __future__ import annotations

import sys
import time

from mini_docker.commands.listing import NO_TRUNC, short_id
from mini_docker.commands.options import SWITCH, Command, Flag

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options

    Record = dict[str, Any]

STATUS_WORDS = {0: "OK", 127: "NOT FOUND"}


def jobs(client: Client, options: Options) -> int:
    """``jobs``: the tree of what the daemon remembers; with ``-f`` each begin and end as it comes."""
    known = (lambda record: record) if options["no-trunc"] else with_short_ids
    if not options["follow"]:
        sys.stdout.write(tree(map(known, client.get("/jobs") or ()), time.time()))
        return 0
    depths: dict[int, int] = {}
    for record in client.open("GET", "/jobs", {"follow": True}).json_lines():
        print(live_line(known(record), depths), flush=True)
    return 0


def with_short_ids(record: Record) -> Record:
    """The record with each whole id among its arguments cut to the twelve digits that people know things by."""
    return record | {"Args": [short_id(word) if _is_id(word) else word for word in record["Args"]]}


def _is_id(word: str) -> bool:
    digits = word.removeprefix("sha256:")
    return len(digits) == 64 and not digits.strip("0123456789abcdef")


def describe(record: Record, now: float) -> str:
    """``create(web) = OK (0)  3.1 ms``, in the form of classic Docker's job log.

    Args:
        now: seconds since the epoch, for a job that still runs.
    """
    call = f"{record['Name']}({', '.join(record['Args'])})"
    if record["Duration"] is None:
        return f"{call} running for {duration(max(0.0, now - record['Started']))}"
    status = record["Status"]
    text = f"{call} = {STATUS_WORDS.get(status, 'ERR')} ({status})  {duration(record['Duration'])}"
    return f"{text}  {record['Error']}" if record["Error"] else text


def duration(seconds: float) -> str:
    """Three digits and the unit that suits: ``412 µs``, ``3.14 ms``, ``12.0 s``."""
    for factor, unit in ((1e-3, "µs"), (1.0, "ms")):
        if seconds * 1e3 < factor * 1e3 * 0.9995:
            return f"{seconds * 1e6 if unit == 'µs' else seconds * 1e3:.3g} {unit}"
    return f"{seconds:.1f} s"


def tree(records: Iterable[Record], now: float) -> str:
    """All *records* drawn as a forest, in the order of their ids."""
    records = sorted(records, key=lambda record: record["Id"])
    known = {record["Id"] for record in records}
    children: dict[int, list[Record]] = {}
    for record in records:
        # The trace is a ring: a parent may be forgotten already. Its children then stand at the root.
        children.setdefault(record["Parent"] if record["Parent"] in known else 0, []).append(record)
    lines: list[str] = []

    def draw(record: Record, lead: str, branch: str, below: str) -> None:
        lines.append(f"{lead}{branch}{describe(record, now)}\n")
        young = children.get(record["Id"], [])
        for position, child in enumerate(young):
            last = position == len(young) - 1
            draw(child, lead + below, "└─ " if last else "├─ ", "   " if last else "│  ")

    for root in children.get(0, []):
        draw(root, "", "", "")
    return "".join(lines)


def live_line(record: Record, depths: dict[int, int]) -> str:
    """One begin (``+``) or end (``-``), indented by its depth.

    Args:
        depths: how deep each job seen so far stands; this one is added.
    """
    depth = depths.setdefault(record["Id"], depths.get(record["Parent"], -1) + 1)
    clock = time.strftime("%H:%M:%S", time.localtime(record["Started"]))
    if record["Duration"] is None:
        return f"{clock} {'   ' * depth}+ {record['Name']}({', '.join(record['Args'])})"
    return f"{clock} {'   ' * depth}- {describe(record, 0.0)}"


COMMANDS: dict[str, Any] = {
    "jobs": Command(
        "jobs", "[OPTIONS]", "Show the daemon's jobs as a tree", jobs,
        (Flag("follow", "f", SWITCH, "Follow the jobs as they begin and end"), NO_TRUNC),
    ),
}  # fmt: skip
