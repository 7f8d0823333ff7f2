"""The bridge driver: a switch in the host for each network, a cable to it for each container.

The switch is a kernel bridge, the cable a veth pair; the bridge's address is the containers' way out, the
firewall lets answers and published ports in. This module keeps the books (who is on which network, with
which address and ports) and hands plans (bridge_plan.py) to the doors. It knows endpoints, not containers.

    container          │ host
    eth0 172.17.0.2 ───┼── veth… ── mdocker0 172.17.0.1 ── forward, masquerade ── eth0 ── outside
    eth0 172.17.0.3 ───┼── veth… ──┘
"""

from __future__ import annotations

import errno
import functools
import logging
import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

from mini_docker.dataclasses import dataclass, field
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.networkdriver import bridge_plan
from mini_docker.drivers.networkdriver.bridge_options import DEFAULT_GATEWAY_OPTION, BridgeOptions
from mini_docker.drivers.networkdriver.contract import (
    Address,
    EndpointState,
    Joined,
    Lease,
    NetworkConfig,
    PortBinding,
    PortTaken,
    PublishedPort,
    SandboxSockets,
)
from mini_docker.drivers.networkdriver.host_bridge import HostBridges
from mini_docker.drivers.networkdriver.ip_allocator import IPAllocator
from mini_docker.drivers.networkdriver.port_holder import PortHolder
from mini_docker.drivers.networkdriver.port_mapper import PortMapper
from mini_docker.drivers.networkdriver.rule_book import RuleBook
from mini_docker.drivers.networkdriver.subnets import mac_address
from mini_docker.drivers.networkdriver.userland_proxies import UserlandProxies
from mini_docker.errors import Conflict, Invalid, MiniDockerError, NotFound
from mini_docker.linux.firewall import Firewall, FirewallError, LinkRule
from mini_docker.linux.kernel import Kernel
from mini_docker.linux.netlink import Netlink, NetlinkError
from mini_docker.linux.netlink_requests import AddRoute, DeleteLink

log = logging.getLogger(__name__)

_MAC_ADDRESS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


@dataclass(slots=True)
class _Network:
    """A network, and its addresses. *isolated*: its ports are cut off from each other by the bridge itself."""

    config: NetworkConfig
    addresses: IPAllocator
    isolated: bool = False


@dataclass(slots=True)
class _Endpoint:
    """What an endpoint has: always an address, perhaps published ports, links and a cable."""

    lease: Lease
    network: _Network
    published: tuple[PublishedPort, ...] = ()
    joined: Joined | None = None
    links: list[LinkRule] = field(default_factory=list)


