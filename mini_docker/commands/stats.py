"""``stats``: what containers use of the machine, second by second."""

from __future__ import annotations

import sys

from mini_docker.commands.listing import FORMAT, NO_TRUNC, short_id, show
from mini_docker.commands.options import SWITCH, Command, Flag
from mini_docker.units import binary_size, human_size

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options

COLUMNS = (
    ("ID", "CONTAINER ID"), ("Name", "NAME"), ("CPUPerc", "CPU %"), ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"), ("NetIO", "NET I/O"), ("BlockIO", "BLOCK I/O"), ("PIDs", "PIDS"),
)  # fmt: skip

CLEAR_SCREEN = "\x1b[H\x1b[2J"


def cpu_percent(sample: dict[str, Any]) -> float:
    """Per cent of one CPU that was used between the two readings in *sample*."""
    now, before = sample.get("cpu_stats") or {}, sample.get("precpu_stats") or {}
    used = _deep(now, "cpu_usage", "total_usage") - _deep(before, "cpu_usage", "total_usage")
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cpus = now.get("online_cpus") or len(_deep(now, "cpu_usage", "percpu_usage") or (0,))
    return used / passed * cpus * 100.0 if used > 0 and passed > 0 and before.get("system_cpu_usage") else 0.0


def memory_used(memory: dict[str, Any]) -> int:
    """Bytes in use, without the page cache that the kernel would give back (cgroup v1 and v2 name it differently)."""
    usage, details = int(memory.get("usage") or 0), memory.get("stats") or {}
    cache = int(details.get("total_inactive_file", details.get("inactive_file", 0)))
    return usage - cache if cache < usage else usage


def _deep(value: dict[str, Any], *names: str) -> Any:
    for name in names:
        value = value.get(name) or {}
    return value or 0


def row(sample: dict[str, Any], whole: bool) -> dict[str, str]:
    """One answer of ``GET /containers/{id}/stats`` as the fields of a row."""
    memory = sample.get("memory_stats") or {}
    used, limit = memory_used(memory), int(memory.get("limit") or 0)
    networks = (sample.get("networks") or {}).values()
    received, sent = (sum(each.get(name, 0) for each in networks) for name in ("rx_bytes", "tx_bytes"))
    read, written = (
        sum(
            entry["value"]
            for entry in _deep(sample, "blkio_stats", "io_service_bytes_recursive") or ()
            if entry["op"].lower() == op
        )
        for op in ("read", "write")
    )
    return {
        "ID": short_id(sample.get("id", ""), whole),
        "Container": short_id(sample.get("id", ""), whole),
        "Name": sample.get("name", "").lstrip("/"),
        "CPUPerc": f"{cpu_percent(sample):.2f}%",
        "MemUsage": f"{binary_size(used)} / {binary_size(limit)}",
        "MemPerc": f"{used / limit * 100 if limit else 0:.2f}%",
        "NetIO": f"{human_size(received)} / {human_size(sent)}",
        "BlockIO": f"{human_size(read)} / {human_size(written)}",
        "PIDs": str((sample.get("pids_stats") or {}).get("current", 0)),
    }


def stats(client: Client, options: Options) -> int:
    """``stats``: a table that is drawn anew each second, or once."""
    names = options.args or [each["Id"] for each in client.get("/containers/json", {"all": options["all"]})]
    # All streams are opened before the first is read, so that their seconds pass side by side.
    streams: list[Iterator[Any]] = [
        client.open("GET", f"/containers/{name}/stats", {"stream": True}).json_lines() for name in names
    ]
    live = not options["no-stream"]
    first = True
    while streams or first:
        samples = [next(stream, None) for stream in streams]
        streams = [stream for stream, sample in zip(streams, samples, strict=True) if sample is not None]
        # The first sample of a stream has no earlier one to be compared with.
        if not first or live or not streams:
            if live and sys.stdout.isatty():
                sys.stdout.write(CLEAR_SCREEN)
            show(COLUMNS, [row(sample, options["no-trunc"]) for sample in samples if sample], options["format"])
            sys.stdout.flush()
            if not live:
                break
        first = False
    return 0


COMMANDS: dict[str, Any] = {
    "stats": Command(
        "stats", "[OPTIONS] [CONTAINER...]", "Display a live stream of container(s) resource usage statistics", stats,
        (
            Flag("all", "a", SWITCH, "Show all containers (default shows just running)"),
            FORMAT, NO_TRUNC,
            Flag("no-stream", "", SWITCH, "Disable streaming stats and only pull the first result"),
        ),
        (0, None),
    ),
}  # fmt: skip
