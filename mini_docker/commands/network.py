"""``network``: list, create, inspect, connect, disconnect, rm, prune, show."""

from __future__ import annotations

from mini_docker.commands import specs
from mini_docker.commands.descriptors import write_all
from mini_docker.commands.failure import CommandFailed, for_each
from mini_docker.commands.inspect import FORMAT as INSPECT_FORMAT
from mini_docker.commands.inspect import show_all
from mini_docker.commands.listing import FILTER, FORMAT, NO_TRUNC, PRUNE_FILTER, QUIET, labels, short_id, show
from mini_docker.commands.options import LIST, STRING, SWITCH, Command, Flag

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options

COLUMNS = (("ID", "NETWORK ID"), ("Name", "NAME"), ("Driver", "DRIVER"), ("Scope", "SCOPE"))


def ls(client: Client, options: Options) -> int:
    """``network ls``."""
    networks = client.get("/networks", {"filters": specs.parse_filters(options["filter"])})
    rows = [
        {
            "ID": short_id(network["Id"], options["no-trunc"]), "Name": network["Name"], "Driver": network["Driver"],
            "Scope": network["Scope"], "Internal": str(network.get("Internal", False)).lower(),
            "IPv6": str(network.get("EnableIPv6", False)).lower(), "Labels": labels(network.get("Labels")),
            "CreatedAt": network.get("Created", ""),
        }
        for network in sorted(networks, key=lambda network: network["Name"])
    ]  # fmt: skip
    show(COLUMNS, rows, options["format"], "ID" if options["quiet"] else "")
    return 0


def create(client: Client, options: Options) -> int:
    """``network create``: the pools of addresses are matched by position (first gateway to first subnet)."""
    pools = []
    for index, subnet in enumerate(options["subnet"]):
        pool: dict[str, Any] = {"Subnet": subnet}
        for flag, field in (("gateway", "Gateway"), ("ip-range", "IPRange")):
            if index < len(options[flag]):
                pool[field] = options[flag][index]
        pools.append(pool)
    if not pools and (options["gateway"] or options["ip-range"]):
        raise CommandFailed("every ip-range or gateway must have a corresponding subnet")
    if pools and options["aux-address"]:
        pools[0]["AuxiliaryAddresses"] = specs.parse_pairs(options["aux-address"])
    body = {
        "Name": options.args[0], "CheckDuplicate": True, "Driver": options["driver"], "Internal": options["internal"],
        "Attachable": options["attachable"], "EnableIPv6": options["ipv6"],
        "IPAM": {"Driver": options["ipam-driver"], "Config": pools},
        "Options": specs.parse_pairs(options["opt"]), "Labels": specs.parse_pairs(options["label"]),
    }  # fmt: skip
    answer = client.post("/networks/create", value=body)
    print(answer["Id"])
    return 0


def inspect(client: Client, options: Options) -> int:
    """``network inspect``."""
    query = {"verbose": options["verbose"]}
    return show_all(options.args, lambda name: client.get(f"/networks/{name}", query), options["format"])


def connect(client: Client, options: Options) -> int:
    """``network connect``: a container joins one more network."""
    network, container = options.args
    endpoint: dict[str, Any] = {}
    address = {"IPv4Address": options["ip"], "IPv6Address": options["ip6"]}
    if any(address.values()):
        endpoint["IPAMConfig"] = {name: value for name, value in address.items() if value}
    if options["alias"]:
        endpoint["Aliases"] = options["alias"]
    if options["link"]:
        endpoint["Links"] = options["link"]
    client.post(f"/networks/{network}/connect", value={"Container": container, "EndpointConfig": endpoint})
    return 0


def disconnect(client: Client, options: Options) -> int:
    """``network disconnect``."""
    network, container = options.args
    body = {"Container": container, "Force": options["force"]}
    client.post(f"/networks/{network}/disconnect", value=body)
    return 0


def rm(client: Client, options: Options) -> int:
    """``network rm``."""

    def act(name: str) -> None:
        client.delete(f"/networks/{name}")
        print(name)

    return for_each(options.args, act)


def prune(client: Client, options: Options) -> int:
    """``network prune``."""
    from mini_docker.commands.prune import prune_one

    warning = "This will remove all custom networks not used by at least one container."
    return prune_one(client, options, "networks", warning, specs.parse_filters(options["filter"]))


def show_topology(client: Client, options: Options) -> int:
    """``network show``: the daemon's picture of bridges, containers, addresses, ports and rules. Ours."""
    for piece in client.open("GET", "/system/network", {"viz": options["viz"]}).pieces():
        write_all(1, piece)
    return 0


COMMANDS: dict[str, Any] = {
    "network ls": Command("network ls", "[OPTIONS]", "List networks", ls, (FILTER, FORMAT, NO_TRUNC, QUIET)),
    "network create": Command(
        "network create", "[OPTIONS] NETWORK", "Create a network", create,
        (
            Flag("attachable", "", SWITCH, "Enable manual container attachment"),
            Flag("aux-address", "", LIST, "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
            Flag("driver", "d", STRING, "Driver to manage the Network", "bridge"),
            Flag("gateway", "", LIST, "IPv4 or IPv6 Gateway for the master subnet"),
            Flag("internal", "", SWITCH, "Restrict external access to the network"),
            Flag("ip-range", "", LIST, "Allocate container ip from a sub-range"),
            Flag("ipam-driver", "", STRING, "IP Address Management Driver", "default"),
            Flag("ipv6", "", SWITCH, "Enable IPv6 networking"),
            Flag("label", "", LIST, "Set metadata on a network"),
            Flag("opt", "o", LIST, "Set driver specific options"),
            Flag("subnet", "", LIST, "Subnet in CIDR format that represents a network segment"),
        ),
        (1, 1),
    ),
    "network inspect": Command(
        "network inspect", "[OPTIONS] NETWORK [NETWORK...]", "Display detailed information on one or more networks",
        inspect, (INSPECT_FORMAT, Flag("verbose", "v", SWITCH, "Verbose output for diagnostics")), (1, None),
    ),
    "network connect": Command(
        "network connect", "[OPTIONS] NETWORK CONTAINER", "Connect a container to a network", connect,
        (
            Flag("alias", "", LIST, "Add network-scoped alias for the container"),
            Flag("ip", "", STRING, "IPv4 address (e.g., 172.30.100.104)"),
            Flag("ip6", "", STRING, "IPv6 address (e.g., 2001:db8::33)"),
            Flag("link", "", LIST, "Add link to another container"),
        ),
        (2, 2),
    ),
    "network disconnect": Command(
        "network disconnect", "[OPTIONS] NETWORK CONTAINER", "Disconnect a container from a network", disconnect,
        (Flag("force", "f", SWITCH, "Force the container to disconnect from a network"),), (2, 2),
    ),
    "network rm": Command("network rm", "NETWORK [NETWORK...]", "Remove one or more networks", rm, (), (1, None)),
    "network prune": Command(
        "network prune", "[OPTIONS]", "Remove all unused networks", prune,
        (
            PRUNE_FILTER,
            Flag("force", "f", SWITCH, "Do not prompt for confirmation"),
        ),
    ),
    "network show": Command(
        "network show", "[OPTIONS]", "Draw networks, containers, ports and firewall rules (ours)", show_topology,
        (Flag("viz", "", SWITCH, "As a graph for Graphviz"),),
    ),
}  # fmt: skip
