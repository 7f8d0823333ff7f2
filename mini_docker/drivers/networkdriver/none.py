"""The none driver: a container alone with its loopback. (Docker's API calls this driver ``null``.)"""

from __future__ import annotations

from mini_docker.drivers.networkdriver.addressless import AddresslessDriver
from mini_docker.drivers.networkdriver.contract import Joined, SandboxSockets
from mini_docker.linux.netlink import Netlink
from mini_docker.linux.netlink_requests import SetLink


class NoneDriver(AddresslessDriver):
    """The container has a namespace of its own; joining brings its loopback up, and that is all it has."""

    def __init__(self, netlink: Netlink) -> None:
        super().__init__("none")
        self._netlink = netlink

    def join(self, endpoint: str, sandbox: SandboxSockets, interface: str = "", default_route: bool = True) -> Joined:
        self._netlink.apply([SetLink("lo", up=True)], sandbox.netlink)
        return Joined("")