class BridgeDriver:
    """See the module.

    *Fixed*: the doors and the options.
    *Guarded by the lock*: networks and endpoints. Doors are used outside of it where that takes long, as
    joining does: containers start side by side.

    Args:
        proxies: who serves published ports where rules cannot lead them.
        holder: who sits on published ports.
    """

    name = "bridge"

    def __init__(
        self, netlink: Netlink, firewall: Firewall, kernel: Kernel, options: BridgeOptions,
        proxies: UserlandProxies | None = None, holder: PortHolder | None = None,
    ) -> None:  # fmt: skip
        self._netlink = netlink
        self._firewall = firewall
        self._options = options
        self._bridges = HostBridges(netlink, kernel, options)
        self._rules = RuleBook(firewall)
        self._ports = PortMapper(proxies, functools.partial(bridge_plan.needs_proxy, options), holder)
        self._lock = threading.Lock()
        self._networks: dict[str, _Network] = {}
        self._endpoints: dict[str, _Endpoint] = {}
        self._veth_prefix = f"veth{options.instance_tag[:3]}"
        self._has_ipv6 = Path("/proc/sys/net/ipv6").exists()
        self._stopped = threading.Event()
        self._mender: threading.Thread | None = None

    def available(self) -> Availability:
        obstacle = self._firewall.obstacle()
        return Availability(obstacle) if obstacle else AVAILABLE

    # networks

    def create_network(self, config: NetworkConfig) -> NetworkConfig:
        with self._lock:
            if config.id in self._networks:
                return self._networks[config.id].config
            for other in self._networks.values():
                if config.bridge and config.bridge == other.config.bridge:
                    raise Conflict(f"network {other.config.name} uses the bridge {config.bridge} already")
            taken = [pool.subnet for other in self._networks.values() for pool in other.config.pools]
            config = self._bridges.make(config, taken)
            try:
                network = _Network(config, _allocator(config))
                network.isolated = not config.icc and not self._bridges.sees_bridged_packets()
                if self._options.iptables:
                    self._rules.add(*bridge_plan.network_rules(config))
            except MiniDockerError:
                self._bridges.delete(config.bridge)
                raise
            self._networks[config.id] = network
            return config

    def delete_network(self, network: str) -> None:
        self.tidy()  # while a cable that nobody has can still be told by its bridge
        with self._lock:
            config = self._network(network).config
            if any(endpoint.network.config.id == network for endpoint in self._endpoints.values()):
                raise Conflict(f"error while removing network: network {config.name} has active endpoints")
            del self._networks[network]
            self._rules.delete(*bridge_plan.network_rules(config))
            self._bridges.delete(config.bridge)

    # addresses

    def lease(self, network: str, endpoint: str, address: Address | None = None, mac_address: str = "") -> Lease:
        if mac_address and not _MAC_ADDRESS.fullmatch(mac_address):
            raise Invalid(f"invalid MAC address: {mac_address!r}: it is six pairs of hex digits, joined by colons")
        with self._lock:
            found = self._network(network)
            if endpoint in self._endpoints:
                raise Conflict(f"endpoint {endpoint} has an address already")
            given = found.addresses.allocate(endpoint, address)
            lease = _lease(endpoint, found.config, given, mac_address)
            self._endpoints[endpoint] = _Endpoint(lease, found)
            return lease

    def release(self, endpoint: str) -> None:
        self.unpublish(endpoint)
        with self._lock:
            links = list(self._endpoints[endpoint].links) if endpoint in self._endpoints else []
        self._forget_links(links)
        with self._lock:
            gone = self._endpoints.pop(endpoint, None)
            if gone is not None and gone.lease.address is not None:
                gone.network.addresses.release(gone.lease.address.ip)

    # cables

    def join(
        self, endpoint: str, sandbox: SandboxSockets, interface: str = "eth0", default_route: bool = True
    ) -> Joined:
        with self._lock:
            found = self._endpoint(endpoint)
            lease, network = found.lease, found.network
            if found.joined is not None:
                raise Conflict(f"endpoint {endpoint} is connected already")
            # Not made from the endpoint's id: the cable of a container's last run may take a moment to go.
            joined = found.joined = Joined(interface, self._veth_prefix + secrets.token_hex(4))
        config = network.config
        # Linux takes IPv6 from a link that cannot carry 1280 bytes (RFC 8200).
        ipv6 = self._has_ipv6 and self._mtu(config) not in range(1, 1280)
        try:
            self._rules.post()
            self._netlink.apply(
                bridge_plan.host_side(
                    joined.host_interface, interface, lease, config.bridge, self._mtu(config), network.isolated, sandbox
                )
            )
            try:
                self._netlink.apply(bridge_plan.sandbox_side(interface, lease, default_route, ipv6), sandbox.netlink)
            except MiniDockerError:
                self._delete_link(joined.host_interface)
                raise
        except MiniDockerError:
            with self._lock:
                found.joined = None
            raise
        return joined

    def leave(self, endpoint: str, sandbox: SandboxSockets | None) -> None:
        with self._lock:
            found = self._endpoints.get(endpoint)
            if found is None or found.joined is None:
                return
            joined, found.joined = found.joined, None
        if sandbox is not None:
            self._delete_link(joined.host_interface)

    def set_gateway(self, endpoint: str, sandbox: SandboxSockets) -> None:
        with self._lock:
            found = self._endpoint(endpoint)
            joined, gateway = found.joined, found.lease.gateway
        if joined is None or gateway is None:
            raise Conflict(f"endpoint {endpoint} leads nowhere: it has not joined, or its network is internal")
        self._netlink.apply([AddRoute(gateway, joined.interface, replace=True)], sandbox.netlink)

    # ports and links

    def publish(self, endpoint: str, bindings: Sequence[PortBinding]) -> tuple[PublishedPort, ...]:
        with self._lock:
            found = self._endpoint(endpoint)
            config, joined = found.network.config, found.joined
        if config.internal or not bindings:
            return ()  # as Docker: an internal network has no way in either
        if joined is None:
            raise Conflict(f"endpoint {endpoint} has not joined: its ports lead nowhere")
        context = f"driver failed programming external connectivity on endpoint {endpoint}: "
        self._rules.post()
        try:
            default = config.default_binding or self._options.default_address
            assert found.lease.address is not None
            address = found.lease.address.ip
            published = self._ports.map(endpoint, bindings, default, address, joined.host_interface)
        except PortTaken as error:
            raise error.told(context=context) from None
        except (Conflict, Invalid) as error:
            raise type(error)(f"{context}{error}") from None
        try:
            self._rules.add(*bridge_plan.forwards(found.lease, published, config.bridge))
        except MiniDockerError:
            self._ports.unmap(published)
            raise
        with self._lock:
            found.published += published
        return published

    def unpublish(self, endpoint: str) -> None:
        with self._lock:
            found = self._endpoints.get(endpoint)
            if found is None or not found.published:
                return
            published, found.published = found.published, ()
        try:
            self._rules.delete(*bridge_plan.forwards(found.lease, published, found.network.config.bridge))
        finally:
            self._ports.unmap(published)

    def link(self, endpoint: str, target: str, ports: Sequence[tuple[str, int]]) -> None:
        with self._lock:
            source, destination = self._endpoint(endpoint), self._endpoint(target)
            if source.network is not destination.network:
                raise Invalid(f"cannot link {endpoint} to {target}: they are on different networks")
            bridge = source.network.config.bridge
            rules = bridge_plan.links(source.lease, destination.lease, ports, bridge)
            # Of both: whichever goes first takes the hole with it, before its address can be another's.
            for each in (source, destination):
                each.links += (rule for rule in rules if rule not in each.links)
        self._rules.post()
        self._rules.add(*rules)

    def unlink(self, endpoint: str, target: str, ports: Sequence[tuple[str, int]]) -> None:
        with self._lock:
            source, destination = self._endpoints.get(endpoint), self._endpoints.get(target)
            if source is None or destination is None:
                return
            rules = bridge_plan.links(source.lease, destination.lease, ports, source.network.config.bridge)
        self._forget_links(rules)

    def _forget_links(self, rules: Sequence[LinkRule]) -> None:
        if not rules:
            return  # as nearly always: then nobody else's are looked at, however many there are
        with self._lock:
            for endpoint in self._endpoints.values():
                endpoint.links = [link for link in endpoint.links if link not in rules]
        self._rules.delete(*rules)

    def endpoint(self, endpoint: str) -> EndpointState:
        with self._lock:
            found = self._endpoint(endpoint)
            return EndpointState(found.lease, found.published, found.joined)

    # the daemon's own life

    def restore(self, endpoints: Sequence[EndpointState]) -> None:
        self._ports.collect(port for state in endpoints for port in state.published)
        for state in endpoints:
            self._restore_one(state)
        self._rules.post()
        with self._lock:
            bridges = {network.config.bridge for network in self._networks.values()}
        for name in self._bridges.collect(bridges):
            log.info("removed the bridge %s, which a daemon before this one left", name)
        self.tidy()
        if self._options.mend_seconds and self._mender is None:
            self._mender = threading.Thread(target=self._keep_order, name="bridge-mender", daemon=True)
            self._mender.start()

    def tidy(self) -> None:
        """Remove cables of ours that no endpoint has: a crash left them, or somebody keeps a container's namespace.

        A cable goes by itself with its namespace; but another container may share that, or an administrator look on.

        Raises:
            NetlinkError: the kernel refuses.
        """
        links = self._netlink.links()
        with self._lock:  # after the look: a cable is in the book before it is made
            bridges = {network.config.bridge for network in self._networks.values()}
            cables = {endpoint.joined.host_interface for endpoint in self._endpoints.values() if endpoint.joined}
        ours = {link.index for link in links if link.name in bridges}
        for link in links:
            if link.master in ours and link.name.startswith(self._veth_prefix) and link.name not in cables:
                self._delete_link(link.name)
                log.info("removed the cable %s, which nobody has any more", link.name)

    def shutdown(self) -> None:
        self._stopped.set()
        with self._lock:
            if not self._endpoints:
                self._rules.close()
                for network in self._networks.values():
                    self._bridges.delete(network.config.bridge)
                self._networks.clear()
        self._ports.close()

    def describe(self, network: str) -> Mapping[str, Any]:
        with self._lock:
            found = self._network(network)
            config = found.config
            return {
                "driver": self.name,
                "bridge": config.bridge,
                "pools": [
                    {"subnet": str(pool.subnet), "gateway": str(pool.gateway), "range": str(pool.address_range or "")}
                    for pool in config.pools
                ],
                "icc": config.icc,
                "internal": config.internal,
                "masquerade": config.masquerade,
                "mtu": self._mtu(config),
                "endpoints": {
                    endpoint.lease.endpoint: {
                        "address": str(endpoint.lease.address),
                        "mac_address": endpoint.lease.mac_address,
                        "interface": endpoint.joined.interface if endpoint.joined else "",
                        "host_interface": endpoint.joined.host_interface if endpoint.joined else "",
                        "published": [
                            f"{port.host_address}:{port.host_port}->{port.container_port}/{port.protocol}"
                            for port in endpoint.published
                        ],
                    }
                    for endpoint in self._endpoints.values()
                    if endpoint.network is found
                },
                "firewall": {"form": self._firewall.name, "rules": self._firewall.show()},
            }

    # inside

    def _network(self, id: str) -> _Network:
        try:
            return self._networks[id]
        except KeyError:
            raise NotFound(f"network {id} not found") from None

    def _endpoint(self, id: str) -> _Endpoint:
        try:
            return self._endpoints[id]
        except KeyError:
            raise NotFound(f"endpoint {id} has no address on a bridge network: lease one first") from None

    def _mtu(self, config: NetworkConfig) -> int:
        return config.mtu or self._options.mtu

    def _delete_link(self, name: str) -> None:
        try:
            self._netlink.apply([DeleteLink(name)])
        except NetlinkError as error:
            if error.errno != errno.ENODEV:  # it is gone already: what was wanted
                raise

    def _restore_one(self, state: EndpointState) -> None:
        lease = state.lease
        assert lease.address is not None
        with self._lock:
            network = self._networks.get(lease.network)
            if network is None:
                log.warning("endpoint %s was on network %s, which is no more", lease.endpoint, lease.network)
                return
            try:
                network.addresses.allocate(lease.endpoint, lease.address.ip)
            except (Conflict, Invalid) as error:
                log.warning("endpoint %s lost its address %s: %s", lease.endpoint, lease.address.ip, error)
                return
            self._endpoints[lease.endpoint] = _Endpoint(lease, network, state.published, state.joined)
        cable = state.joined.host_interface if state.joined else ""
        self._ports.restore(lease.endpoint, state.published, lease.address.ip, cable)
        self._rules.add(*bridge_plan.forwards(lease, state.published, network.config.bridge))

    def _keep_order(self) -> None:
        while not self._stopped.wait(self._options.mend_seconds):
            for mend in (self._rules.mend, self.tidy):
                try:
                    mend()
                except (FirewallError, NetlinkError) as error:
                    log.warning("the bridges are not as they should be: %s", error)


def _allocator(config: NetworkConfig) -> IPAllocator:
    pool = config.pools[0]
    assert pool.gateway is not None
    reserved = [pool.gateway]
    if DEFAULT_GATEWAY_OPTION in config.options:
        reserved.append(ip_address(config.options[DEFAULT_GATEWAY_OPTION]))
    return IPAllocator(pool.subnet, pool.address_range, reserved)


def _lease(endpoint: str, config: NetworkConfig, address: Address, mac: str) -> Lease:
    pool = config.pools[0]
    gateway = None if config.internal else pool.gateway
    if gateway is not None and DEFAULT_GATEWAY_OPTION in config.options:
        gateway = ip_address(config.options[DEFAULT_GATEWAY_OPTION])
    return Lease(
        endpoint, config.id, ip_interface((address, pool.subnet.prefixlen)), gateway, mac or mac_address(address)
    )
