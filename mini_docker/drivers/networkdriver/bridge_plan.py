"""What has to be done for a bridge network, as plans: pure functions from values to orders and rules."""

from __future__ import annotations

from collections.abc import Sequence

from mini_docker.drivers.networkdriver.bridge_options import BridgeOptions
from mini_docker.drivers.networkdriver.contract import Interface, Lease, NetworkConfig, PublishedPort, SandboxSockets
from mini_docker.drivers.networkdriver.subnets import mac_address
from mini_docker.linux.firewall import BridgeRules, LinkRule, PortForward
from mini_docker.linux.netlink_requests import (
    AddAddress,
    AddRoute,
    CreateBridge,
    CreateVeth,
    DeleteAddress,
    Request,
    SetLink,
)


def make_bridge(name: str, address: Interface, mtu: int, mark: str) -> tuple[Request, ...]:
    """A new bridge, marked as ours."""
    return (
        CreateBridge(name, mac_address(address.ip), mtu),
        SetLink(name, alias=mark),
        AddAddress(name, address),
        SetLink(name, up=True),
    )


def mend_bridge(name: str, address: Interface, has: Sequence[Interface]) -> tuple[Request, ...]:
    """A bridge of ours that an earlier daemon left: only what is not right is changed."""
    wrong = [other for other in has if other != address and other.version == address.version]
    return (
        *(DeleteAddress(name, other) for other in wrong),
        *(() if address in has else (AddAddress(name, address),)),
        SetLink(name, up=True),
    )


def host_side(
    veth: str, interface: str, lease: Lease, bridge: str, mtu: int, isolated: bool, sandbox: SandboxSockets
) -> tuple[Request, ...]:
    """The cable from the bridge into the sandbox. Orders for the daemon's namespace."""
    return (
        CreateVeth(veth, interface, sandbox.namespace, bridge, lease.mac_address, mtu),
        # A container that asks for its own published port gets its frame back through the port it came from.
        SetLink(veth, hairpin=True, isolated=True if isolated else None),
    )


def sandbox_side(interface: str, lease: Lease, default_route: bool, ipv6: bool) -> tuple[Request, ...]:
    """Loopback, address and route. Orders for the sandbox's namespace.

    Args:
        ipv6: whether the kernel has IPv6: then the link must be told not to make itself an address, for
            firewall rules do not reach what neighbours say to each other with those.
    """
    if lease.address is None:
        return (SetLink("lo", up=True),)
    orders: list[Request] = [
        SetLink("lo", up=True),
        *((SetLink(interface, link_local=False),) if ipv6 else ()),
        AddAddress(interface, lease.address),
        SetLink(interface, up=True),
    ]
    if default_route and lease.gateway is not None:
        # Last: the kernel takes a gateway only when it is a neighbour of an interface that is up.
        orders.append(AddRoute(lease.gateway, interface))
    return tuple(orders)


def network_rules(config: NetworkConfig) -> tuple[BridgeRules, ...]:
    """What the firewall must know of a network whose choices are made."""
    return tuple(
        BridgeRules(config.bridge, pool.subnet, config.icc, config.masquerade, config.internal) for pool in config.pools
    )


def links(source: Lease, target: Lease, ports: Sequence[tuple[str, int]], bridge: str) -> tuple[LinkRule, ...]:
    """What the firewall must know of a link from one endpoint to (protocol, port) of another."""
    if source.address is None or target.address is None:
        return ()
    ends = source.address.ip, target.address.ip
    return tuple(LinkRule(bridge, *ends, protocol, port) for protocol, port in ports)


def needs_proxy(options: BridgeOptions, port: PublishedPort) -> bool:
    """Whether a published port needs a userland proxy: without rules each does, beside them what 127.0.0.1 has."""
    if not options.iptables:
        return True
    return options.userland_proxy and (port.host_address.is_unspecified or port.host_address.is_loopback)


def forwards(lease: Lease, published: Sequence[PublishedPort], bridge: str) -> tuple[PortForward, ...]:
    """What the firewall must know of an endpoint's published ports."""
    if lease.address is None:
        return ()
    address = lease.address.ip
    return tuple(
        PortForward(port.protocol, port.host_address, port.host_port, address, port.container_port, bridge)
        for port in published
    )
