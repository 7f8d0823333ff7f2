"""The daemon's flags: the administrator's words, as one frozen value. No wiring, no I/O but the environment.

Source: classic Docker's ``docker/flags.go`` and ``daemon/config.go``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import NoReturn, TypeVar

from mini_docker.daemon.settings import DaemonSettings
from mini_docker.dataclasses import dataclass
from mini_docker.drivers.graphdriver.contract import GraphDriverOptions
from mini_docker.drivers.networkdriver.bridge_options import BridgeOptions
from mini_docker.errors import Invalid
from mini_docker.registry.endpoints import RegistryConfig
from mini_docker.remote_api import DEFAULT_HOST

T = TypeVar("T")

DEFAULT_ROOT = Path("/var/lib/mini-docker")
DEFAULT_RUN = Path("/run/mini-docker")


@dataclass(frozen=True, slots=True)
class DaemonFlags:
    """Everything that was said when the daemon was started.

    Attributes:
        hosts: where the API listens.
        group: who beside root may use its unix sockets.
        graph_driver, exec_driver: asked for; empty lets the daemon choose.
        userns_remap: whom root in containers shall be on the host; empty leaves him root.
        graph_driver_environment: ``DOCKER_DRIVER``, which wins over the flag, as in Docker.
    """

    hosts: tuple[str, ...]
    group: str
    pidfile: Path
    debug: bool
    graph_driver: str
    graph_driver_environment: str
    graph_options: GraphDriverOptions
    exec_driver: str
    userns_remap: str
    settings: DaemonSettings
    bridge: BridgeOptions
    registry: RegistryConfig


class _Parser(argparse.ArgumentParser):
    """argparse, with errors as Docker words them."""

    def error(self, message: str) -> NoReturn:
        raise Invalid(f"{message}\nSee 'mini-docker daemon --help'.")


def parse(argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> DaemonFlags:
    """Read the command line of ``mini-docker daemon``.

    Raises:
        Invalid: an unknown flag, or a value that makes no sense.
        SystemExit: ``--help`` was asked for and printed.
    """
    said, unknown = _parser().parse_known_args(argv)
    if unknown:
        kind = "unknown flag" if unknown[0].startswith("-") else "the daemon takes no argument"
        raise Invalid(f"{kind}: {unknown[0]}\nSee 'mini-docker daemon --help'.")
    run = said.exec_root
    return DaemonFlags(
        hosts=tuple(said.host or [DEFAULT_HOST]),
        group=said.group,
        pidfile=said.pidfile or run / "mini-docker.pid",
        debug=said.debug,
        graph_driver=said.storage_driver,
        graph_driver_environment=environment.get("DOCKER_DRIVER", ""),
        graph_options=GraphDriverOptions(dict(_pair(word) for word in said.storage_opt)),
        exec_driver=said.exec_driver,
        userns_remap=said.userns_remap,
        settings=DaemonSettings(
            root=said.graph,
            exec_root=run,
            dns=tuple(str(_address(word, "--dns")) for word in said.dns),
            dns_search=tuple(said.dns_search),
            dns_options=tuple(said.dns_opt),
            live_restore=said.live_restore,
            shutdown_timeout=said.shutdown_timeout,
            labels=tuple(said.label),
            debug=said.debug,
            insecure_registries=tuple(said.insecure_registry),
            registry_mirrors=tuple(said.registry_mirror),
        ),
        bridge=BridgeOptions(
            bridge=said.bridge,
            bip=_interface(said.bip, "--bip"),
            fixed_cidr=_network(said.fixed_cidr, "--fixed-cidr"),
            default_gateway=_address(said.default_gateway, "--default-gateway"),
            icc=said.icc,
            iptables=said.iptables,
            userland_proxy=said.userland_proxy,
            ip_forward=said.ip_forward,
            ip_masq=said.ip_masq,
            mtu=said.mtu,
            default_address=_address(said.ip, "--ip"),
        ),
        registry=RegistryConfig(insecure=tuple(said.insecure_registry), mirrors=tuple(said.registry_mirror)),
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mini-docker daemon", description="Run the Docker daemon.", allow_abbrev=False)
    add = parser.add_argument

    def flag(*names: str, default: bool, help: str) -> None:
        """``--icc``, ``--icc=false``: a truth, as Go's flags have it."""
        add(*names, nargs="?", const=True, default=default, type=_truth, metavar="true|false", help=help)

    add("-H", "--host", action="append", metavar="ADDRESS", help=f"where to listen, repeatable ({DEFAULT_HOST})")
    add("-G", "--group", default="", help="group that may use the unix socket beside root")
    add("-g", "--graph", "--data-root", type=Path, default=DEFAULT_ROOT, metavar="FOLDER", help="root folder")
    add("--exec-root", type=Path, default=DEFAULT_RUN, metavar="FOLDER", help="run folder, on a tmpfs")
    add("-p", "--pidfile", type=Path, metavar="FILE", help="file for the daemon's process id")
    flag("-D", "--debug", default=False, help="say more in the log")
    add("-s", "--storage-driver", default="", metavar="NAME", help="graph driver (DOCKER_DRIVER wins)")
    add("--storage-opt", action="append", default=[], metavar="KEY=VALUE", help="option of the graph driver")
    add("-e", "--exec-driver", default="native", metavar="NAME", help="exec driver (native)")
    add("--userns-remap", default="", metavar="USER[:GROUP]|default", help="whom root in containers is on the host")
    add("--label", action="append", default=[], metavar="KEY=VALUE", help="label of this daemon")
    flag("--live-restore", default=False, help="let containers outlive the daemon's orderly end, too")
    add("--shutdown-timeout", type=float, default=15.0, metavar="SECONDS", help="that containers get to stop (15)")
    add("-b", "--bridge", default="", metavar="NAME", help="use this bridge, which exists, instead of our own")
    add("--bip", default="", metavar="ADDRESS/LENGTH", help="address and subnet of our own bridge")
    add("--fixed-cidr", default="", metavar="SUBNET", help="part of the subnet that containers get addresses from")
    add("--default-gateway", default="", metavar="ADDRESS", help="gateway of containers, instead of the bridge")
    flag("--icc", default=True, help="let containers of the default bridge talk to each other (true)")
    flag("--iptables", default=True, help="write firewall rules (true)")
    flag("--userland-proxy", default=False, help="serve published ports at 127.0.0.1 by processes, not rules (false)")
    add("--ip", default="", metavar="ADDRESS", help="host address that ports are published at (0.0.0.0)")
    flag("--ip-forward", default=True, help="turn net.ipv4.ip_forward on (true)")
    flag("--ip-masq", default=True, help="give packets to the outside the host's address (true)")
    add("--mtu", type=int, default=0, metavar="BYTES", help="of containers' interfaces")
    add("--dns", action="append", default=[], metavar="ADDRESS", help="nameserver of containers")
    add("--dns-search", action="append", default=[], metavar="DOMAIN", help="search domain of containers")
    add("--dns-opt", action="append", default=[], metavar="OPTION", help="resolver option of containers")
    add("--insecure-registry", action="append", default=[], metavar="HOST|SUBNET", help="registry without valid TLS")
    add("--registry-mirror", action="append", default=[], metavar="URL", help="asked before Docker Hub")
    return parser


def _truth(word: str) -> bool:
    if word.lower() in ("1", "t", "true"):
        return True
    if word.lower() in ("0", "f", "false"):
        return False
    raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise Invalid(f"--storage-opt {word}: not KEY=VALUE")
    return key, value


def _address(word: str, flag: str) -> IPv4Address | None:
    return _parsed(IPv4Address, word, flag, "an IPv4 address")


def _interface(word: str, flag: str) -> IPv4Interface | None:
    what = "an address with its prefix length, as in 172.17.42.1/16"
    if word and "/" not in word:
        raise Invalid(f"{flag} {word}: not {what}")
    return _parsed(IPv4Interface, word, flag, what)


def _network(word: str, flag: str) -> IPv4Network | None:
    return _parsed(IPv4Network, word, flag, "a subnet, as in 10.20.0.0/16")


def _parsed(kind: Callable[[str], T], word: str, flag: str, what: str) -> T | None:
    if not word:
        return None
    try:
        return kind(word)
    except ValueError as error:
        raise Invalid(f"{flag} {word}: not {what}: {error}") from None
