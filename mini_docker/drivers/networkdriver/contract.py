"""The network driver's contract: networks, an address for each endpoint, joining, published ports.

Classic Docker had none: its bridge was called directly. A driver knows endpoints and sandboxes
(a container's network namespace, given by descriptors); it knows nothing of containers' names,
images or HTTP. An address is an `ipaddress` object: nothing assumes that it has four bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any, Protocol

from mini_docker.dataclasses import dataclass, field
from mini_docker.drivers.availability import Availability
from mini_docker.errors import Conflict

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Subnet = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses that a network may give out.

    Attributes:
        subnet: the network's own, as its bridge has it.
        address_range: the part of it that containers get addresses from; None for all of it.
        gateway: the bridge's address; None lets the driver choose the first.
    """

    subnet: Subnet
    address_range: Subnet | None = None
    gateway: Address | None = None


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What a network is.

    Attributes:
        id: 64 hex digits.
        name: the user's word for it.
        pools: empty lets the driver choose a free subnet.
        internal: no way out.
        icc: whether its containers may talk to each other.
        masquerade: whether packets to the outside get the host's address.
        mtu: bytes; 0 leaves the kernel's default.
        bridge: name of the host's bridge to make or to use; empty lets the driver name it.
        default_binding: host address that published ports are bound to when none is said.
        options, labels: as the user gave them.
    """

    id: str
    name: str
    pools: tuple[Pool, ...] = ()
    internal: bool = False
    icc: bool = True
    masquerade: bool = True
    mtu: int = 0
    bridge: str = ""
    default_binding: Address | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    """An address given to one endpoint until it is released.

    Attributes:
        endpoint: id of the endpoint that holds it; whoever asked for the lease chose it.
        address: with the prefix length of its subnet; None on a network without addresses (host, none).
        gateway: where packets to elsewhere go; None when there is no way out.
        mac_address: six bytes, ``02:42:…``, made from the address; empty without one.
    """

    endpoint: str
    network: str
    address: Interface | None = None
    gateway: Address | None = None
    mac_address: str = ""


@dataclass(frozen=True, slots=True)
class SandboxSockets:
    """How to reach a container's network namespace without entering it.

    Attributes:
        namespace: descriptor of the namespace (/proc/PID/ns/net).
        netlink: descriptor of a NETLINK_ROUTE socket that was opened inside it.

    Both belong to the exec driver's sandbox; the network driver uses them during the call only.
    """

    namespace: int
    netlink: int


@dataclass(frozen=True, slots=True)
class PortBinding:
    """A wish: make a container's port reachable at the host's.

    Attributes:
        container_port: 1 to 65535.
        protocol: tcp or udp.
        host_address: None for all of the host's.
        host_ports: first and last port to choose from; (0, 0) for any free one.
    """

    container_port: int
    protocol: str = "tcp"
    host_address: Address | None = None
    host_ports: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A granted wish: host address and port now lead to the container's."""

    container_port: int
    protocol: str
    host_address: Address
    host_port: int


class PortTaken(Conflict):
    """A host port is in use.

    Attributes:
        address, port, protocol: which one.
        endpoint: the one that has it; empty when it is not one of ours.
        holder: who has it, in words; empty if unknown.
        context: what was being done, said before the sentence.
    """

    def __init__(
        self, address: Address, port: int, protocol: str, holder: str = "", context: str = "", endpoint: str = ""
    ) -> None:
        self.address = address
        self.port = port
        self.protocol = protocol
        self.endpoint = endpoint
        self.holder = holder or (f"endpoint {endpoint}" if endpoint else "")
        self.context = context
        whom = f" (by {self.holder})" if self.holder else ""
        shown = f"[{address}]" if address.version == 6 else str(address)
        super().__init__(f"{context}Bind for {shown}:{port} failed: port is already allocated{whom}")

    def told(self, holder: str = "", context: str = "") -> PortTaken:
        """The same, where more is known of who has it or of what was being done."""
        return PortTaken(
            self.address, self.port, self.protocol, holder or self.holder, context or self.context, self.endpoint
        )


