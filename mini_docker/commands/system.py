"""The daemon itself: version, info, events, disk usage, and the big broom."""

from __future__ import annotations

import sys
import time

from mini_docker import VERSION
from mini_docker.commands.options import LIST, STRING, SWITCH, Command, Flag
from mini_docker.remote_api import API_VERSION

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options


def version(client: Client, options: Options) -> int:
    """``version``: the client's and the daemon's. This is the fast path that start-up time is measured by."""
    import os

    from mini_docker.architecture import host_architecture

    system = os.uname()
    ours = {
        "Version": VERSION, "ApiVersion": API_VERSION, "PythonVersion": sys.version.partition(" ")[0],
        "Os": system.sysname.lower(), "Arch": host_architecture(),
    }  # fmt: skip
    if options["format"]:
        return _formatted({"Client": ours, "Server": client.get("/version")}, options["format"])
    sys.stdout.write(
        f"Client:\n Version:        {VERSION}\n API version:    {API_VERSION}\n"
        f" Python version: {ours['PythonVersion']}\n OS/Arch:        {ours['Os']}/{ours['Arch']}\n"
    )
    sys.stdout.flush()  # shown even when there is no daemon
    server = client.get("/version")
    lines = [
        ("Version", server.get("Version", "")),
        ("API version", f"{server.get('ApiVersion', '')} (minimum version {server.get('MinAPIVersion', '')})"),
        ("Git commit", server.get("GitCommit", "")),
        ("OS/Arch", f"{server.get('Os', '')}/{server.get('Arch', '')}"),
        ("Kernel", server.get("KernelVersion", "")),
    ]
    sys.stdout.write("\nServer:\n" + "".join(f" {name + ':':15} {value}\n" for name, value in lines if value))
    return 0


def _formatted(value: Any, format: str) -> int:
    from mini_docker.commands.failure import CommandFailed
    from mini_docker.commands.template import Template, TemplateError

    try:
        print(Template("{{json .}}" if format == "json" else format).render(value))
    except TemplateError as error:
        raise CommandFailed(f"template parsing error: {error}") from None
    return 0


_INFO_LINES = (
    ("Execution Driver", "ExecutionDriver"), ("Logging Driver", "LoggingDriver"), ("Cgroup Driver", "CgroupDriver"),
    ("Cgroup Version", "CgroupVersion"), ("Kernel Version", "KernelVersion"),
    ("Operating System", "OperatingSystem"), ("OSType", "OSType"), ("Architecture", "Architecture"),
    ("CPUs", "NCPU"), ("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir"), ("Debug Mode", "Debug"),
)  # fmt: skip
"""Fields of /info that are shown as they are, each with its label."""


def info(client: Client, options: Options) -> int:
    """``info``: what the daemon has and what it stands on."""
    answer = client.get("/info")
    if options["format"]:
        return _formatted(answer, options["format"])
    from mini_docker import units

    lines = [
        f"Containers: {answer.get('Containers', 0)}",
        *(f" {state}: {answer.get(f'Containers{state}', 0)}" for state in ("Running", "Paused", "Stopped")),
        f"Images: {answer.get('Images', 0)}",
        f"Server Version: {answer.get('ServerVersion', '')}",
        f"Storage Driver: {answer.get('Driver', '')}",
        *(f" {name}: {value}" for name, value in answer.get("DriverStatus") or ()),
    ]
    for label, key in _INFO_LINES:
        if answer.get(key) not in (None, ""):
            value = answer[key]
            lines.append(f"{label}: {str(value).lower() if isinstance(value, bool) else value}")
        if key == "ExecutionDriver":
            lines += _walls(answer)
    if answer.get("MemTotal"):
        lines.append(f"Total Memory: {units.binary_size(answer['MemTotal'])}")
    if answer.get("SecurityOptions"):
        lines += ["Security Options:", *(f"  {word.removeprefix('name=')}" for word in answer["SecurityOptions"])]
    if answer.get("Labels"):
        lines += ["Labels:", *(f" {word}" for word in answer["Labels"])]
    print("\n".join(lines))
    for warning in answer.get("Warnings") or ():
        print(warning, file=sys.stderr)
    return 0


def _walls(answer: dict[str, Any]) -> list[str]:
    """Which walls the execution driver puts around a container, which not; and the drivers beside it."""
    walls: dict[str, bool] = answer.get("Walls") or {}
    there, missing = ([name for name in walls if walls[name] is wall] for wall in (True, False))
    lines = [f" Walls: {' '.join(there)}"] if there else []
    lines += [f" No Walls: {' '.join(missing)}"] if missing else []
    others: dict[str, str] = answer.get("OtherExecutionDrivers") or {}
    return lines + [f" Other: {name}{f' (not available: {others[name]})' if others[name] else ''}" for name in others]


def events(client: Client, options: Options) -> int:
    """``events``: what happens, as it happens; with ``--until`` what has happened."""
    from mini_docker import units
    from mini_docker.commands import specs
    from mini_docker.commands.failure import CommandFailed
    from mini_docker.commands.template import Template, TemplateError

    now = time.time()
    try:
        query = {name: units.timestamp(options[name], now) if options[name] else "" for name in ("since", "until")} | {
            "filters": specs.parse_filters(options["filter"])
        }
        format = "{{json .}}" if options["format"] == "json" else options["format"]
        template = Template(format) if format else None
        for event in client.open("GET", "/events", query).json_lines():
            print(template.render(event) if template is not None else event_line(event), flush=True)
    except (ValueError, TemplateError) as error:
        raise CommandFailed(str(error)) from None
    return 0


