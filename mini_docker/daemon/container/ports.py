"""Ports: from what a user exposes and wishes to publish, to what a network driver is asked for, and back to words.

Pure functions.

Source: Docker's ``nat`` package and ``daemon/network.go`` (getPortMapInfo).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from mini_docker.daemon.container.config import ContainerConfig
from mini_docker.daemon.container.host_config import HostConfig, HostPort
from mini_docker.daemon.container.port_words import parse_host_ports, parse_port
from mini_docker.drivers.networkdriver.contract import PortBinding, PublishedPort
from mini_docker.errors import Invalid


def port_bindings(config: ContainerConfig, host: HostConfig) -> tuple[PortBinding, ...]:
    """What the driver is asked for: the bindings, and with ``-P`` every exposed port besides.

    Raises:
        Invalid: a port or an address that is none.
    """
    bindings = [
        _binding(port, protocol, wish)
        for key, wishes in host.port_bindings.items()
        for port, protocol in parse_port(key)
        for wish in wishes or (HostPort(),)
    ]
    if host.publish_all_ports:
        bound = {(binding.container_port, binding.protocol) for binding in bindings}
        exposed = [pair for key in config.exposed_ports for pair in parse_port(key)]
        bindings += [PortBinding(port, protocol) for port, protocol in exposed if (port, protocol) not in bound]
    return tuple(bindings)


def _binding(port: int, protocol: str, wish: HostPort) -> PortBinding:
    try:
        address = ip_address(wish.host_ip) if wish.host_ip else None
    except ValueError:
        raise Invalid(f"invalid host address for port {port}/{protocol}: {wish.host_ip!r}") from None
    return PortBinding(port, protocol, address, parse_host_ports(wish.host_port))


def ports_map(config: ContainerConfig, published: Iterable[PublishedPort]) -> dict[str, list[dict[str, str]] | None]:
    """``NetworkSettings.Ports``: every exposed port, null when it is not published."""
    ports: dict[str, list[dict[str, str]] | None] = dict.fromkeys(config.exposed_ports)
    for port in published:
        bound = ports.get(f"{port.container_port}/{port.protocol}") or []
        bound.append({"HostIp": str(port.host_address), "HostPort": str(port.host_port)})
        ports[f"{port.container_port}/{port.protocol}"] = bound
    return ports


def ports_list(ports: Mapping[str, list[dict[str, str]] | None]) -> list[dict[str, Any]]:
    """The Ports of ``docker ps``, from `ports_map`."""
    listed: list[dict[str, Any]] = []
    for key, bound in ports.items():
        number, _, protocol = key.partition("/")
        if not bound:
            listed.append({"PrivatePort": int(number), "Type": protocol})
        listed += [
            {"IP": each["HostIp"], "PrivatePort": int(number), "PublicPort": int(each["HostPort"]), "Type": protocol}
            for each in bound or ()
        ]
    return listed
