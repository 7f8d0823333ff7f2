"""The daemon's network flags as one value, and the default network that follows from them. No I/O."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.networkdriver.contract import Address, Interface, NetworkConfig, Pool, Subnet
from mini_docker.errors import Invalid

DEFAULT_BRIDGE = "mdocker0"
ETHERNET_MTU = 1500
"""Bytes: what the kernel gives a bridge that is told nothing."""
DEFAULT_GATEWAY_OPTION = "DefaultGatewayIPv4"
"""The key, in a network's options, of a gateway for containers that is not the bridge (Docker's own word)."""


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """What the administrator said.

    Attributes:
        bridge: ``-b``: a bridge that exists, to be used and left as it is; empty for our own.
        bip: ``--bip``: our own bridge's address and subnet; None chooses.
        fixed_cidr: ``--fixed-cidr``: the part of the subnet that containers get addresses from.
        default_gateway: ``--default-gateway``: another gateway for containers than the bridge.
        icc: ``--icc``: whether containers of the default network may talk to each other.
        iptables: ``--iptables``: whether the firewall is ours to write.
        ip_forward: ``--ip-forward``: whether to turn forwarding on.
        userland_proxy: ``--userland-proxy``: whether processes, not rules, serve published ports at 127.0.0.1. That
            is also what remains where the kernel cannot lead packets from there to a bridge.
        ip_masq: ``--ip-masq``: whether packets to the outside get the host's address.
        mtu: ``--mtu``: bytes; 0 leaves the kernel's default. For all networks that do not say otherwise.
        default_address: ``--ip``: where ports are published when none is said; None for all addresses.
        tag: tells this daemon's links and rules from another's: 1 to 6 letters and digits. Empty: made from the bridge.
        mend_seconds: how often to look whether another tool flushed our rules; 0 for never.
    """

    bridge: str = ""
    bip: Interface | None = None
    fixed_cidr: Subnet | None = None
    default_gateway: Address | None = None
    icc: bool = True
    iptables: bool = True
    userland_proxy: bool = False
    ip_forward: bool = True
    ip_masq: bool = True
    mtu: int = 0
    default_address: Address | None = None
    tag: str = ""
    mend_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.bridge and self.bip:
            raise Invalid("you specified -b and --bip: these are mutually exclusive, a given bridge has its address")
        if self.tag and not (self.tag.isascii() and self.tag.isalnum() and len(self.tag) <= 6):
            raise Invalid(f"a tag is 1 to 6 letters and digits: {self.tag!r}")

    @property
    def instance_tag(self) -> str:
        """The tag, made from the bridge's name if none was given: two daemons never share a bridge of their own."""
        return self.tag or hashlib.sha256((self.bridge or DEFAULT_BRIDGE).encode()).hexdigest()[:6]


def default_network(options: BridgeOptions, id: str) -> NetworkConfig:
    """The network ``bridge``, which every container is on that does not ask for another.

    Args:
        id: 64 hex digits; the same at every start.

    Raises:
        Invalid: the flags contradict each other.
    """
    pools: tuple[Pool, ...] = ()
    if options.bip:
        pools = (Pool(options.bip.network, options.fixed_cidr, options.bip.ip),)
    elif options.fixed_cidr and not options.bridge:
        # As Docker: then the range is the subnet too.
        pools = (Pool(options.fixed_cidr),)
    bridge = options.bridge or DEFAULT_BRIDGE
    gateway = {DEFAULT_GATEWAY_OPTION: str(options.default_gateway)} if options.default_gateway else {}
    shown = {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": str(options.icc).lower(),
        "com.docker.network.bridge.enable_ip_masquerade": str(options.ip_masq).lower(),
        "com.docker.network.bridge.host_binding_ipv4": str(options.default_address or IPv4Address(0)),
        "com.docker.network.bridge.name": bridge,
        "com.docker.network.driver.mtu": str(options.mtu or ETHERNET_MTU),
    }
    return NetworkConfig(
        id=id,
        name="bridge",
        pools=pools,
        icc=options.icc,
        masquerade=options.ip_masq,
        mtu=options.mtu,
        bridge=bridge,
        default_binding=options.default_address,
        options=shown | gateway,
    )
