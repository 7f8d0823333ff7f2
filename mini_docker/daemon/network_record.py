"""What is written down of a network, and how: a frozen value and its JSON. No I/O."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.networkdriver.contract import NetworkConfig, Pool


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """A network as the daemon knows it.

    Attributes:
        config: with all choices made, once its driver made it real.
        driver: the name of that driver.
        created: RFC 3339.
    """

    config: NetworkConfig
    driver: str
    created: str

    def to_json(self) -> dict[str, Any]:
        """For the store; `from_json` is the inverse."""
        config = self.config
        return {
            "Id": config.id,
            "Name": config.name,
            "Driver": self.driver,
            "Created": self.created,
            "Pools": [_pool_to_json(pool) for pool in config.pools],
            "Internal": config.internal,
            "ICC": config.icc,
            "Masquerade": config.masquerade,
            "MTU": config.mtu,
            "Bridge": config.bridge,
            "DefaultBinding": str(config.default_binding or ""),
            "Options": dict(config.options),
            "Labels": dict(config.labels),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NetworkRecord:
        """The inverse of `to_json`."""
        binding = data["DefaultBinding"]
        config = NetworkConfig(
            data["Id"],
            data["Name"],
            tuple(map(_pool_from_json, data["Pools"])),
            data["Internal"],
            data["ICC"],
            data["Masquerade"],
            data["MTU"],
            data["Bridge"],
            ip_address(binding) if binding else None,
            data["Options"],
            data["Labels"],
        )
        return cls(config, data["Driver"], data["Created"])


def _pool_to_json(pool: Pool) -> dict[str, str]:
    return {
        "Subnet": str(pool.subnet),
        "IPRange": str(pool.address_range or ""),
        "Gateway": str(pool.gateway or ""),
    }


def _pool_from_json(data: dict[str, str]) -> Pool:
    return Pool(
        ip_network(data["Subnet"]),
        ip_network(data["IPRange"]) if data["IPRange"] else None,
        ip_address(data["Gateway"]) if data["Gateway"] else None,
    )
