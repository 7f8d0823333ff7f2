"""The border of the network API: from the bodies that clients send to typed values, and back. No I/O.

Source: Docker's Engine API 1.41, NetworkCreate and NetworkInspect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.network_record import NetworkRecord
from mini_docker.drivers.networkdriver.contract import NetworkConfig, Pool
from mini_docker.errors import Invalid, Unsupported

OPTION = "com.docker.network."
"""What the driver options that Docker's bridge driver knows begin with."""

API_DRIVER_NAMES = {"none": "null"}
"""Drivers that the API calls otherwise."""


def network_config(body: Mapping[str, Any]) -> tuple[NetworkConfig, str]:
    """A network as a user asks for it, without an id, and the name of its driver.

    Raises:
        Invalid: a value that makes no sense. Unsupported: a kind of network that there is none of here.
    """
    for word in ("ConfigOnly", "ConfigFrom", "Ingress"):
        if body.get(word) not in (None, False, {}, {"Network": ""}):
            raise Unsupported(f"{word}: such a network belongs to a swarm, and this is one machine alone")
    options = {str(key): str(value) for key, value in (body.get("Options") or {}).items()}
    binding = options.get(f"{OPTION}bridge.host_binding_ipv4", "")
    try:
        config = NetworkConfig(
            id="",
            name=str(body.get("Name") or ""),
            pools=tuple(_pool(item) for item in (body.get("IPAM") or {}).get("Config") or ()),
            internal=bool(body.get("Internal")),
            icc=_truth(options.get(f"{OPTION}bridge.enable_icc", "true")),
            masquerade=_truth(options.get(f"{OPTION}bridge.enable_ip_masquerade", "true")),
            mtu=int(options.get(f"{OPTION}driver.mtu") or 0),
            bridge=options.get(f"{OPTION}bridge.name", ""),
            default_binding=ip_address(binding) if binding else None,
            options=options,
            labels={str(key): str(value) for key, value in (body.get("Labels") or {}).items()},
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise Invalid(f"invalid network: {error}") from None
    if body.get("EnableIPv6") and not any(pool.subnet.version == 6 for pool in config.pools):
        raise Unsupported("EnableIPv6: no IPv6 subnet is chosen for you here, and none was given")
    return config, str(body.get("Driver") or "bridge")


def network_to_api(record: NetworkRecord, containers: Iterable[Container] = ()) -> dict[str, Any]:
    """A network as ``network inspect`` shows it, with the running ones of *containers* that are on it."""
    config = record.config
    return {
        "Name": config.name,
        "Id": config.id,
        "Created": record.created,
        "Scope": "local",
        "Driver": API_DRIVER_NAMES.get(record.driver, record.driver),
        "EnableIPv6": any(pool.subnet.version == 6 for pool in config.pools),
        "IPAM": {"Driver": "default", "Options": None, "Config": [_pool_to_api(pool) for pool in config.pools]},
        "Internal": config.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            container.id: _member_to_api(container, name)
            for container in containers
            for name, place in container.attachments.items()
            if place.network_id == config.id and place.endpoint is not None
        },
        "Options": dict(config.options),
        "Labels": dict(config.labels),
    }


def _pool(item: Mapping[str, Any]) -> Pool:
    if not item.get("Subnet"):
        raise ValueError("an IPAM configuration needs a subnet")
    return Pool(
        ip_network(item["Subnet"]),
        ip_network(item["IPRange"], strict=False) if item.get("IPRange") else None,
        ip_address(item["Gateway"]) if item.get("Gateway") else None,
    )


def _pool_to_api(pool: Pool) -> dict[str, str]:
    shown = {"Subnet": str(pool.subnet)}
    if pool.address_range:
        shown["IPRange"] = str(pool.address_range)
    if pool.gateway:
        shown["Gateway"] = str(pool.gateway)
    return shown


def _member_to_api(container: Container, network: str) -> dict[str, str]:
    endpoint = container.attachments[network].endpoint
    assert endpoint is not None
    address = endpoint.lease.address
    return {
        "Name": container.name,
        "EndpointID": endpoint.lease.endpoint,
        "MacAddress": endpoint.lease.mac_address,
        "IPv4Address": str(address) if address and address.version == 4 else "",
        "IPv6Address": str(address) if address and address.version == 6 else "",
    }


def _truth(word: str) -> bool:
    meanings = {"true": True, "1": True, "false": False, "0": False}
    if word.lower() not in meanings:
        raise ValueError(f"{word!r} is neither true nor false")
    return meanings[word.lower()]
