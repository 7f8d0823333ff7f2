"""The IP allocator, against a set: no double lease, reserved never given, released comes back, in a circle."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mini_docker.drivers.networkdriver.contract import Address
from mini_docker.drivers.networkdriver.ip_allocator import IPAllocator
from mini_docker.errors import Conflict, Invalid

SUBNETS = ["10.0.0.0/28", "192.168.7.0/30", "10.9.9.8/31", "10.9.9.9/32", "fd00::/124"]


class Allocation(RuleBasedStateMachine):
    """Random allocations and releases; a dictionary is the model."""

    @initialize(subnet=st.sampled_from(SUBNETS), reserve=st.booleans())
    def begin(self, subnet: str, reserve: bool) -> None:
        """Any subnet, with its first address perhaps the gateway's."""
        self.subnet = ip_network(subnet)
        self.gateway = self.subnet.network_address + (1 if self.subnet.num_addresses > 2 else 0)
        self.reserved = {self.gateway} if reserve else set()
        self.allocator = IPAllocator(self.subnet, reserved=self.reserved)
        self.model: dict[Address, str] = {}
        self.count = 0

    def givable(self) -> set[Address]:
        """What may be given at all."""
        ends = {self.subnet.network_address, self.subnet.broadcast_address} if self.subnet.num_addresses > 2 else set()
        return {self.subnet.network_address + n for n in range(self.subnet.num_addresses)} - ends - self.reserved

    @rule()
    def allocate(self) -> None:
        """Any address: a free one as long as there is one, and then a Conflict."""
        self.count += 1
        holder = f"h{self.count}"
        if set(self.model) == self.givable():
            with pytest.raises(Conflict):
                self.allocator.allocate(holder)
            return
        address = self.allocator.allocate(holder)
        assert address in self.givable() - set(self.model)
        self.model[address] = holder

    @rule(offset=st.integers(min_value=0, max_value=20))
    def wish(self, offset: int) -> None:
        """A wished address: granted if free, Conflict if taken, Invalid if it is not one to give."""
        address = self.subnet.network_address + offset
        if address not in self.givable():
            with pytest.raises(Invalid):
                self.allocator.allocate("w", address)
        elif address in self.model:
            with pytest.raises(Conflict):
                self.allocator.allocate("w", address)
        else:
            assert self.allocator.allocate("w", address) == address
            self.model[address] = "w"

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Releasing twice is no error."""
        address = data.draw(st.sampled_from(sorted(self.model)))
        del self.model[address]
        self.allocator.release(address)
        self.allocator.release(address)

    @invariant()
    def agrees(self) -> None:
        """Its snapshot is the model; it is what is told to the next daemon."""
        if hasattr(self, "model"):
            assert self.allocator.snapshot() == self.model


TestAllocation = Allocation.TestCase
TestAllocation.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_released_address_is_given_again_last() -> None:
    """In a circle: a stale ARP entry or connection of the last holder must not meet the next one at once."""
    allocator = IPAllocator(ip_network("10.0.0.0/29"), reserved=[ip_address("10.0.0.1")])
    given = [allocator.allocate("x") for _ in range(3)]
    assert [str(address) for address in given] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    for address in given:
        allocator.release(address)
    assert [str(allocator.allocate("x"))[-1] for _ in range(5)] == ["5", "6", "2", "3", "4"]


def test_a_range_limits_what_is_given_but_not_what_may_be_wished() -> None:
    """--fixed-cidr: the rest of the subnet is for those who name their address."""
    allocator = IPAllocator(ip_network("10.0.0.0/24"), ip_network("10.0.0.128/30"))
    assert [str(allocator.allocate("x")) for _ in range(4)] == [f"10.0.0.{n}" for n in (128, 129, 130, 131)]
    with pytest.raises(Conflict):
        allocator.allocate("x")
    assert str(allocator.allocate("x", ip_address("10.0.0.7"))) == "10.0.0.7"


@given(st.sampled_from(["10.1.0.0/24", "10.0.0.0/23", "fd00::/64"]))
def test_a_range_outside_the_subnet_is_refused(area: str) -> None:
    """Or addresses would be given that the bridge cannot reach."""
    with pytest.raises(Invalid):
        IPAllocator(ip_network("10.0.0.0/24"), ip_network(area))
