"""Every network driver under the contract suite, without root: doors that only write down."""

from __future__ import annotations

import errno
from ipaddress import ip_address, ip_network

import pytest

from mini_docker.drivers.networkdriver.bridge import BridgeDriver
from mini_docker.drivers.networkdriver.bridge_options import BridgeOptions
from mini_docker.drivers.networkdriver.contract import NetworkConfig, NetworkDriver, Pool, PortBinding, SandboxSockets
from mini_docker.drivers.networkdriver.host import HostDriver
from mini_docker.drivers.networkdriver.none import NoneDriver
from mini_docker.errors import Denied, Invalid, NotFound, Unsupported
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.firewall import BridgeRules, FirewallError, PortForward, RecordingFirewall
from mini_docker.linux.netlink import NetlinkError
from mini_docker.linux.netlink_requests import CreateBridge, CreateVeth, DeleteLink, SetLink
from mini_docker.linux.recording import RecordingKernel
from mini_docker.linux.recording_netlink import RecordingNetlink
from tests.drivers.networkdriver.network_driver_suite import NETWORK, NetworkDriverSuite

SANDBOX = SandboxSockets(namespace=50, netlink=51)


class World:
    """A bridge driver between doors that write down. The kernel's switches all read 0."""

    def __init__(self, read_file: object = "0\n", **kernel_failures: int) -> None:
        self.netlink = RecordingNetlink()
        self.firewall = RecordingFirewall()
        self.kernel = RecordingKernel({"read_file": read_file}, kernel_failures)
        options = BridgeOptions(tag="t", mend_seconds=0)
        self.driver = BridgeDriver(self.netlink, self.firewall, self.kernel.door(), options)


class TestBridge(NetworkDriverSuite):
    """The bridge driver."""

    @pytest.fixture
    def driver(self) -> NetworkDriver:
        return World().driver


class TestHost(NetworkDriverSuite):
    """The host driver."""

    @pytest.fixture
    def driver(self) -> NetworkDriver:
        return HostDriver()


class TestNone(NetworkDriverSuite):
    """The none driver."""

    @pytest.fixture
    def driver(self) -> NetworkDriver:
        return NoneDriver(RecordingNetlink())


def test_none_brings_loopback_up_and_publishes_nothing() -> None:
    """Loopback is all that such a container has."""
    netlink = RecordingNetlink()
    driver = NoneDriver(netlink)
    driver.create_network(NetworkConfig(NETWORK, "none"))
    driver.lease(NETWORK, "e1")
    assert driver.join("e1", SANDBOX).interface == ""
    assert driver.publish("e1", [PortBinding(80)]) == ()
    assert netlink.applied == [(51, SetLink("lo", up=True))]


def test_host_and_none_exist_once() -> None:
    """A second host network is Denied, as Docker does; addresses cannot be wished for, links not be made."""
    driver = HostDriver()
    driver.create_network(NetworkConfig(NETWORK, "host"))
    with pytest.raises(Denied, match="only one instance"):
        driver.create_network(NetworkConfig("b" * 64, "host2"))
    with pytest.raises(Invalid):
        driver.lease(NETWORK, "e1", ip_address("10.0.0.2"))
    with pytest.raises(Invalid):
        driver.link("e1", "e2", [])


def test_joining_is_two_batches_one_for_each_side() -> None:
    """The cable is made with its far plug in the sandbox; only the sandbox's socket speaks of eth0."""
    world = World()
    world.driver.create_network(NetworkConfig(NETWORK, "n", (Pool(ip_network("10.5.0.0/24")),)))
    world.driver.lease(NETWORK, "e1")
    before = len(world.netlink.applied)
    joined = world.driver.join("e1", SANDBOX)
    orders = [(where, str(order)) for where, order in world.netlink.applied[before:]]
    assert orders[:2] == [
        (
            None,
            f"ip link add {joined.host_interface} master br-aaaaaaaaaaaa up type veth "
            "peer name eth0 address 02:42:0a:05:00:02 netns /proc/self/fd/50",
        ),
        (None, f"ip link set {joined.host_interface} type bridge_slave hairpin on"),
    ]
    inside = [order for where, order in orders[2:] if where == 51]
    assert len(inside) == len(orders) - 2
    assert inside[0] == "ip link set lo up"
    assert inside[-3:] == [
        "ip address add 10.5.0.2/24 dev eth0", "ip link set eth0 up", "ip route add default via 10.5.0.1 dev eth0",
    ]  # fmt: skip


@pytest.mark.parametrize("order", ["CreateVeth", "AddRoute"])
def test_a_failed_join_takes_the_cable_back(order: str) -> None:
    """Whichever half fails; the lease stays, so that joining can be tried again."""
    world = World()
    world.driver.create_network(NetworkConfig(NETWORK, "n"))
    world.driver.lease(NETWORK, "e1")
    world.netlink.failures = {order: errno.EPERM}
    with pytest.raises(NetlinkError):
        world.driver.join("e1", SANDBOX)
    assert [link.kind for link in world.netlink.links()] == ["bridge"]
    world.netlink.failures = {}
    assert world.driver.join("e1", SANDBOX).interface == "eth0"


