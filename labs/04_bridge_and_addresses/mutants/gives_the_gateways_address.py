"""Forgets the reserved addresses: a container takes the gateway's, and all its neighbours lose their way out."""


class IPAllocator:
    def _givable(self, address):
        ends = (self.subnet.network_address, self.subnet.broadcast_address)
        return address in self.subnet and (self.subnet.num_addresses <= 2 or address not in ends)
