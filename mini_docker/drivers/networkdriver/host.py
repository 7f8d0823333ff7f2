"""The host driver: a container in the host's own network, as any of its programs."""

from __future__ import annotations

from mini_docker.drivers.networkdriver.addressless import AddresslessDriver


class HostDriver(AddresslessDriver):
    """The container shares the host's network namespace: there is nothing to connect."""

    def __init__(self) -> None:
        super().__init__("host")
