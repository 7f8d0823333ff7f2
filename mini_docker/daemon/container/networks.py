"""What the life of a container needs to know of networks, and no more.

A Protocol: the switchboard that knows all networks implements it. Here stand only a container's
needs and two small rules of naming.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from mini_docker.daemon.container.config import EndpointConfig
from mini_docker.drivers.networkdriver.contract import NetworkDriver
from mini_docker.errors import Invalid

BRIDGE, HOST, NONE = "bridge", "host", "none"
PREDEFINED = (BRIDGE, HOST, NONE)

JOIN_PREFIX = "container:"


class Networks(Protocol):
    """Networks by name or id."""

    def resolve(self, word: str) -> tuple[str, str]:
        """Id and name of the network that *word* (a name, an id, or its unique beginning) means.

        Raises:
            NotFound: ``network X not found``.
        """

    def driver_of(self, network_id: str) -> NetworkDriver:
        """The driver that made the network.

        Raises:
            NotFound: no such network.
        """

    def drivers(self) -> Sequence[NetworkDriver]:
        """Every driver."""


def network_of(mode: str) -> str:
    """The network that a network mode means; empty for ``container:ID``, which has another's."""
    if mode.startswith(JOIN_PREFIX):
        return ""
    return BRIDGE if mode in ("", "default") else mode


def check_wish(network: str, wish: EndpointConfig) -> None:
    """Refuse what a predefined network does not have.

    Raises:
        Invalid: an address or an alias is wished for on such a network.
    """
    if network in PREDEFINED:
        if wish.ipam_config and wish.ipam_config.ipv4_address:
            raise Invalid("user specified IP address is supported on user defined networks only")
        if wish.aliases:
            raise Invalid("network-scoped alias is supported only for containers in user defined networks")


def endpoint_id(network_id: str, container_id: str) -> str:
    """The id of a container's endpoint on a network: always the same, so that a crash leaves no riddle."""
    return hashlib.sha256(f"{network_id} {container_id}".encode()).hexdigest()
