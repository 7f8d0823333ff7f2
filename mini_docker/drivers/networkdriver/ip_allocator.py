"""The IP allocator: a cloakroom whose pegs are a subnet's addresses.

A pure state machine: no I/O, no locks (its owner has one), no clock. It hands the pegs out in a circle,
as classic Docker did: an address that was just given back is the last to be given again, so that
nobody's stale ARP entry or connection meets a stranger. The same calls give the same answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mini_docker.drivers.networkdriver.contract import Address, Subnet
from mini_docker.errors import Conflict, Invalid


class IPAllocator:
    """Who has which address of one subnet.

    Args:
        subnet: all that may be asked for by name.
        address_range: the part that is given to who asks for any; None for all of the subnet.
        reserved: never given to anyone: the gateway. (The network's and broadcast addresses are not either.)

    Raises:
        Invalid: the range or a reserved address lies outside the subnet.
    """

    def __init__(self, subnet: Subnet, address_range: Subnet | None = None, reserved: Iterable[Address] = ()) -> None:
        area = address_range or subnet
        if area.version != subnet.version or not _within(area, subnet):
            raise Invalid(f"the range {area} is not a part of the subnet {subnet}")
        self.subnet = subnet
        self._reserved = frozenset(reserved)
        for address in self._reserved:
            if address not in subnet:
                raise Invalid(f"the address {address} is not in the subnet {subnet}")
        self._first, self._last = int(area.network_address), int(area.broadcast_address)
        self._next = self._first
        self._holders: dict[Address, str] = {}

    def allocate(self, holder: str, wish: Address | None = None) -> Address:
        """Give *holder* an address: the one it wishes for, or the next free one.

        Raises:
            Invalid: the wish is not an address of the subnet that can be given.
            Conflict: it is taken, or none is left.
        """
        if wish is not None:
            if not self._givable(wish):
                raise Invalid(f"the address {wish} cannot be given to a container of the subnet {self.subnet}")
            if wish in self._holders:
                raise Conflict("Address already in use")
            self._holders[wish] = holder
            return wish
        size = self._last - self._first + 1
        for step in range(size):
            number = self._first + (self._next - self._first + step) % size
            # The constructors of addresses are slow: skip what is taken as cheaply as can be.
            address = self.subnet.network_address + (number - int(self.subnet.network_address))
            if address not in self._holders and self._givable(address):
                self._holders[address] = holder
                self._next = number + 1
                return address
        raise Conflict(f"no available IPv{self.subnet.version} addresses on this network: {self.subnet} is used up")

    def release(self, address: Address) -> None:
        """Take an address back. One that nobody has is no error."""
        self._holders.pop(address, None)

    def holder(self, address: Address) -> str | None:
        """Who has the address."""
        return self._holders.get(address)

    def snapshot(self) -> Mapping[Address, str]:
        """All addresses that are out, and who has them."""
        return dict(self._holders)

    def _givable(self, address: Address) -> bool:
        if address not in self.subnet or address in self._reserved:
            return False
        # RFC 3021: the two addresses of a /31 are both hosts'; so is the one of a /32.
        ends = (self.subnet.network_address, self.subnet.broadcast_address)
        return self.subnet.num_addresses <= 2 or address not in ends


def _within(part: Subnet, whole: Subnet) -> bool:
    return part.network_address in whole and part.broadcast_address in whole