def event_line(event: dict[str, Any]) -> str:
    """One event as a line: when, what kind of thing, what happened to it, and its attributes."""
    from mini_docker.units import rfc3339

    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{name}={value}" for name, value in sorted((actor.get("Attributes") or {}).items()))
    nanoseconds = event.get("timeNano") or event.get("time", 0) * 10**9
    words = [rfc3339(nanoseconds), event.get("Type", ""), event.get("Action", ""), actor.get("ID", "")]
    return " ".join(words) + (f" ({attributes})" if attributes else "")


def df(client: Client, options: Options) -> int:
    """``system df``: who takes how much of the disk, and how much of it nothing uses."""
    from mini_docker.commands.listing import show

    answer = client.get("/system/df")
    images, containers = answer.get("Images") or [], answer.get("Containers") or []
    volumes = answer.get("Volumes") or []
    usage = [volume.get("UsageData") or {} for volume in volumes]
    layers = answer.get("LayersSize") or 0
    idle_images = sum(
        image["Size"] - max(0, image.get("SharedSize", 0)) for image in images if not image.get("Containers", 0) > 0
    )
    running = [container for container in containers if container.get("State") in ("running", "paused", "restarting")]
    written = sum(container.get("SizeRw", 0) for container in containers)
    rows = [
        _usage("Images", len(images), sum(image.get("Containers", 0) > 0 for image in images), layers, idle_images),
        _usage(
            "Containers", len(containers), len(running), written,
            written - sum(container.get("SizeRw", 0) for container in running),
        ),
        _usage(
            "Local Volumes", len(volumes), sum(use.get("RefCount", 0) > 0 for use in usage),
            sum(max(0, use.get("Size", 0)) for use in usage),
            sum(max(0, use.get("Size", 0)) for use in usage if use.get("RefCount", 0) == 0),
        ),
    ]  # fmt: skip
    columns = (
        ("Type", "TYPE"), ("TotalCount", "TOTAL"), ("Active", "ACTIVE"), ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    )  # fmt: skip
    show(columns, rows, options["format"])
    return 0


def _usage(kind: str, total: int, active: int, size: int, idle: int) -> dict[str, str]:
    from mini_docker.units import human_size

    share = f" ({idle * 100 // size}%)" if size > 0 else ""
    return {
        "Type": kind, "TotalCount": str(total), "Active": str(active), "Size": human_size(size, 4),
        "Reclaimable": human_size(max(0, idle), 4) + share,
    }  # fmt: skip


def prune(client: Client, options: Options) -> int:
    """``system prune``: stopped containers, unused networks, dangling images; volumes only when asked."""
    from mini_docker.commands import prune as broom
    from mini_docker.commands import specs
    from mini_docker.units import human_size

    filters = specs.parse_filters(options["filter"])
    image_filters = specs.parse_filters([*options["filter"], f"dangling={'false' if options['all'] else 'true'}"])
    if not options["force"]:
        things = ["all stopped containers", "all networks not used by at least one container"]
        things += ["all anonymous volumes not used by at least one container"] if options["volumes"] else []
        things += [
            "all images without at least one container associated to them" if options["all"] else "all dangling images"
        ]
        broom.confirm("This will remove:\n" + "".join(f"  - {thing}\n" for thing in things))
    freed = broom.sweep(client, "containers", filters) + broom.sweep(client, "networks", filters)
    if options["volumes"]:
        freed += broom.sweep(client, "volumes", filters)
    freed += broom.sweep(client, "images", image_filters)
    print(f"Total reclaimed space: {human_size(freed, 4)}")
    return 0


_FORMAT = Flag("format", "f", STRING, "Format output using a Go template, or 'json'")

COMMANDS: dict[str, Any] = {
    "version": Command("version", "[OPTIONS]", "Show the Docker version information", version, (_FORMAT,)),
    "info": Command("info", "[OPTIONS]", "Display system-wide information", info, (_FORMAT,)),
    "events": Command(
        "events", "[OPTIONS]", "Get real time events from the server", events,
        (
            Flag("filter", "f", LIST, "Filter output based on conditions provided"),
            Flag("format", "", STRING, "Format output using a Go template, or 'json'"),
            Flag("since", "", STRING, "Show all events created since timestamp"),
            Flag("until", "", STRING, "Stream events until this timestamp"),
        ),
    ),
    "system df": Command(
        "system df", "[OPTIONS]", "Show docker disk usage", df,
        (Flag("format", "", STRING, "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),),
    ),
    "system prune": Command(
        "system prune", "[OPTIONS]", "Remove unused data", prune,
        (
            Flag("all", "a", SWITCH, "Remove all unused images not just dangling ones"),
            Flag("filter", "", LIST, 'Provide filter values (e.g. "label=<key>=<value>")'),
            Flag("force", "f", SWITCH, "Do not prompt for confirmation"),
            Flag("volumes", "", SWITCH, "Prune anonymous volumes"),
        ),
    ),
}  # fmt: skip
