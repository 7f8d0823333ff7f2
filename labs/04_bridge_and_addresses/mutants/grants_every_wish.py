"""Grants a wish without looking whether somebody has the address: two containers answer for one."""


class IPAllocator:
    def allocate(self, holder, wish=None):
        if wish is not None:
            if not self._givable(wish):
                raise Invalid(f"the address {wish} cannot be given to a container of the subnet {self.subnet}")
            self._holders[wish] = holder
            return wish
        size = self._last - self._first + 1
        for step in range(size):
            number = self._first + (self._next - self._first + step) % size
            address = self.subnet.network_address + (number - int(self.subnet.network_address))
            if address not in self._holders and self._givable(address):
                self._holders[address] = holder
                self._next = number + 1
                return address
        raise Conflict(f"no available IPv{self.subnet.version} addresses on this network: {self.subnet} is used up")
