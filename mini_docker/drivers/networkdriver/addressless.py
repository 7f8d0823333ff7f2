"""Networks without addresses: what the none and the host driver have in common.

Neither leases, routes or publishes anything; what is left of the driver's contract is remembering who
is on the network.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.networkdriver.contract import (
    Address,
    EndpointState,
    Joined,
    Lease,
    NetworkConfig,
    PortBinding,
    PublishedPort,
    SandboxSockets,
)
from mini_docker.errors import Conflict, Denied, Invalid, NotFound


class AddresslessDriver:
    """See the module. Such a network exists once.

    *Guarded by the lock*: the one network, and the endpoints on it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._network: NetworkConfig | None = None
        self._endpoints: set[str] = set()

    @property
    def name(self) -> str:
        return self._name

    def available(self) -> Availability:
        return AVAILABLE

    def create_network(self, config: NetworkConfig) -> NetworkConfig:
        with self._lock:
            if self._network is not None and self._network.id != config.id:
                raise Denied(f"only one instance of {self._name!r} network is allowed")
            self._network = config
            return config

    def delete_network(self, network: str) -> None:
        with self._lock:
            self._known(network)
            if self._endpoints:
                raise Conflict(f"network {self._name} has active endpoints")
            self._network = None

    def lease(self, network: str, endpoint: str, address: Address | None = None, mac_address: str = "") -> Lease:
        if address is not None or mac_address:
            raise Invalid(f"the {self._name} network gives no addresses: an IP or MAC address cannot be asked for")
        with self._lock:
            self._known(network)
            self._endpoints.add(endpoint)
        return Lease(endpoint, network)

    def release(self, endpoint: str) -> None:
        with self._lock:
            self._endpoints.discard(endpoint)

    def join(self, endpoint: str, sandbox: SandboxSockets, interface: str = "", default_route: bool = True) -> Joined:
        return Joined("")

    def leave(self, endpoint: str, sandbox: SandboxSockets | None) -> None:
        """Nothing was made by `join`."""

    def set_gateway(self, endpoint: str, sandbox: SandboxSockets) -> None:
        """There is none."""

    def publish(self, endpoint: str, bindings: Sequence[PortBinding]) -> tuple[PublishedPort, ...]:
        # As Docker: a wish without effect is no error here, the client warns.
        return ()

    def unpublish(self, endpoint: str) -> None:
        """Nothing was published."""

    def link(self, endpoint: str, target: str, ports: Sequence[tuple[str, int]]) -> None:
        raise Invalid(f"cannot link {endpoint} to {target}: the {self._name} network has no addresses")

    def unlink(self, endpoint: str, target: str, ports: Sequence[tuple[str, int]]) -> None:
        """Nothing was linked."""

    def endpoint(self, endpoint: str) -> EndpointState:
        with self._lock:
            if endpoint not in self._endpoints or self._network is None:
                raise NotFound(f"endpoint {endpoint} not found")
            return EndpointState(Lease(endpoint, self._network.id))

    def restore(self, endpoints: Sequence[EndpointState]) -> None:
        with self._lock:
            self._endpoints = {state.lease.endpoint for state in endpoints}

    def shutdown(self) -> None:
        """Nothing stands for the daemon."""

    def describe(self, network: str) -> Mapping[str, Any]:
        with self._lock:
            self._known(network)
            return {"driver": self._name, "endpoints": {endpoint: {} for endpoint in sorted(self._endpoints)}}

    def _known(self, network: str) -> None:
        if self._network is None or self._network.id != network:
            raise NotFound(f"network {network} not found")
