"""Takes the two addresses of a /31 for network and broadcast: such a subnet has none to give (RFC 3021)."""


class IPAllocator:
    def _givable(self, address):
        ends = (self.subnet.network_address, self.subnet.broadcast_address)
        return address in self.subnet and address not in self._reserved and address not in ends
