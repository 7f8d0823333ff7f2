"""The port mapper: turns wishes for ports into ports that are promised, held, and named in the book.

It joins the allocator (our own promises) and the holder (other programs). Rules are the driver's affair.

Source: classic Docker's ``daemon/networkdriver/portmapper``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from ipaddress import IPv4Address

from mini_docker.drivers.networkdriver.contract import Address, PortBinding, PublishedPort
from mini_docker.drivers.networkdriver.port_allocator import (
    FIRST_DYNAMIC_PORT,
    LAST_DYNAMIC_PORT,
    HostPort,
    PortAllocator,
    PortTaken,
)
from mini_docker.drivers.networkdriver.port_holder import PortHolder
from mini_docker.errors import Conflict, Invalid

ALL_ADDRESSES = IPv4Address(0)

log = logging.getLogger(__name__)


class PortMapper:
    """Which endpoint has which ports of the host.

    *Guarded by the lock*: both books.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._allocator = PortAllocator()
        self._holder = PortHolder()

    def map(
        self, endpoint: str, bindings: Sequence[PortBinding], default_address: Address | None
    ) -> tuple[PublishedPort, ...]:
        """Grant all the wishes, or none.

        Args:
            default_address: where a port is bound when the wish names no address; None for all of the host's.

        Raises:
            PortTaken: a port is in use, by us or another program.
            Conflict: a range has no free port.
            Invalid: a wish that makes no sense, or an address that the host does not have.
        """
        granted: list[PublishedPort] = []
        with self._lock:
            try:
                for binding in bindings:
                    address = binding.host_address or default_address or ALL_ADDRESSES
                    port = self._grant(endpoint, binding, address)
                    granted.append(PublishedPort(binding.container_port, binding.protocol, address, port.port))
            except Exception:
                self._unmap(granted)
                raise
        return tuple(granted)

    def unmap(self, ports: Sequence[PublishedPort]) -> None:
        """Take ports back; those that nobody has are no error."""
        with self._lock:
            self._unmap(ports)

    def restore(self, endpoint: str, ports: Sequence[PublishedPort]) -> None:
        """Know again what was granted before a restart. The rules work on, so what cannot be held is only told."""
        with self._lock:
            for port in map(_host_port, ports):
                try:
                    self._take(port, endpoint)
                except (PortTaken, Invalid) as error:
                    log.warning("published port of endpoint %s: %s", endpoint, error)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            for port in self._allocator.snapshot():
                self._give_back(port)

    def _grant(self, endpoint: str, binding: PortBinding, address: Address) -> HostPort:
        if not 0 < binding.container_port < 65536:
            raise Invalid(f"invalid container port: {binding.container_port}")
        first, last = binding.host_ports
        if (first, last) == (0, 0):
            first, last = FIRST_DYNAMIC_PORT, LAST_DYNAMIC_PORT
        if not 0 < first <= last < 65536:
            raise Invalid(f"invalid range of host ports: {first}-{last}")
        if first == last:
            port = HostPort(address, first, binding.protocol)
            self._take(port, endpoint)
            return port
        for port in self._allocator.candidates(address, binding.protocol, first, last):
            try:
                self._take(port, endpoint)
            except PortTaken:
                continue  # another program has it: the next
            return port
        raise Conflict(f"all ports are allocated: none of {first}-{last}/{binding.protocol} is free on {address}")

    def _take(self, port: HostPort, endpoint: str) -> None:
        self._allocator.allocate(port, f"endpoint {endpoint}")
        try:
            self._holder.hold(port)
        except Exception:
            self._allocator.release(port)
            raise

    def _give_back(self, port: HostPort) -> None:
        self._holder.let_go(port)
        self._allocator.release(port)

    def _unmap(self, ports: Sequence[PublishedPort]) -> None:
        for port in map(_host_port, ports):
            self._give_back(port)


def _host_port(port: PublishedPort) -> HostPort:
    return HostPort(port.host_address, port.host_port, port.protocol)