def test_a_network_that_the_firewall_refuses_is_not_made() -> None:
    """The bridge is taken away again, and its subnet is free for the next try."""
    world = World()
    world.driver.restore([])
    world.firewall.refuse = {"BridgeRules"}
    with pytest.raises(FirewallError):
        world.driver.create_network(NetworkConfig(NETWORK, "n"))
    assert world.netlink.links() == ()
    with pytest.raises(NotFound):
        world.driver.describe(NETWORK)
    world.firewall.refuse = set()
    world.driver.create_network(NetworkConfig(NETWORK, "n"))


def test_ports_that_the_firewall_refuses_are_given_back() -> None:
    """Promise and socket both: the same port can be had afterwards."""
    world = World()
    world.driver.create_network(NetworkConfig(NETWORK, "n"))
    world.driver.lease(NETWORK, "e1")
    world.driver.join("e1", SANDBOX)
    world.firewall.refuse = {"PortForward"}
    wish = PortBinding(80, host_address=ip_address("127.0.0.1"))
    with pytest.raises(FirewallError):
        world.driver.publish("e1", [wish])
    world.firewall.refuse = set()
    (port,) = world.driver.publish("e1", [wish])
    forwards = [rule for rule in world.firewall.standing if isinstance(rule, PortForward)]
    assert [(rule.host_port, str(rule.address)) for rule in forwards] == [(port.host_port, "172.17.0.2")]
    world.driver.release("e1")
    assert not any(isinstance(rule, PortForward) for rule in world.firewall.standing)
    world.driver.shutdown()


def test_the_kernels_switches_are_turned_on_where_they_are_needed() -> None:
    """Forwarding, packets of 127.0.0.1 through the bridge and, without icc, bridged packets for the firewall to see."""
    world = World()
    world.driver.create_network(NetworkConfig(NETWORK, "n", icc=False))
    written = [arguments for name, arguments in world.kernel.calls if name == "write_file"]
    assert written == [
        ("/proc/sys/net/ipv4/ip_forward", "1"),
        ("/proc/sys/net/ipv4/conf/br-aaaaaaaaaaaa/route_localnet", "1"),
        ("/proc/sys/net/bridge/bridge-nf-call-iptables", "1"),
    ]


def test_without_br_netfilter_the_bridge_itself_keeps_ports_apart() -> None:
    """A kernel whose firewall cannot see bridged packets: ports are isolated, so icc off is still kept."""

    def read_file(path: str) -> str:
        if "bridge-nf-call" in path:
            raise SyscallError("read_file", (path,), errno.ENOENT)
        return "1\n"

    world = World(read_file=read_file)
    world.driver.create_network(NetworkConfig(NETWORK, "n", icc=False))
    world.driver.lease(NETWORK, "e1")
    joined = world.driver.join("e1", SANDBOX)
    assert (None, SetLink(joined.host_interface, hairpin=True, isolated=True)) in world.netlink.applied


def test_a_bridge_that_cannot_be_finished_is_taken_away() -> None:
    """A read-only /proc/sys: the error names the switch, and no bridge is left."""
    world = World(write_file=errno.EROFS)
    with pytest.raises(Exception, match="ip_forward"):
        world.driver.create_network(NetworkConfig(NETWORK, "n"))
    assert world.netlink.links() == ()


def test_a_foreign_bridge_of_that_name_is_not_touched() -> None:
    """It has no mark of ours and not the address that was asked for: the administrator must decide."""
    world = World()
    world.netlink.apply([CreateBridge("br9")])
    with pytest.raises(Invalid, match="not ours"):
        world.driver.create_network(NetworkConfig(NETWORK, "n", (Pool(ip_network("10.5.0.0/24")),), bridge="br9"))
    assert world.netlink.applied == [(None, CreateBridge("br9"))]


@pytest.mark.parametrize("name", ["sixteen-letters-", "../etc", "a b", "b;r"])
def test_a_bridges_name_must_be_one(name: str) -> None:
    """It stands in firewall texts and in paths below /proc/sys."""
    with pytest.raises(Invalid, match="invalid name"):
        World().driver.create_network(NetworkConfig(NETWORK, "n", bridge=name))


def test_ipv6_subnets_are_refused_clearly() -> None:
    """They come later; nothing is half made."""
    with pytest.raises(Unsupported, match="IPv6"):
        World().driver.create_network(NetworkConfig(NETWORK, "n", (Pool(ip_network("fd00::/64")),)))


def test_an_internal_network_has_no_gateway_for_its_containers() -> None:
    """And its rules say so."""
    world = World()
    world.driver.create_network(NetworkConfig(NETWORK, "n", internal=True))
    assert world.driver.lease(NETWORK, "e1").gateway is None
    world.driver.restore([])
    assert [rule.internal for rule in world.firewall.standing if isinstance(rule, BridgeRules)] == [True]


def test_a_shutdown_without_endpoints_leaves_nothing() -> None:
    """Bridges of ours and all rules go; a veth order was never needed."""
    world = World()
    world.driver.create_network(NetworkConfig(NETWORK, "n"))
    world.driver.restore([])
    world.driver.shutdown()
    assert world.netlink.links() == ()
    assert world.firewall.standing == []
    assert not any(isinstance(order, CreateVeth) for _, order in world.netlink.applied)
    assert isinstance(world.netlink.applied[-1][1], DeleteLink)
