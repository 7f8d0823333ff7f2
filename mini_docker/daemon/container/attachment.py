"""How one container hangs on one network: the wish, and what the driver granted.

Frozen values that are stored with the container, so that a later daemon can tell the driver about
them again. They know nothing of how a driver connects anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_interface
from typing import Any

from mini_docker.daemon.container import api_json
from mini_docker.daemon.container.config import EndpointConfig, EndpointIpam
from mini_docker.dataclasses import dataclass, field, replace
from mini_docker.drivers.networkdriver.contract import EndpointState, Joined, Lease, PublishedPort


@dataclass(frozen=True, slots=True)
class Attachment:
    """A container's place on a network.

    Attributes:
        network: the network's name, the key under ``NetworkSettings.Networks``.
        network_id: its id; empty until the first start.
        wish: addresses, aliases and links as the user gave them.
        endpoint: what the driver holds for it while the container runs; None while it does not.
    """

    network: str
    network_id: str = ""
    wish: EndpointConfig = field(default_factory=EndpointConfig)
    endpoint: EndpointState | None = None

    @property
    def endpoint_id(self) -> str:
        """The driver's name for the endpoint; empty while there is none."""
        return self.endpoint.lease.endpoint if self.endpoint else ""

    def released(self) -> Attachment:
        """The same place with nothing held."""
        return replace(self, endpoint=None)

    def to_api(self) -> dict[str, Any]:
        """One entry of ``NetworkSettings.Networks``."""
        lease = self.endpoint.lease if self.endpoint else None
        address = lease.address if lease else None
        gateway = str(lease.gateway) if lease and lease.gateway else ""
        ipv4 = address if address and address.version == 4 else None
        ipv6 = address if address and address.version == 6 else None
        ipam = self.wish.ipam_config
        return {
            "IPAMConfig": api_json.encode(ipam) if ipam and ipam != EndpointIpam() else None,
            "Links": list(self.wish.links) or None,
            "Aliases": list(self.wish.aliases) or None,
            "NetworkID": self.network_id,
            "EndpointID": lease.endpoint if lease else "",
            "Gateway": gateway if ipv4 else "",
            "IPAddress": str(ipv4.ip) if ipv4 else "",
            "IPPrefixLen": ipv4.network.prefixlen if ipv4 else 0,
            "IPv6Gateway": gateway if ipv6 else "",
            "GlobalIPv6Address": str(ipv6.ip) if ipv6 else "",
            "GlobalIPv6PrefixLen": ipv6.network.prefixlen if ipv6 else 0,
            "MacAddress": lease.mac_address if lease else "",
            "DriverOpts": dict(self.wish.driver_opts) or None,
        }

    def to_json(self) -> dict[str, Any]:
        """For the store; `from_json` is the inverse."""
        return {
            "Network": self.network,
            "NetworkID": self.network_id,
            "Wish": api_json.encode(self.wish),
            "Endpoint": endpoint_to_json(self.endpoint) if self.endpoint else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Attachment:
        """The inverse of `to_json`."""
        endpoint = data["Endpoint"]
        return cls(
            data["Network"],
            data["NetworkID"],
            api_json.decode(EndpointConfig, data["Wish"]),
            endpoint_from_json(endpoint) if endpoint else None,
        )


def way_out(places: Iterable[Attachment]) -> Attachment | None:
    """The place through which a container reaches elsewhere, and its published ports are reached.

    Of several that have a gateway it is the one whose network's name comes first, as Docker chooses.
    """
    leading = (place for place in places if place.endpoint and place.endpoint.lease.gateway)
    return min(leading, key=lambda place: place.network, default=None)


def endpoint_to_json(state: EndpointState) -> dict[str, Any]:
    """An `EndpointState` as JSON-able data."""
    lease, joined = state.lease, state.joined
    return {
        "Lease": {
            "Endpoint": lease.endpoint,
            "Network": lease.network,
            "Address": str(lease.address) if lease.address else None,
            "Gateway": str(lease.gateway) if lease.gateway else None,
            "MacAddress": lease.mac_address,
        },
        "Published": [
            [port.container_port, port.protocol, str(port.host_address), port.host_port] for port in state.published
        ],
        "Joined": [joined.interface, joined.host_interface] if joined else None,
    }


def endpoint_from_json(data: dict[str, Any]) -> EndpointState:
    """The inverse of `endpoint_to_json`."""
    lease = data["Lease"]
    return EndpointState(
        Lease(
            lease["Endpoint"],
            lease["Network"],
            ip_interface(lease["Address"]) if lease["Address"] else None,
            ip_address(lease["Gateway"]) if lease["Gateway"] else None,
            lease["MacAddress"],
        ),
        tuple(
            PublishedPort(container_port, protocol, ip_address(address), host_port)
            for container_port, protocol, address, host_port in data["Published"]
        ),
        Joined(*data["Joined"]) if data["Joined"] else None,
    )
