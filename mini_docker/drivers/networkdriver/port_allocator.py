"""The port allocator: who was promised which port of the host.

A pure state machine, as the IP allocator: no I/O, no locks. It knows only its own promises; that
another program has a port is found out by who then tries to hold it (port_holder.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.networkdriver.contract import Address, PortTaken

FIRST_DYNAMIC_PORT, LAST_DYNAMIC_PORT = 49153, 65535
"""What "any free port" is chosen from: the range that IANA leaves to nobody (RFC 6335), without its first."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the host. The unspecified address (0.0.0.0, ::) stands for all of the host's of its version."""

    address: Address
    port: int
    protocol: str = "tcp"


class PortAllocator:
    """Who has which port, for each protocol. A port of all addresses excludes the same port of any one."""

    def __init__(self) -> None:
        self._holders: dict[HostPort, str] = {}
        # By (protocol, port): most questions end here without a look at addresses.
        self._addresses: dict[tuple[str, int], set[Address]] = {}
        self._next: dict[tuple[str, Address], int] = {}

    def allocate(self, port: HostPort, holder: str) -> None:
        """Promise this very port to *holder*, an endpoint.

        Raises:
            PortTaken: it was promised before.
        """
        if (taken := self._in_the_way(port)) is not None:
            raise PortTaken(port.address, port.port, port.protocol, endpoint=self._holders[taken])
        self._holders[port] = holder
        self._addresses.setdefault((port.protocol, port.port), set()).add(port.address)

    def candidates(self, address: Address, protocol: str, first: int, last: int) -> Iterator[HostPort]:
        """The ports of a range that are free, in the order in which to try them: a circle, after the last one promised.

        The caller takes the first that it can hold. Consuming an item moves the circle on.
        """
        start = self._next.get((protocol, address), first)
        if not first <= start <= last:
            start = first
        for number in (*range(start, last + 1), *range(first, start)):
            port = HostPort(address, number, protocol)
            if self._in_the_way(port) is None:
                self._next[protocol, address] = number + 1
                yield port

    def release(self, port: HostPort) -> None:
        """Take a port back. One that nobody has is no error."""
        if self._holders.pop(port, None) is not None:
            addresses = self._addresses[port.protocol, port.port]
            addresses.discard(port.address)
            if not addresses:
                del self._addresses[port.protocol, port.port]

    def holder(self, port: HostPort) -> str | None:
        """Who has exactly this port."""
        return self._holders.get(port)

    def snapshot(self) -> dict[HostPort, str]:
        """All ports that are promised, and to whom."""
        return dict(self._holders)

    def _in_the_way(self, port: HostPort) -> HostPort | None:
        for address in self._addresses.get((port.protocol, port.port), ()):
            same_version = address.version == port.address.version
            if same_version and (address == port.address or address.is_unspecified or port.address.is_unspecified):
                return HostPort(address, port.port, port.protocol)
        return None
