"""The port allocator, against a model that knows which ports exclude each other."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mini_docker.drivers.networkdriver.contract import PortTaken
from mini_docker.drivers.networkdriver.port_allocator import HostPort, PortAllocator

ADDRESSES = [ip_address(text) for text in ("0.0.0.0", "127.0.0.1", "10.0.0.1", "::", "::1")]
PORTS = st.builds(HostPort, st.sampled_from(ADDRESSES), st.integers(8000, 8003), st.sampled_from(["tcp", "udp"]))


def excludes(one: HostPort, other: HostPort) -> bool:
    """Whether both cannot be bound at once: all of the host's addresses include each of them."""
    if (one.port, one.protocol, one.address.version) != (other.port, other.protocol, other.address.version):
        return False
    return one.address == other.address or one.address.is_unspecified or other.address.is_unspecified


class Ports(RuleBasedStateMachine):
    """Random promises; a dictionary is the model."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = PortAllocator()
        self.model: dict[HostPort, str] = {}

    @rule(port=PORTS, holder=st.sampled_from(["a", "b"]))
    def allocate(self, port: HostPort, holder: str) -> None:
        """Granted unless something in the model excludes it; the error names who has it."""
        in_the_way = [other for other in self.model if excludes(port, other)]
        if in_the_way:
            with pytest.raises(PortTaken) as caught:
                self.allocator.allocate(port, holder)
            assert caught.value.endpoint in {self.model[other] for other in in_the_way}
        else:
            self.allocator.allocate(port, holder)
            self.model[port] = holder

    @rule(address=st.sampled_from(ADDRESSES), protocol=st.sampled_from(["tcp", "udp"]))
    def choose(self, address: object, protocol: str) -> None:
        """The candidates of a range are exactly its free ports, each once."""
        found = list(self.allocator.candidates(address, protocol, 8000, 8003))  # type: ignore[arg-type]
        wanted = [HostPort(address, number, protocol) for number in range(8000, 8004)]  # type: ignore[arg-type]
        assert sorted(port.port for port in found) == [
            port.port for port in wanted if not any(excludes(port, other) for other in self.model)
        ]

    @rule(port=PORTS)
    def release(self, port: HostPort) -> None:
        """What nobody has may be released, too."""
        self.model.pop(port, None)
        self.allocator.release(port)

    @invariant()
    def agrees(self) -> None:
        """Its snapshot is the model, and no two ports in it exclude each other."""
        assert self.allocator.snapshot() == self.model


TestPorts = Ports.TestCase
TestPorts.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_any_free_port_goes_round() -> None:
    """A port that was just given back is the last to be given again."""
    allocator, everywhere = PortAllocator(), ADDRESSES[0]
    for expected in (8000, 8001, 8002, 8000):
        port = next(allocator.candidates(everywhere, "tcp", 8000, 8002))
        assert port.port == expected
        allocator.allocate(port, "x")
        allocator.release(port)


def test_the_error_is_dockers() -> None:
    """Users and scripts know this sentence."""
    error = PortTaken(ADDRESSES[0], 8080, "tcp", endpoint="e1").told(context="driver failed: ")
    assert str(error) == "driver failed: Bind for 0.0.0.0:8080 failed: port is already allocated (by endpoint e1)"
    assert str(error.told(holder="container web")).endswith("failed: port is already allocated (by container web)")
    assert str(PortTaken(ADDRESSES[4], 80, "tcp")) == "Bind for [::1]:80 failed: port is already allocated"
