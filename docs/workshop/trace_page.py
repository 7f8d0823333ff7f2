"""A recorded run as a page shows it: the tree of its jobs, and the kernel calls of its birth."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import Any


def tree(record: dict[str, Any]) -> str:
    """The jobs of a recorded run as a tree, with what each took."""
    jobs = record["jobs"]
    ids = {job["Id"] for job in jobs}
    lines: list[str] = []

    def walk(parent: int, indent: str) -> None:
        children = [job for job in jobs if job["Parent"] == parent or (parent == 0 and job["Parent"] not in ids)]
        for number, job in enumerate(children):
            last = number == len(children) - 1
            branch = "" if parent == 0 else ("└─ " if last else "├─ ")
            lines.append(f"{_took(job):>11}  {indent}{branch}{job['Name']}({', '.join(job['Args'])})")
            walk(job["Id"], indent + ("" if parent == 0 else "   " if last else "│  "))

    walk(0, "")
    return f'```text title="{record["command"]}"\n' + "\n".join(lines) + "\n```"


def _took(job: dict[str, Any]) -> str:
    return f"{job['Duration'] * 1000:.2f} ms" if job["Duration"] is not None else "runs on"


MANY = 4
"""So many calls of one kind in a row are shown; the rest is counted."""


def narration(record: dict[str, Any]) -> str:
    """The privileged steps in words, by who took them; a long row of one kind is cut."""
    rows = []
    for (speaker, name), steps in groupby(record["narration"], key=_kind):
        listed = list(steps)
        for line in listed[:MANY]:
            call, _, words = line.partition(": ")[2].partition("  # ")
            rows.append(f"<tr><td>{speaker}</td><td><code>{escape(call)}</code></td><td>{escape(words)}</td></tr>")
        if len(listed) > MANY:
            more = f"and {len(listed) - MANY} more <code>{escape(name)}</code> of this kind"
            rows.append(f"<tr><td>{speaker}</td><td colspan='2'><em>{more}</em></td></tr>")
    head = "<thead><tr><th>Who</th><th>Call</th><th>In words</th></tr></thead>"
    return f'<table class="narration">{head}<tbody>{"".join(rows)}</tbody></table>'


def _kind(line: str) -> tuple[str, str]:
    speaker, _, rest = line.partition(": ")
    return speaker, rest.partition("(")[0]
