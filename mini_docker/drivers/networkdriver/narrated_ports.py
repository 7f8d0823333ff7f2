"""The port holder and the userland proxies, as they are when somebody listens to a start (`Audience`).

Each says in words what it asks of the kernel for a published port, then lets the real one do it. They know nothing
of ports but how to describe them.
"""

from __future__ import annotations

import socket

from mini_docker.drivers.networkdriver.contract import Address, PublishedPort
from mini_docker.drivers.networkdriver.port_allocator import HostPort
from mini_docker.drivers.networkdriver.port_holder import PortHolder
from mini_docker.drivers.networkdriver.userland_proxies import UserlandProxies
from mini_docker.linux.narrated_network import NarratedDoor

_TYPES = {"tcp": "SOCK_STREAM", "udp": "SOCK_DGRAM"}


class NarratedPortHolder(NarratedDoor[PortHolder]):
    """Stands in the place of `PortHolder`, before the real one."""

    def hold(self, port: HostPort) -> None:
        order = f"bind({_TYPES.get(port.protocol, port.protocol)}, {port.address}:{port.port})"
        with self._audience.told(order, "hold the host's port, so that no other program can take it; bind(2), ip(7)"):
            self._real.hold(port)

    def let_go(self, port: HostPort) -> None:
        order = f"close({_TYPES.get(port.protocol, port.protocol)}, {port.address}:{port.port})"
        with self._audience.told(order, "let go of the host's port; close(2)"):
            self._real.let_go(port)


class NarratedProxies(NarratedDoor[UserlandProxies]):
    """Stands in the place of `UserlandProxies`, before the real ones."""

    def start(self, port: PublishedPort, held: socket.socket, address: Address, cable: str) -> None:
        order = f"execve('proxy', {_way(port)}, to={address}:{port.container_port}, cable={cable!r})"
        words = "start a process of ours that carries there what rules cannot lead; execve(2), accept(2)"
        with self._audience.told(order, words):
            self._real.start(port, held, address, cable)

    def end(self, port: PublishedPort) -> None:
        with self._audience.told(f"kill('proxy', {_way(port)}, SIGKILL)", "end the process of that port; kill(2)"):
            self._real.end(port)


def _way(port: PublishedPort) -> str:
    return f"{port.protocol}, {port.host_address}:{port.host_port}"
