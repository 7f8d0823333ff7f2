"""Bridges of the host: found or made, addressed, and taken away if they are ours.

It makes the choices that a network's config leaves open (subnet, gateway, the bridge's name) by looking
at what the host has. Which networks there are, and who is on them, it does not know.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Sequence
from ipaddress import ip_interface

from mini_docker import dataclasses
from mini_docker.drivers.networkdriver import bridge_plan
from mini_docker.drivers.networkdriver.bridge_options import BridgeOptions
from mini_docker.drivers.networkdriver.contract import Address, Interface, NetworkConfig, Pool, Subnet
from mini_docker.drivers.networkdriver.subnets import first_free, nameservers
from mini_docker.errors import Conflict, Invalid, NotFound, Unsupported
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel
from mini_docker.linux.netlink import Netlink, NetlinkError
from mini_docker.linux.netlink_requests import DeleteLink, Link

RESOLV_CONF = "/etc/resolv.conf"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")


def can_route_loopback(kernel: Kernel) -> bool:
    """Whether the kernel can be told to lead packets from 127.0.0.1 to a bridge (route_localnet).

    Not where /proc/sys is read-only, as it is inside many containers.

    Source: the kernel's Documentation/networking/ip-sysctl, route_localnet.
    """
    path = "/proc/sys/net/ipv4/conf/default/route_localnet"
    try:
        kernel.write_file(path, kernel.read_file(path))
    except SyscallError:
        return False
    return True


class HostBridges:
    """Makes and removes the bridges of networks. Its owner has the lock."""

    def __init__(self, netlink: Netlink, kernel: Kernel, options: BridgeOptions) -> None:
        self._netlink = netlink
        self._kernel = kernel
        self._options = options
        self._mark = f"mini-docker {options.instance_tag}"

    def make(self, config: NetworkConfig, taken: Collection[Subnet]) -> NetworkConfig:
        """Make the network's bridge real, and return the config with all choices made.

        What is right already is left alone. A bridge that is not ours gets no address from us.

        Args:
            taken: the subnets of the other networks.

        Raises:
            Invalid: a bridge's name that cannot be, or a given bridge without an address.
            NotFound: the bridge given by ``-b`` does not exist.
            Conflict: the subnet overlaps another network's, or none is free.
            Unsupported: an IPv6 subnet.
        """
        name = config.bridge or f"br-{config.id[:12]}"
        if not _NAME.fullmatch(name):
            raise Invalid(f"invalid name for a bridge: {name!r}: at most 15 letters, digits, dots and dashes")
        existing = self._netlink.link(name)
        if existing is None and name == self._options.bridge:
            raise NotFound(f"bridge {name} does not exist: create it, or leave out -b")
        has = self._addresses(existing) if existing else ()
        pool = self._pool(config, has, taken)
        assert pool.gateway is not None
        address = ip_interface((pool.gateway, pool.subnet.prefixlen))
        if existing is None:
            self._create(name, address, config.mtu)
        elif existing.alias == self._mark:
            self._netlink.apply(bridge_plan.mend_bridge(name, address, has))
        elif address not in has:
            raise Invalid(
                f"bridge {name} exists and is not ours, and its address is not {address}: "
                f"give it that address, or choose its subnet"
            )
        try:
            self._set_kernel(name, config)
        except SyscallError:
            if existing is None:
                self.delete(name)
            raise
        return dataclasses.replace(config, bridge=name, pools=(pool,))

    def delete(self, name: str) -> None:
        """Remove a bridge if it is there and ours."""
        link = self._netlink.link(name)
        if link is not None and link.alias == self._mark:
            self._delete_link(name)

    def collect(self, networks: Collection[str]) -> tuple[str, ...]:
        """Remove bridges of ours that a crash left without a network; their names.

        Args:
            networks: names of the bridges that shall stay.
        """
        stray = [link.name for link in self._netlink.links() if link.alias == self._mark and link.name not in networks]
        for name in stray:
            self._delete_link(name)
        return tuple(stray)

    def sees_bridged_packets(self) -> bool:
        """Let the firewall see packets from port to port of a bridge; whether this kernel can.

        Source: the kernel's Documentation/networking/ip-sysctl, bridge-nf-call-iptables (module br_netfilter).
        """
        try:
            self._switch_on("bridge/bridge-nf-call-iptables")
        except SyscallError:
            return False
        return True

    def _pool(self, config: NetworkConfig, has: Sequence[Interface], taken: Collection[Subnet]) -> Pool:
        if any(pool.subnet.version != 4 for pool in config.pools):
            raise Unsupported("IPv6 subnets are not supported by the bridge driver yet")
        if len(config.pools) > 1:
            raise Invalid("the bridge driver takes one IPv4 subnet for a network")
        if config.pools:
            pool = config.pools[0]
        elif has:
            given = config.bridge == self._options.bridge
            pool = Pool(has[0].network, self._options.fixed_cidr if given else None, has[0].ip)
        else:
            routes = [route.destination for route in self._netlink.routes() if route.destination is not None]
            pool = Pool(first_free([*taken, *routes], self._nameservers()))
        if any(pool.subnet.overlaps(other) for other in taken):
            raise Conflict("Pool overlaps with other one on this address space")
        if pool.subnet.num_addresses < 4:
            raise Invalid(f"the subnet {pool.subnet} has no room for a gateway and a container")
        gateway: Address = pool.gateway or (pool.address_range or pool.subnet).network_address + 1
        if gateway not in pool.subnet:
            raise Invalid(f"no matching subnet for gateway {gateway}")
        return dataclasses.replace(pool, gateway=gateway)

    def _addresses(self, link: Link) -> tuple[Interface, ...]:
        found = (address.address for address in self._netlink.addresses() if address.link == link.index)
        return tuple(address for address in found if address.version == 4)

    def _nameservers(self) -> tuple[Address, ...]:
        try:
            return nameservers(self._kernel.read_file(RESOLV_CONF))
        except SyscallError:
            return ()  # a host without resolvers

    def _create(self, name: str, address: Interface, mtu: int) -> None:
        try:
            self._netlink.apply(bridge_plan.make_bridge(name, address, mtu, self._mark))
        except NetlinkError:
            self._delete_link(name)
            raise

    def _delete_link(self, name: str) -> None:
        try:
            self._netlink.apply([DeleteLink(name)])
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise

    def _set_kernel(self, name: str, config: NetworkConfig) -> None:
        """The switches in /proc/sys/net that a bridge network needs.

        Raises:
            SyscallError: one is off and cannot be turned on.
        """
        if self._options.ip_forward and not config.internal:
            self._switch_on("ipv4/ip_forward")
        if self._options.iptables and not self._options.userland_proxy:
            # The host's own connections from 127.0.0.1 to a published port leave through the bridge.
            self._switch_on(f"ipv4/conf/{name}/route_localnet")

    def _switch_on(self, name: str) -> None:
        path = f"/proc/sys/net/{name}"
        if self._kernel.read_file(path).strip() != "1":
            self._kernel.write_file(path, "1")
