"""Plans with random addresses, read as `ip` commands: what is asked for, and in which order. No root needed."""

from __future__ import annotations

import secrets
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

from mini_docker.drivers.networkdriver import bridge_plan
from mini_docker.drivers.networkdriver.contract import Lease, SandboxSockets
from mini_docker.drivers.networkdriver.ip_allocator import IPAllocator
from mini_docker.drivers.networkdriver.subnets import first_free, mac_address


def random_subnet() -> str:
    """One that nobody knows beforehand."""
    return f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}"


def test_a_new_bridge_is_complete_before_it_is_up() -> None:
    """Made, marked as ours, addressed; up comes last. Its hardware address is fixed from the beginning."""
    net, mark = random_subnet(), secrets.token_hex(4)
    orders = [str(order) for order in bridge_plan.make_bridge("br0", ip_interface(f"{net}.1/24"), 1400, mark)]
    assert orders[0] == f"ip link add br0 address {mac_address(ip_address(f'{net}.1'))} mtu 1400 type bridge"
    assert orders[-1] == "ip link set br0 up"
    assert {f"ip link set br0 alias {mark!r}", f"ip address add {net}.1/24 dev br0"} == set(orders[1:-1])


def test_mending_changes_only_what_is_wrong() -> None:
    """What is right is not touched, what is wrong goes; another version's addresses are none of ours."""
    net = random_subnet()
    right, wrong, other = ip_interface(f"{net}.1/24"), ip_interface(f"{net}.9/24"), ip_interface("fd00::1/64")
    assert [str(order) for order in bridge_plan.mend_bridge("br0", right, (right, other))] == ["ip link set br0 up"]
    mended = [str(order) for order in bridge_plan.mend_bridge("br0", right, (wrong, other))]
    assert set(mended) == {
        f"ip address delete {wrong} dev br0", f"ip address add {right} dev br0", "ip link set br0 up",
    }  # fmt: skip


def test_the_route_comes_last_and_only_where_there_is_a_way_out() -> None:
    """The kernel takes a gateway only as the neighbour of an interface that is up."""
    net = random_subnet()
    lease = Lease("e", "n", ip_interface(f"{net}.2/24"), ip_address(f"{net}.1"), "02:42:00:00:00:02")
    orders = [str(order) for order in bridge_plan.sandbox_side("eth0", lease, default_route=True, ipv6=False)]
    assert orders[0] == "ip link set lo up"
    assert orders[-1] == f"ip route add default via {net}.1 dev eth0"
    assert orders.index(f"ip address add {net}.2/24 dev eth0") < len(orders) - 1
    assert orders.index("ip link set eth0 up") < len(orders) - 1
    for silent in (
        bridge_plan.sandbox_side("eth0", lease, default_route=False, ipv6=False),
        bridge_plan.sandbox_side("eth0", Lease("e", "n", lease.address), default_route=True, ipv6=False),
    ):
        assert not [order for order in silent if "route" in str(order)]
    assert [str(order) for order in bridge_plan.sandbox_side("eth0", Lease("e", "n"), True, True)] == [
        "ip link set lo up"
    ]


def test_with_ipv6_the_link_makes_itself_no_address() -> None:
    """Neighbours could talk by it, and no rule of the firewall would see them."""
    lease = Lease("e", "n", ip_interface(f"{random_subnet()}.2/24"))
    for ipv6 in (True, False):
        orders = [str(order) for order in bridge_plan.sandbox_side("eth0", lease, True, ipv6)]
        assert ("ip link set eth0 addrgenmode none" in orders) is ipv6


def test_the_cable_has_its_far_end_in_the_container() -> None:
    """One order makes both plugs, each where it belongs."""
    mac = mac_address(IPv4Address(secrets.randbits(32)))
    lease = Lease("e", "n", ip_interface("10.0.0.2/24"), None, mac)
    cable, port = bridge_plan.host_side("veth7", "eth0", lease, "br0", 1300, True, SandboxSockets(50, 51))
    assert str(cable) == (
        f"ip link add veth7 mtu 1300 master br0 up type veth peer name eth0 address {mac} mtu 1300 netns /proc/self/fd/50"
    )
    assert "hairpin on" in str(port) and "isolated on" in str(port)
    assert "isolated" not in str(bridge_plan.host_side("v", "e", lease, "b", 0, False, SandboxSockets(1, 2))[1])


def test_the_smallest_subnets_have_no_ends() -> None:
    """RFC 3021: both addresses of a /31 are hosts', and the one of a /32 is."""
    for prefix, count in ((30, 2), (31, 2), (32, 1)):
        allocator = IPAllocator(ip_network(f"{random_subnet()}.128/{prefix}"))
        assert len({allocator.allocate(str(n)) for n in range(count)}) == count


def test_the_choice_reads_its_facts_once() -> None:
    """What is taken may come from an iterator: the second candidate must be compared with it, too."""
    taken = iter([ip_network("172.17.0.0/16"), ip_network("172.18.3.0/24")])
    assert str(first_free(taken, iter([ip_address("172.19.0.53")]))) == "172.20.0.0/16"
