"""A test's world: a host with a bridge driver, an outside neighbour on a wire, and containers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_interface
from pathlib import Path

from mini_docker.drivers.networkdriver.bridge import BridgeDriver
from mini_docker.drivers.networkdriver.bridge_options import BridgeOptions, default_network
from mini_docker.drivers.networkdriver.contract import (
    EndpointState,
    Joined,
    Lease,
    NetworkConfig,
    PortBinding,
    PublishedPort,
)
from mini_docker.drivers.networkdriver.userland_proxies import UserlandProxies
from mini_docker.linux.firewall import Firewall, NoFirewall
from mini_docker.linux.iptables import IptablesFirewall
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.linux.netlink import LinuxNetlink
from mini_docker.linux.nftables import NftablesFirewall
from tests.drivers.networkdriver.namespaces import Namespace, lay_wire, private_host

DEFAULT_ID = "d" * 64
HOST_ADDRESS, OUTSIDE_ADDRESS = "198.51.100.1", "198.51.100.2"


def firewall_of(form: str, tag: str = "t", loopback: bool = True) -> Firewall:
    """The firewall form by its name: nftables, iptables-legacy, iptables-nft or none."""
    kind, _, flavour = form.partition("-")
    if kind == "none":
        return NoFirewall()
    return NftablesFirewall(tag, loopback) if kind == "nftables" else IptablesFirewall(tag, flavour, loopback)


class Container:
    """A namespace with an endpoint on a network."""

    def __init__(self, host: Host, name: str, network: str = DEFAULT_ID) -> None:
        self.host = host
        self.endpoint = name
        self.namespace = Namespace()
        self.lease: Lease = host.driver.lease(network, name)
        self.joined: Joined = host.driver.join(name, self.namespace.sandbox)
        self.published: tuple[PublishedPort, ...] = ()
        assert self.lease.address is not None
        self.address = str(self.lease.address.ip)

    def publish(self, *bindings: PortBinding) -> tuple[PublishedPort, ...]:
        """Publish ports of it."""
        self.published += self.host.driver.publish(self.endpoint, bindings)
        return self.published

    @property
    def state(self) -> EndpointState:
        """What the daemon would have written down."""
        return EndpointState(self.lease, self.published, self.joined)


class Host:
    """A host in a private network, with an outside neighbour at 198.51.100.2."""

    def __init__(self, namespace: Namespace, form: str, options: BridgeOptions, proxies: Path | None) -> None:
        self.namespace = namespace
        self.proxies = proxies
        self.form = form
        self.options = options
        self.outside = Namespace()
        lay_wire(namespace, HOST_ADDRESS, self.outside, OUTSIDE_ADDRESS)
        self.containers: list[Container] = []
        self.start_driver()

    def start_driver(self) -> None:
        """A new driver, as after a start of the daemon; the default network is made."""
        self.netlink = LinuxNetlink()
        self.firewall = firewall_of(self.form, loopback=not self.options.userland_proxy)
        proxies = UserlandProxies(self.proxies) if self.proxies else None
        self.driver = BridgeDriver(self.netlink, self.firewall, LinuxKernel(), self.options, proxies)
        self.network = self.driver.create_network(default_network(self.options, DEFAULT_ID))

    def container(self, name: str, network: str = DEFAULT_ID) -> Container:
        """A container that joined the network."""
        container = Container(self, name, network)
        self.containers.append(container)
        return container

    def create_network(self, digit: str, **settings: object) -> NetworkConfig:
        """A user-defined network whose id is that hex digit, 64 times."""
        return self.driver.create_network(NetworkConfig(digit * 64, f"n{digit}", **settings))  # type: ignore[arg-type]

    def facts(self) -> str:
        """All links and rules of this host, without counters: to compare before and after."""
        rules = "".join(
            subprocess.run(argv, capture_output=True, text=True, check=True).stdout
            for argv in (["nft", "-s", "list", "ruleset"], ["iptables-legacy-save"])
        )
        lines = [line.split(" [")[0].strip() for line in rules.splitlines() if not line.startswith("#")]
        return "\n".join([*sorted(link.name for link in self.netlink.links()), *sorted(lines)])

    def kill_driver(self) -> None:
        """As kill -9 of the daemon: its descriptors go, nothing else."""
        self.driver._stopped.set()
        if self.driver._mender is not None:
            self.driver._mender.join()
        self.driver._ports.close()
        self.netlink.close()
        self.firewall.close()

    def close(self) -> None:
        """Let everything go."""
        self.kill_driver()
        for namespace in (self.outside, *(container.namespace for container in self.containers)):
            namespace.close()


@contextmanager
def host_with_bridge(
    form: str = "nftables", sysctls: Mapping[str, str] | None = None, proxies: Path | None = None, **options: object
) -> Iterator[Host]:
    """A host while the block runs. Sysctls are by path below /proc/sys/net; *proxies* is a folder for their doors."""
    with private_host() as namespace:
        for name, value in (sysctls or {}).items():
            LinuxKernel().write_file(f"/proc/sys/net/{name}", value)
        settings = {"bip": ip_interface("10.199.0.1/24"), "tag": "t", "mend_seconds": 0.0} | options
        host = Host(namespace, form, BridgeOptions(**settings), proxies)  # type: ignore[arg-type]
        try:
            yield host
        finally:
            host.close()
