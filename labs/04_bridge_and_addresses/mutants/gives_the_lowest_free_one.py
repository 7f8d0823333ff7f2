"""Always gives the lowest free address: a container that comes now gets what one had a moment ago."""


class IPAllocator:
    def allocate(self, holder, wish=None):
        if wish is not None:
            if not self._givable(wish):
                raise Invalid(f"the address {wish} cannot be given to a container of the subnet {self.subnet}")
            if wish in self._holders:
                raise Conflict("Address already in use")
            self._holders[wish] = holder
            return wish
        for number in range(self._first, self._last + 1):
            address = self.subnet.network_address + (number - int(self.subnet.network_address))
            if address not in self._holders and self._givable(address):
                self._holders[address] = holder
                return address
        raise Conflict(f"no available IPv{self.subnet.version} addresses on this network: {self.subnet} is used up")
