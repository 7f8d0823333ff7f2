"""The door to the kernel's packet filter: what may pass, and which way addresses are rewritten.

A caller says *what* shall hold (`BridgeRules`, `PortForward`, `LinkRule`: frozen values); how that is
written in nftables (nft_rules.py) or iptables (iptables_rules.py) is the form's affair. Whatever the
form writes stands in tables and chains of its own, named by an instance's tag, so that two daemons
never meet and nobody else's rule is ever touched. It knows nothing of containers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from mini_docker.dataclasses import dataclass
from mini_docker.errors import MiniDockerError
from mini_docker.linux.netlink_requests import IPAddress, IPNetwork


class FirewallError(MiniDockerError):
    """The packet filter refused a transaction; nothing of it was done. The message has its own words."""


@dataclass(frozen=True, slots=True)
class BridgeRules:
    """How packets to and from one bridge are treated.

    Into the bridge pass answers, and new connections to published ports; nothing else, be it from
    outside or from another bridge: that is both protection and isolation.

    Attributes:
        subnet: the addresses behind the bridge.
        icc: whether packets may go from port to port (inter-container communication).
        masquerade: whether packets that leave for elsewhere get the host's address.
        internal: whether nothing leaves and nothing enters.
    """

    bridge: str
    subnet: IPNetwork
    icc: bool = True
    masquerade: bool = True
    internal: bool = False

    @property
    def version(self) -> int:
        """Of the Internet Protocol: 4 or 6."""
        return self.subnet.version


@dataclass(frozen=True, slots=True)
class PortForward:
    """A port of the host that leads to one behind a bridge, from everywhere: outside, the host itself, the bridge.

    Attributes:
        protocol: tcp or udp.
        host_address: the unspecified address (0.0.0.0) means all of the host's.
        address, port: where packets go instead.
        bridge: the bridge that *address* is behind.
    """

    protocol: str
    host_address: IPAddress
    host_port: int
    address: IPAddress
    port: int
    bridge: str

    @property
    def version(self) -> int:
        """Of the Internet Protocol: 4 or 6."""
        return self.address.version


@dataclass(frozen=True, slots=True)
class LinkRule:
    """A hole in a bridge without icc: *source* may speak to that port of *destination*, and get answers."""

    bridge: str
    source: IPAddress
    destination: IPAddress
    protocol: str
    port: int

    @property
    def version(self) -> int:
        """Of the Internet Protocol: 4 or 6."""
        return self.destination.version


Rule = BridgeRules | PortForward | LinkRule


class Firewall(Protocol):
    """A packet filter that holds a set of rules for one instance of mini_docker.

    Laws: what `delete` takes away leaves what stood before its `add`; adding what stands already
    changes nothing; a transaction is done as a whole or not at all (iptables: one for each table).
    """

    @property
    def name(self) -> str:
        """nftables, iptables or none."""

    def obstacle(self) -> str:
        """Why it does not work on this machine; empty when it does."""

    def install(self, rules: Sequence[Rule]) -> None:
        """Let exactly these rules hold, whatever stood before under this instance's tag.

        Raises:
            FirewallError: the packet filter refused.
        """

    def add(self, rules: Sequence[Rule]) -> None:
        """Let these hold as well. `install` came first.

        Raises:
            FirewallError: the packet filter refused; perhaps what `install` made was flushed.
        """

    def delete(self, rules: Sequence[Rule]) -> None:
        """Let these no longer hold.

        Raises:
            FirewallError: as for `add`.
        """

    def commands(self, rules: Sequence[Rule], delete: bool = False) -> tuple[str, ...]:
        """What `add`, or `delete`, would say for these to the tool, a command each: for whoever tells it."""

    def missing(self, rules: Sequence[Rule]) -> tuple[Rule, ...]:
        """Which of these should hold and do not, because another tool flushed them."""

    def remove(self) -> None:
        """Take away all that stands under this instance's tag. Nothing there is no error."""

    def show(self) -> str:
        """All that stands under this instance's tag, with packet counters, in the tool's own words."""

    def close(self) -> None:
        """Let go of what the form itself holds; the rules stay."""


class NoFirewall:
    """The form for ``--iptables=false``: the administrator keeps the packet filter. It writes nothing."""

    name = "none"

    def obstacle(self) -> str:
        return ""

    def install(self, rules: Sequence[Rule]) -> None:
        """Nothing is written."""

    def add(self, rules: Sequence[Rule]) -> None:
        """Nothing is written."""

    def delete(self, rules: Sequence[Rule]) -> None:
        """Nothing stands, so nothing has to go."""

    def commands(self, rules: Sequence[Rule], delete: bool = False) -> tuple[str, ...]:
        return ()

    def missing(self, rules: Sequence[Rule]) -> tuple[Rule, ...]:
        return ()

    def remove(self) -> None:
        """Nothing stands, so nothing has to go."""

    def show(self) -> str:
        return ""

    def close(self) -> None:
        """It holds nothing."""


class RecordingFirewall:
    """A form that only writes down, and remembers which rules hold: for tests without root.

    Attributes:
        calls: every call so far, as (name, rules).
        standing: the rules that hold, in the order in which they came.
        refuse: class names of rules whose `add` is refused.
    """

    name = "recording"

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Rule, ...]]] = []
        self.standing: list[Rule] = []
        self.refuse: set[str] = set()

    def obstacle(self) -> str:
        return ""

    def install(self, rules: Sequence[Rule]) -> None:
        self._note("install", rules)
        self.standing = list(rules)

    def add(self, rules: Sequence[Rule]) -> None:
        self._note("add", rules)
        self.standing += [rule for rule in rules if rule not in self.standing]

    def delete(self, rules: Sequence[Rule]) -> None:
        self._note("delete", rules)
        self.standing = [rule for rule in self.standing if rule not in rules]

    def commands(self, rules: Sequence[Rule], delete: bool = False) -> tuple[str, ...]:
        return tuple(f"{'delete' if delete else 'add'} {type(rule).__name__}" for rule in rules)

    def missing(self, rules: Sequence[Rule]) -> tuple[Rule, ...]:
        return tuple(rule for rule in rules if rule not in self.standing)

    def remove(self) -> None:
        self._note("remove", ())
        self.standing = []

    def show(self) -> str:
        return "\n".join(map(str, self.standing))

    def close(self) -> None:
        self._note("close", ())

    def _note(self, name: str, rules: Iterable[Rule]) -> None:
        rules = tuple(rules)
        self.calls.append((name, rules))
        if name != "delete" and any(type(rule).__name__ in self.refuse for rule in rules):
            raise FirewallError(f"{name} refused")
