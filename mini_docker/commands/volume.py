"""``volume``: list, create, inspect, rm, prune."""

from __future__ import annotations

from mini_docker.commands import specs
from mini_docker.commands.failure import for_each
from mini_docker.commands.inspect import FORMAT as INSPECT_FORMAT
from mini_docker.commands.inspect import show_all
from mini_docker.commands.listing import FILTER, FORMAT, PRUNE_FILTER, QUIET, labels, show
from mini_docker.commands.options import LIST, STRING, SWITCH, Command, Flag

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options


def ls(client: Client, options: Options) -> int:
    """``volume ls``."""
    volumes = client.get("/volumes", {"filters": specs.parse_filters(options["filter"])})["Volumes"] or ()
    rows = [
        {
            "Driver": volume["Driver"], "Name": volume["Name"], "Mountpoint": volume.get("Mountpoint", ""),
            "Scope": volume.get("Scope", ""), "Labels": labels(volume.get("Labels")),
        }
        for volume in sorted(volumes, key=lambda volume: volume["Name"])
    ]  # fmt: skip
    columns = (("Driver", "DRIVER"), ("Name", "VOLUME NAME"))
    show(columns, rows, options["format"], "Name" if options["quiet"] else "")
    return 0


def create(client: Client, options: Options) -> int:
    """``volume create``: without a name the daemon chooses one."""
    body = {
        "Name": options.args[0] if options.args else "", "Driver": options["driver"],
        "DriverOpts": specs.parse_pairs(options["opt"]), "Labels": specs.parse_pairs(options["label"]),
    }  # fmt: skip
    print(client.post("/volumes/create", value=body)["Name"])
    return 0


def inspect(client: Client, options: Options) -> int:
    """``volume inspect``."""
    return show_all(options.args, lambda name: client.get(f"/volumes/{name}"), options["format"])


def rm(client: Client, options: Options) -> int:
    """``volume rm``."""

    def act(name: str) -> None:
        client.delete(f"/volumes/{name}", {"force": options["force"]})
        print(name)

    return for_each(options.args, act)


def prune(client: Client, options: Options) -> int:
    """``volume prune``: the anonymous ones, or with ``-a`` all that no container uses."""
    from mini_docker.commands.prune import prune_one

    which = "all" if options["all"] else "anonymous"
    warning = f"This will remove {which} local volumes not used by at least one container."
    words = [*options["filter"], *(["all=true"] if options["all"] else [])]
    return prune_one(client, options, "volumes", warning, specs.parse_filters(words))


COMMANDS: dict[str, Any] = {
    "volume ls": Command("volume ls", "[OPTIONS]", "List volumes", ls, (FILTER, FORMAT, QUIET)),
    "volume create": Command(
        "volume create", "[OPTIONS] [VOLUME]", "Create a volume", create,
        (
            Flag("driver", "d", STRING, "Specify volume driver name", "local"),
            Flag("label", "", LIST, "Set metadata for a volume"),
            Flag("opt", "o", LIST, "Set driver specific options"),
        ),
        (0, 1),
    ),
    "volume inspect": Command(
        "volume inspect", "[OPTIONS] VOLUME [VOLUME...]", "Display detailed information on one or more volumes",
        inspect, (INSPECT_FORMAT,), (1, None),
    ),
    "volume rm": Command(
        "volume rm", "[OPTIONS] VOLUME [VOLUME...]", "Remove one or more volumes", rm,
        (Flag("force", "f", SWITCH, "Force the removal of one or more volumes"),), (1, None),
    ),
    "volume prune": Command(
        "volume prune", "[OPTIONS]", "Remove unused local volumes", prune,
        (
            Flag("all", "a", SWITCH, "Remove all unused volumes, not just anonymous ones"),
            PRUNE_FILTER,
            Flag("force", "f", SWITCH, "Do not prompt for confirmation"),
        ),
    ),
}  # fmt: skip
