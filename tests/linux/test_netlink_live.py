"""The netlink door at the real kernel, in private namespaces."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from mini_docker.linux.netlink import LinuxNetlink, NetlinkError
from mini_docker.linux.netlink_requests import (
    AddAddress,
    AddRoute,
    CreateBridge,
    CreateVeth,
    DeleteAddress,
    DeleteLink,
    LinkAddress,
    Route,
    SetLink,
)
from tests.drivers.networkdriver.namespaces import Namespace, private_host

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def netlink() -> Iterator[LinuxNetlink]:
    """The door, in a network of its own."""
    with private_host():
        door = LinuxNetlink()
        yield door
        door.close()


@pytest.fixture
def other() -> Iterator[Namespace]:
    """Another namespace."""
    namespace = Namespace()
    yield namespace
    namespace.close()


def test_a_batch_may_speak_of_what_it_makes(netlink: LinuxNetlink) -> None:
    """Links are named: an order that needs the number of a link made a moment ago gets it."""
    netlink.apply(
        [
            CreateBridge("b0", "02:42:0a:00:00:01", 1400),
            SetLink("b0", alias="a note", up=True),
            AddAddress("b0", ip_interface("10.0.0.1/24")),
            AddRoute(ip_address("10.0.0.9"), "b0", ip_network("192.0.2.0/24")),
        ]
    )
    link = netlink.link("b0")
    assert link is not None
    assert (link.kind, link.mac_address, link.mtu, link.up, link.alias) == (
        "bridge", "02:42:0a:00:00:01", 1400, True, "a note",
    )  # fmt: skip
    assert LinkAddress(link.index, ip_interface("10.0.0.1/24")) in netlink.addresses()
    assert Route(ip_network("10.0.0.0/24"), None, link.index) in netlink.routes()
    assert Route(ip_network("192.0.2.0/24"), ip_address("10.0.0.9"), link.index) in netlink.routes()
    netlink.apply([DeleteAddress("b0", ip_interface("10.0.0.1/24")), DeleteLink("b0")])
    assert netlink.link("b0") is None


def test_the_far_plug_is_born_in_the_other_namespace(netlink: LinuxNetlink, other: Namespace) -> None:
    """And is set up there through that namespace's socket: the thread never leaves its own."""
    netlink.apply([CreateBridge("b0"), CreateVeth("veth1", "eth0", other.descriptor, "b0", "02:42:0a:00:00:02")])
    inside = other.netlink.fileno()
    netlink.apply([SetLink("eth0", link_local=False), AddAddress("eth0", ip_interface("10.0.0.2/24"))], inside)
    netlink.apply([SetLink("eth0", up=True), AddRoute(ip_address("10.0.0.1"), "eth0")], inside)
    near, bridge, far = netlink.link("veth1"), netlink.link("b0"), netlink.link("eth0", inside)
    assert near is not None and bridge is not None and far is not None
    assert near.master == bridge.index
    assert near.up
    assert far.mac_address == "02:42:0a:00:00:02"
    assert Route(None, ip_address("10.0.0.1"), far.index) in netlink.routes(inside)
    assert [address.address for address in netlink.addresses(inside) if address.link == far.index] == [
        ip_interface("10.0.0.2/24")
    ]
    assert netlink.link("eth0") is None
    assert {link.name for link in netlink.links(inside)} == {"lo", "eth0"}


def test_a_refused_order_is_named(netlink: LinuxNetlink) -> None:
    """With the errno and, on the door's own socket, the kernel's words; the batch's other orders were tried."""
    with pytest.raises(NetlinkError) as caught:
        netlink.apply([CreateBridge("b0"), CreateBridge("b0"), CreateBridge("b1")])
    assert (caught.value.request, caught.value.errno) == (CreateBridge("b0"), errno.EEXIST)
    assert netlink.link("b1") is not None
    with pytest.raises(NetlinkError, match="invalid gateway"):
        netlink.apply([SetLink("b0", up=True), AddRoute(ip_address("10.9.9.9"), "b0")])
    with pytest.raises(NetlinkError, match="ENODEV"):
        netlink.apply([AddAddress("nobody", ip_interface("10.0.0.1/24"))])


def test_many_links_are_all_listed(netlink: LinuxNetlink) -> None:
    """A dump comes in many datagrams; none is lost or cut."""
    netlink.apply([CreateBridge(f"b{number}") for number in range(150)])
    assert {link.name for link in netlink.links()} == {"lo", *(f"b{number}" for number in range(150))}
