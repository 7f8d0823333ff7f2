"""Our netlink messages beside pyroute2's: the library is the oracle for both directions."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mini_docker.errors import Invalid
from mini_docker.linux import rtnetlink
from mini_docker.linux.netlink import NetlinkError
from mini_docker.linux.netlink_requests import (
    AddAddress,
    AddRoute,
    CreateBridge,
    CreateVeth,
    DeleteLink,
    Request,
    SetLink,
)

NAME = st.from_regex(r"[a-z][a-z0-9]{0,14}", fullmatch=True)


def index_of(name: str) -> int:
    """Every link has the number of its length."""
    return len(name)


def decoded(request: Request, form: type) -> object:
    """Our bytes, read by pyroute2."""
    message = form(rtnetlink.encode(request, 7, index_of))
    message.decode()
    assert message["header"]["sequence_number"] == 7
    return message


@given(NAME, st.integers(0, 65535))
def test_a_bridge(name: str, mtu: int) -> None:
    """Name, kind, hardware address, MTU."""
    message = decoded(CreateBridge(name, "02:42:0a:00:00:01", mtu), ifinfmsg)
    assert message.get_attr("IFLA_IFNAME") == name
    assert message.get_attr("IFLA_ADDRESS") == "02:42:0a:00:00:01"
    assert message.get_attr("IFLA_MTU") == (mtu or None)
    assert message.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "bridge"


def test_a_cable() -> None:
    """The near plug is up and in its bridge; the far one has name, address and namespace."""
    message = decoded(CreateVeth("veth1", "eth0", 9, "bridge0", "02:42:0a:00:00:02", 1400), ifinfmsg)
    assert message["flags"] == message["change"] == 1
    assert message.get_attr("IFLA_MASTER") == len("bridge0")
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert peer.get_attr("IFLA_IFNAME") == "eth0"
    assert peer.get_attr("IFLA_ADDRESS") == "02:42:0a:00:00:02"
    assert peer.get_attr("IFLA_MTU") == 1400
    assert peer.get_attr("IFLA_NET_NS_FD") == 9


def test_a_change_of_a_port() -> None:
    """Only what is said is in the message."""
    message = decoded(SetLink("veth1", hairpin=True, alias="a note"), ifinfmsg)
    assert (message["flags"], message["change"]) == (0, 0)
    assert message.get_attr("IFLA_IFALIAS") == "a note"
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge"
    assert info.get_attr("IFLA_INFO_SLAVE_DATA").get_attr("IFLA_BRPORT_MODE") == 1
    down = decoded(SetLink("veth1", up=False), ifinfmsg)
    assert (down["flags"], down["change"]) == (0, 1)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 32))
def test_an_address(address: object, length: int) -> None:
    """Of either version; IPv4 gets its subnet's broadcast address."""
    wanted = ip_interface((address, length))
    message = decoded(AddAddress("eth0", wanted), ifaddrmsg)
    assert message["prefixlen"] == length
    assert message["index"] == len("eth0")
    assert ip_address(message.get_attr("IFA_LOCAL")) == address
    broadcast = str(wanted.network.broadcast_address) if wanted.version == 4 and length < 31 else None
    assert message.get_attr("IFA_BROADCAST") == broadcast


@pytest.mark.parametrize("destination", [None, "192.0.2.0/24", "fd00:1::/64"])
def test_a_route(destination: str | None) -> None:
    """A default route has no destination at all."""
    gateway = "fd00::1" if destination and ":" in destination else "10.0.0.1"
    network = ip_network(destination) if destination else None
    message = decoded(AddRoute(ip_address(gateway), "eth0", network), rtmsg)
    assert message.get_attr("RTA_GATEWAY") == gateway
    assert message.get_attr("RTA_OIF") == len("eth0")
    assert message.get_attr("RTA_DST") == (destination.split("/")[0] if destination else None)
    assert message["dst_len"] == (network.prefixlen if network else 0)


@given(NAME, st.integers(68, 9000), st.integers(0, 9), st.text(max_size=20))
def test_a_link_that_pyroute2_describes_is_read(name: str, mtu: int, master: int, alias: str) -> None:
    """The other direction: their bytes, our decoder."""
    alias = alias.replace("\0", "")
    message = ifinfmsg()
    message["index"], message["flags"] = 5, 1
    message["attrs"] = [
        ("IFLA_IFNAME", name), ("IFLA_MTU", mtu), ("IFLA_MASTER", master), ("IFLA_IFALIAS", alias),
        ("IFLA_ADDRESS", "02:42:0a:00:00:01"), ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "veth")]}),
    ]  # fmt: skip
    message.encode()
    (cut,) = rtnetlink.split_messages(bytes(message.data))
    link = rtnetlink.decode_link(cut.body)
    assert (link.index, link.name, link.kind, link.mtu, link.master, link.up, link.alias) == (
        5, name, "veth", mtu, master, True, alias,
    )  # fmt: skip
    assert link.mac_address == "02:42:0a:00:00:01"


@given(st.binary(max_size=200))
def test_nonsense_is_refused_and_never_loops(data: bytes) -> None:
    """Whatever bytes come, cutting ends: with messages or with a ValueError."""
    try:
        assert sum(len(message.body) + 16 for message in rtnetlink.split_messages(data)) <= len(data)
    except ValueError as error:
        assert "netlink message" in str(error)


@given(st.integers(0, 133), st.booleans(), st.text(min_size=1, max_size=30))
def test_an_errors_own_words_are_found(number: int, capped: bool, words: str) -> None:
    """After the request, which comes back whole or as its header alone (netlink(7), NETLINK_EXT_ACK)."""
    words = words.replace("\0", "?")
    request = struct.pack("=IHHII", 36, 16, 5, 1, 0) + bytes(20)
    attribute = struct.pack("=HH", 4 + len(words.encode()) + 1, 1) + words.encode() + b"\0"
    body = struct.pack("=i", -number) + (request[:16] if capped else request) + attribute
    flags = rtnetlink.NLM_F_ACK_TLVS | (rtnetlink.NLM_F_CAPPED if capped else 0)
    answer = rtnetlink.Message(rtnetlink.NLMSG_ERROR, flags, 1, body)
    assert rtnetlink.decode_error(answer) == (number, words if number else "")


@pytest.mark.parametrize("name", ["", "sixteen-letters-", "x" * 40])
def test_a_name_that_is_no_links_is_refused_before_the_kernel(name: str) -> None:
    """The kernel would cut it or say EINVAL without a word."""
    with pytest.raises(Invalid):
        rtnetlink.encode(CreateBridge(name), 1, index_of)


def test_orders_read_like_ip() -> None:
    """As strings they are what an administrator would type."""
    assert str(CreateBridge("b0", "02:42:00:00:00:01")) == "ip link add b0 address 02:42:00:00:00:01 type bridge"
    assert str(SetLink("v0", up=True, hairpin=True)) == "ip link set v0 up type bridge_slave hairpin on"
    assert str(AddRoute(ip_address("10.0.0.1"), "eth0")) == "ip route add default via 10.0.0.1 dev eth0"
    error = NetlinkError(DeleteLink("v0"), errno.ENODEV, "no luck")
    assert str(error) == "netlink('ip link delete v0'): ENODEV: no such device: no luck"
    assert socket.AF_INET6 == 10
