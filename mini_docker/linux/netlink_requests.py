"""What is asked of the kernel's network stack, and what it tells: orders and facts as frozen values.

Each order reads, as a string, like the `ip` command that does the same (ip-link(8), ip-address(8),
ip-route(8)). Links are named, never numbered: numbers differ from one namespace to the next, and
the door looks them up at the last moment. No I/O, and nothing of containers.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from mini_docker.dataclasses import dataclass

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class CreateBridge:
    """A new bridge, down. Its hardware address is fixed, or it would change with its first port.

    Attributes:
        mac_address: ``02:42:…``; empty lets the kernel choose.
        mtu: bytes; 0 leaves the kernel's default.
    """

    name: str
    mac_address: str = ""
    mtu: int = 0

    def __str__(self) -> str:
        return f"ip link add {self.name}{_options(self.mac_address, self.mtu)} type bridge"


@dataclass(frozen=True, slots=True)
class CreateVeth:
    """A cable with two plugs: one here, up and in a bridge, the other born inside another namespace.

    The other is down: the kernel brings no plug up before the pair is complete.

    Moving a link between namespaces costs a hundred times more than making it in the right one.

    Attributes:
        name: of the plug that stays here.
        peer: the other plug's name in its own namespace.
        peer_namespace: descriptor of that namespace.
        master: the bridge that *name* becomes a port of; empty for none.
        mac_address: of the peer.
        mtu: bytes, of both; 0 leaves the kernel's default.
    """

    name: str
    peer: str
    peer_namespace: int
    master: str = ""
    mac_address: str = ""
    mtu: int = 0

    def __str__(self) -> str:
        master = f" master {self.master}" if self.master else ""
        return (
            f"ip link add {self.name}{_options('', self.mtu)}{master} up type veth "
            f"peer name {self.peer}{_options(self.mac_address, self.mtu)} netns /proc/self/fd/{self.peer_namespace}"
        )


@dataclass(frozen=True, slots=True)
class SetLink:
    """Change a link; what is None stays as it is.

    Attributes:
        up: whether it carries packets.
        mtu: bytes.
        alias: a free note on it, which `ip link` shows.
        hairpin: whether a bridge port may send a frame back to where it came from.
        isolated: whether a bridge port is cut off from the other isolated ones.
        link_local: whether it makes itself an IPv6 link-local address when it comes up.
    """

    name: str
    up: bool | None = None
    mtu: int | None = None
    alias: str | None = None
    hairpin: bool | None = None
    isolated: bool | None = None
    link_local: bool | None = None

    def __str__(self) -> str:
        words = [f"ip link set {self.name}"]
        if self.up is not None:
            words.append("up" if self.up else "down")
        if self.mtu is not None:
            words.append(f"mtu {self.mtu}")
        if self.alias is not None:
            words.append(f"alias {self.alias!r}")
        if self.hairpin is not None:
            words.append(f"type bridge_slave hairpin {'on' if self.hairpin else 'off'}")
        if self.isolated is not None:
            words.append(f"type bridge_slave isolated {'on' if self.isolated else 'off'}")
        if self.link_local is not None:
            words.append(f"addrgenmode {'eui64' if self.link_local else 'none'}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class DeleteLink:
    """Remove a link; of a veth both ends go. Slow (15 ms): the kernel waits until no CPU looks at it."""

    name: str

    def __str__(self) -> str:
        return f"ip link delete {self.name}"


@dataclass(frozen=True, slots=True)
class AddAddress:
    """Give a link an address, and with it the route to its subnet."""

    link: str
    address: IPInterface

    def __str__(self) -> str:
        return f"ip address add {self.address} dev {self.link}"


@dataclass(frozen=True, slots=True)
class DeleteAddress:
    """Take an address from a link."""

    link: str
    address: IPInterface

    def __str__(self) -> str:
        return f"ip address delete {self.address} dev {self.link}"


@dataclass(frozen=True, slots=True)
class AddRoute:
    """Send packets for *destination* through *gateway*; a destination of None is the default route.

    Attributes:
        replace: whether it may take the place of a route to the same destination.
    """

    gateway: IPAddress
    link: str
    destination: IPNetwork | None = None
    replace: bool = False

    def __str__(self) -> str:
        verb = "replace" if self.replace else "add"
        return f"ip route {verb} {self.destination or 'default'} via {self.gateway} dev {self.link}"


Request = CreateBridge | CreateVeth | SetLink | DeleteLink | AddAddress | DeleteAddress | AddRoute


@dataclass(frozen=True, slots=True)
class Link:
    """A link as the kernel describes it.

    Attributes:
        index: its number in its namespace.
        kind: bridge, veth, …; empty for hardware and loopback.
        master: index of the bridge that it is a port of; 0 for none.
        alias: the free note on it.
    """

    index: int
    name: str
    kind: str = ""
    mac_address: str = ""
    mtu: int = 0
    master: int = 0
    up: bool = False
    alias: str = ""


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """An address of the link with that index."""

    link: int
    address: IPInterface


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table; a destination of None is the default route."""

    destination: IPNetwork | None
    gateway: IPAddress | None
    link: int


def _options(mac_address: str, mtu: int) -> str:
    return (f" address {mac_address}" if mac_address else "") + (f" mtu {mtu}" if mtu else "")
