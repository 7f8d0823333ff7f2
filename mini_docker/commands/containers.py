"""Looking at containers: ps, logs, top, diff, port; and clearing away the stopped ones."""

from __future__ import annotations

import sys
import time

from mini_docker import units
from mini_docker.commands import specs
from mini_docker.commands.failure import CommandFailed
from mini_docker.commands.listing import FILTER, FORMAT, NO_TRUNC, PRUNE_FILTER, QUIET, ellipsis, labels, short_id, show
from mini_docker.commands.options import INT, STRING, SWITCH, Command, Flag

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options

COLUMNS = (
    ("ID", "CONTAINER ID"), ("Image", "IMAGE"), ("Command", "COMMAND"), ("RunningFor", "CREATED"),
    ("Status", "STATUS"), ("Ports", "PORTS"), ("Names", "NAMES"),
)  # fmt: skip


def ps(client: Client, options: Options) -> int:
    """``ps``: the running containers, or all."""
    last = 1 if options["latest"] else options["last"]
    query = {
        "all": options["all"], "limit": last if last > 0 else None,
        "size": options["size"] or "{{.Size}}" in options["format"], "filters": specs.parse_filters(options["filter"]),
    }  # fmt: skip
    now = time.time()
    rows = [row(summary, now, options["no-trunc"]) for summary in client.get("/containers/json", query)]
    columns = (*COLUMNS, ("Size", "SIZE")) if options["size"] else COLUMNS
    show(columns, rows, options["format"], "ID" if options["quiet"] else "")
    return 0


def row(summary: dict[str, Any], now: float, whole: bool) -> dict[str, str]:
    """One container of ``GET /containers/json`` as the fields of a row.

    Args:
        now: seconds since the epoch.
        whole: don't cut ids and commands.
    """
    # A link shows up as a second name with a slash inside: the plain names are shown.
    names = [name.lstrip("/") for name in summary["Names"] or ()]
    command = summary["Command"]
    size = units.human_size(summary.get("SizeRw", 0))
    if "SizeRootFs" in summary:
        size += f" (virtual {units.human_size(summary['SizeRootFs'])})"
    image = summary["Image"]
    return {
        "ID": short_id(summary["Id"], whole),
        "Names": ",".join([name for name in names if whole or "/" not in name] or names),
        "Image": short_id(image, whole) if image == summary.get("ImageID") else image,
        "Command": '"' + (command if whole else ellipsis(command, 20)) + '"',
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(summary["Created"])),
        "RunningFor": units.human_duration(now - summary["Created"]) + " ago",
        "State": summary["State"],
        "Status": summary["Status"],
        "Ports": ports(summary.get("Ports") or ()),
        "Labels": labels(summary.get("Labels")),
        "LocalVolumes": str(sum(mount.get("Type") == "volume" for mount in summary.get("Mounts") or ())),
        "Mounts": ",".join(mount.get("Name") or mount.get("Source", "") for mount in summary.get("Mounts") or ()),
        "Networks": ",".join((summary.get("NetworkSettings") or {}).get("Networks") or ()),
        "Size": size,
    }


def ports(published: Iterable[dict[str, Any]]) -> str:
    """``0.0.0.0:8080->80/tcp, 443/tcp``.

    Neighbours that are not published, or published under their own number, are joined to a range, as Docker does.
    """
    ranges: dict[tuple[str, str], tuple[int, int]] = {}
    joined, mapped = [], []
    order = sorted(published, key=lambda port: (port["PrivatePort"], port.get("IP", ""), port.get("PublicPort", 0)))
    for port in order:
        private, public = port["PrivatePort"], port.get("PublicPort", 0)
        key = (port.get("IP", "") if public else "", port["Type"])
        if public and public != private:
            mapped.append(f"{_host(key[0])}:{public}->{private}/{key[1]}")
        elif key in ranges and ranges[key][1] == private - 1:
            ranges[key] = ranges[key][0], private
        else:
            if key in ranges:
                joined.append(_port_range(key, ranges[key]))
            ranges[key] = private, private
    return ", ".join([*joined, *(_port_range(key, ranges[key]) for key in sorted(ranges)), *mapped])


