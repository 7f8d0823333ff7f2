"""The anatomy's report: three tables, from the API down to the kernel's door, in microseconds."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from bench.anatomy.stages import Row, Stage, rows
from bench.api import Api
from bench.bundle import make_bundle
from bench.daemons import PROJECT, remove_cgroups
from bench.sitting import Sitting

WARM_UP = 5
HEADERS = ("stage", "median µs", "p10", "p90", "in kernel", "calls")


def anatomy(sitting: Sitting, rounds: int) -> str:
    """Measure our start at all depths, and write it down."""
    api = sitting.daemon("mini-docker").api()
    parts = []
    for network in ("none", "bridge"):
        requests = [_requests(api, network) for _ in range(WARM_UP + rounds)][WARM_UP:]
        jobs = _jobs(api.call("GET", "/jobs"), rounds)
        parts.append(_table(f"The API, network {network}: what a client waits for", rows(requests)))
        parts.append(_table(f"The jobs of the same, network {network}: from the daemon's trace", rows(jobs)))
    api.close()
    births = _births(sitting, rounds)
    parts.append(_table("The exec driver: what the daemon waits for, supervisor included", rows(births["driver"])))
    parts.append(_table("The library: one birth from a small process, call by call", rows(births["library"])))
    parts.append(_table("The same with an init that was born ahead and waits for its name", rows(births["ahead"])))
    return "\n\n".join(parts)


def job_stages(records: Iterable[Mapping[str, Any]]) -> list[list[Stage]]:
    """The durations of a container's jobs, grouped by container life: a life begins with a job ``create``.

    Args:
        records: of the job trace, by id; those still running are left out.
    """
    by_id = {record["Id"]: record for record in records}
    lives: list[list[Stage]] = []
    for record in by_id.values():
        if record["Duration"] is None:
            continue
        if record["Name"] == "create" and not record["Parent"]:
            lives.append([])
        if lives:
            lives[-1].append(Stage(_path(record, by_id), int(record["Duration"] * 1e9), 0, 0))
    return lives


def _path(record: Mapping[str, Any], by_id: Mapping[int, Mapping[str, Any]]) -> str:
    """``parent / name``, as far up as the trace remembers; `serveapi`, in which all live, left out."""
    parent = by_id.get(record["Parent"])
    above = "" if parent is None or parent["Name"] == "serveapi" else f"{_path(parent, by_id)} / "
    return above + str(record["Name"])


def _requests(api: Api, network: str) -> list[Stage]:
    marks = [time.monotonic_ns()]
    container = api.create("true", network=network)
    marks.append(time.monotonic_ns())
    api.start(container)
    marks.append(time.monotonic_ns())
    api.wait(container)
    marks.append(time.monotonic_ns())
    api.remove(container)
    marks.append(time.monotonic_ns())
    names = ("create", "start", "wait", "remove")
    stages = [Stage(name, marks[index + 1] - marks[index], 0, 0) for index, name in enumerate(names)]
    return [*stages, Stage("TOTAL", marks[-1] - marks[0], 0, 0)]


def _jobs(records: Sequence[Mapping[str, Any]], rounds: int) -> list[list[Stage]]:
    return job_stages(records)[-rounds:]


def _births(sitting: Sitting, rounds: int) -> dict[str, list[list[Stage]]]:
    cgroup = sitting.cgroup("anatomy")
    bundle = sitting.folder("anatomy")
    make_bundle(bundle, sitting.busybox, platform.machine(), cgroup)
    command = [sys.executable, "-m", "bench.anatomy.birth", str(bundle), cgroup, str(rounds)]
    try:
        done = subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE)
    finally:
        remove_cgroups(cgroup)
    return {
        depth: [[Stage(**stage) for stage in birth] for birth in births]
        for depth, births in json.loads(done.stdout).items()
    }


def _table(title: str, found: Sequence[Row]) -> str:
    lines = [
        (
            row.name, f"{row.took.median / 1e3:.0f}", f"{row.took.p10 / 1e3:.0f}", f"{row.took.p90 / 1e3:.0f}",
            f"{row.in_kernel / 1e3:.0f}" if row.calls else "", f"{row.calls:.0f}" if row.calls else "",
        )
        for row in found
    ]  # fmt: skip
    aligned = ("left", *["right"] * (len(HEADERS) - 1))
    return f"{title}\n" + tabulate(lines, HEADERS, tablefmt="simple", colalign=aligned, disable_numparse=True)
