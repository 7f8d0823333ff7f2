"""Goes forward only: once the end of the range is reached, released addresses are never given again."""


class IPAllocator:
    def allocate(self, holder, wish=None):
        if wish is not None:
            if not self._givable(wish):
                raise Invalid(f"the address {wish} cannot be given to a container of the subnet {self.subnet}")
            if wish in self._holders:
                raise Conflict("Address already in use")
            self._holders[wish] = holder
            return wish
        for number in range(self._next, self._last + 1):
            address = self.subnet.network_address + (number - int(self.subnet.network_address))
            if address not in self._holders and self._givable(address):
                self._holders[address] = holder
                self._next = number + 1
                return address
        raise Conflict(f"no available IPv{self.subnet.version} addresses on this network: {self.subnet} is used up")