def _port_range(key: tuple[str, str], ends: tuple[int, int]) -> str:
    (address, kind), (first, last) = key, ends
    numbers = str(first) if first == last else f"{first}-{last}"
    return f"{_host(address)}:{numbers}->{numbers}/{kind}" if address else f"{numbers}/{kind}"


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def logs(client: Client, options: Options) -> int:
    """``logs``: what the container wrote, and with ``-f`` what it goes on writing."""
    from mini_docker.commands.demultiplexer import Demultiplexer
    from mini_docker.commands.descriptors import write_all

    (container,) = options.args
    now = time.time()
    query = {
        "stdout": True, "stderr": True, "follow": options["follow"], "tail": options["tail"],
        "timestamps": options["timestamps"], "details": options["details"],
        "since": _when(options, "since", now), "until": _when(options, "until", now),
    }  # fmt: skip
    tty = client.get(f"/containers/{container}/json")["Config"]["Tty"]
    demultiplexer = Demultiplexer()
    for piece in client.open("GET", f"/containers/{container}/logs", query).pieces():
        for stream, payload in [(1, piece)] if tty else demultiplexer.feed(piece):
            write_all(stream, payload)
    return 0


def _when(options: Options, name: str, now: float) -> str:
    try:
        return units.timestamp(options[name], now) if options[name] else ""
    except ValueError as error:
        raise CommandFailed(f'invalid value for "{name}": {error}') from None


def top(client: Client, options: Options) -> int:
    """``top``: the processes of a container, as ps(1) lists them."""
    container, *words = options.args
    answer = client.get(f"/containers/{container}/top", {"ps_args": " ".join(words)})
    from mini_docker.commands.table import render

    sys.stdout.write(render(answer["Titles"], answer["Processes"] or [], narrowest=20))
    return 0


def diff(client: Client, options: Options) -> int:
    """``diff``: what was changed (C), added (A) or deleted (D) in the container's file system."""
    for change in client.get(f"/containers/{options.args[0]}/changes") or ():
        print("CAD"[change["Kind"]], change["Path"])
    return 0


def port(client: Client, options: Options) -> int:
    """``port``: where the container's ports are published."""
    container, *wanted = options.args
    bound = client.get(f"/containers/{container}/json")["NetworkSettings"]["Ports"] or {}
    if not wanted:
        lines = [f"{name} -> {_endpoint(binding)}" for name in bound for binding in bound[name] or ()]
        print("\n".join(sorted(lines, key=lambda line: (int(line.partition("/")[0]), line))), end="\n" if lines else "")
        return 0
    number, _, protocol = wanted[0].partition("/")
    name = f"{number}/{protocol or 'tcp'}"
    if not bound.get(name):
        raise CommandFailed(f"Error: No public port '{wanted[0]}' published for {container}")
    for binding in bound[name]:
        print(_endpoint(binding))
    return 0


def _endpoint(binding: dict[str, str]) -> str:
    return f"{_host(binding['HostIp'])}:{binding['HostPort']}"


def prune(client: Client, options: Options) -> int:
    """``container prune``: remove all stopped containers."""
    from mini_docker.commands.prune import prune_one

    return prune_one(
        client,
        options,
        "containers",
        "This will remove all stopped containers.",
        specs.parse_filters(options["filter"]),
    )


_FORCE = Flag("force", "f", SWITCH, "Do not prompt for confirmation")

COMMANDS: dict[str, Any] = {
    "ps": Command(
        "ps", "[OPTIONS]", "List containers", ps,
        (
            Flag("all", "a", SWITCH, "Show all containers (default shows just running)"),
            FILTER, FORMAT, NO_TRUNC, QUIET,
            Flag("last", "n", INT, "Show n last created containers (includes all states)", -1),
            Flag("latest", "l", SWITCH, "Show the latest created container (includes all states)"),
            Flag("size", "s", SWITCH, "Display total file sizes"),
        ),
    ),
    "logs": Command(
        "logs", "[OPTIONS] CONTAINER", "Fetch the logs of a container", logs,
        (
            Flag("details", "", SWITCH, "Show extra details provided to logs"),
            Flag("follow", "f", SWITCH, "Follow log output"),
            Flag("since", "", STRING, 'Show logs since timestamp (e.g. "2026-01-02T13:23:37Z") or age (e.g. "42m")'),
            Flag("tail", "n", STRING, "Number of lines to show from the end of the logs", "all"),
            Flag("timestamps", "t", SWITCH, "Show timestamps"),
            Flag("until", "", STRING, "Show logs before a timestamp or relative"),
        ),
        (1, 1),
    ),
    "top": Command(
        "top", "CONTAINER [ps OPTIONS]", "Display the running processes of a container", top, (), (1, None),
        stop_at_argument=True,
    ),
    "diff": Command(
        "diff", "CONTAINER", "Inspect changes to files or directories on a container's filesystem", diff, (), (1, 1)
    ),
    "port": Command(
        "port", "CONTAINER [PRIVATE_PORT[/PROTO]]", "List port mappings or a specific mapping for the container",
        port, (), (1, 2),
    ),
    "container prune": Command(
        "container prune", "[OPTIONS]", "Remove all stopped containers", prune,
        (PRUNE_FILTER, _FORCE),
    ),
}  # fmt: skip