@dataclass(frozen=True, slots=True)
class Joined:
    """What an endpoint got inside its sandbox.

    Attributes:
        interface: its name there, ``eth0``.
        host_interface: the other end's name on the host; empty when there is none.
    """

    interface: str
    host_interface: str = ""


@dataclass(frozen=True, slots=True)
class EndpointState:
    """All that a driver must be told of an endpoint to know it again after a restart of the daemon."""

    lease: Lease
    published: tuple[PublishedPort, ...] = ()
    joined: Joined | None = None


class NetworkDriver(Protocol):
    """One way to connect containers.

    Laws: no address or port is held twice; what was released can be had again; every call is
    undone by its opposite and leaves nothing; releasing what is not held is no error, so that
    cleanup may be repeated; foreign links and rules are never touched.

    May be called from many threads at once.
    """

    @property
    def name(self) -> str:
        """As ``--driver`` and ``docker network ls`` have it: bridge, host, none."""

    def available(self) -> Availability:
        """Whether it works here."""

    def create_network(self, config: NetworkConfig) -> NetworkConfig:
        """Make the network real; returns the config with all choices made (pools, gateway, bridge).

        Also called at start-up for networks that exist: what is right already is left alone.

        Raises:
            Conflict: its subnet overlaps another network's. Denied: a second one of a kind that exists once.
        """

    def delete_network(self, network: str) -> None:
        """Undo `create_network`. A bridge that it did not make is left.

        Raises:
            NotFound: unknown. Conflict: it has endpoints.
        """

    def lease(self, network: str, endpoint: str, address: Address | None = None, mac_address: str = "") -> Lease:
        """Reserve an address for an endpoint; nothing is made yet.

        Raises:
            Invalid: the wished address is outside the subnet. Conflict: it is taken, or none is left.
        """

    def release(self, endpoint: str) -> None:
        """Give the address back."""

    def join(
        self, endpoint: str, sandbox: SandboxSockets, interface: str = "eth0", default_route: bool = True
    ) -> Joined:
        """Connect the sandbox: link, address, route. It has a lease."""

    def leave(self, endpoint: str, sandbox: SandboxSockets | None) -> None:
        """Disconnect it. *sandbox* is None when the namespace is gone (the kernel then removed the link)."""

    def set_gateway(self, endpoint: str, sandbox: SandboxSockets) -> None:
        """Let this endpoint be the sandbox's way out, in place of another. It has joined.

        Raises:
            Conflict: it has no gateway, or has not joined.
        """

    def publish(self, endpoint: str, bindings: Sequence[PortBinding]) -> tuple[PublishedPort, ...]:
        """Make ports reachable, all or none.

        Raises:
            PortTaken: a host port is in use. Conflict: none of a range is free; the endpoint has not joined.
        """

    def unpublish(self, endpoint: str) -> None:
        """Take all of its published ports back."""

    def link(self, endpoint: str, target: str, ports: Sequence[tuple[str, int]]) -> None:
        """Let *endpoint* reach these ports, as (protocol, port), of *target* although their network has icc off.

        Raises:
            NotFound: either is unknown. Invalid: they are not on one network with addresses.
        """

    def unlink(self, endpoint: str, target: str, ports: Sequence[tuple[str, int]]) -> None:
        """Undo `link`. Releasing either endpoint does it too."""

    def endpoint(self, endpoint: str) -> EndpointState:
        """All that it holds for an endpoint.

        Raises:
            NotFound: nothing.
        """

    def restore(self, endpoints: Sequence[EndpointState]) -> None:
        """After a restart: know these again, put back rules that are missing, collect all else of ours."""

    def shutdown(self) -> None:
        """The daemon ends: undo what stands for the daemon itself (chains, bridges), if no endpoint is left."""

    def describe(self, network: str) -> Mapping[str, Any]:
        """What stands for the network on this machine, as facts by name: for ``network show``."""
