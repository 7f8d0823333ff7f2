"""The narrated doors of network stack and packet filter: what is told is what is done, and silence changes nothing."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mini_docker.linux import rtnetlink
from mini_docker.linux.firewall import (
    BridgeRules,
    Firewall,
    FirewallError,
    LinkRule,
    NoFirewall,
    PortForward,
    RecordingFirewall,
    Rule,
)
from mini_docker.linux.iptables import IptablesFirewall
from mini_docker.linux.narrated_network import Audience, NarratedFirewall, NarratedNetlink, told_request, told_rule
from mini_docker.linux.netlink import NetlinkError
from mini_docker.linux.netlink_requests import (
    AddAddress,
    AddRoute,
    CreateBridge,
    CreateVeth,
    DeleteAddress,
    DeleteLink,
    Request,
    SetLink,
)
from mini_docker.linux.nftables import NftablesFirewall
from mini_docker.linux.recording_netlink import RecordingNetlink

NAME = st.from_regex(r"[a-z][a-z0-9]{0,14}", fullmatch=True)
MTU = st.integers(0, 65535)
MAC_ADDRESS = st.sampled_from(["", "02:42:0a:00:00:02"])
ADDRESS = st.just(ip_interface("10.0.0.2/24"))
PERHAPS = st.sampled_from([None, True, False])
REQUESTS: dict[type, st.SearchStrategy[Request]] = {
    CreateBridge: st.builds(CreateBridge, NAME, MAC_ADDRESS, MTU),
    CreateVeth: st.builds(CreateVeth, NAME, NAME, st.integers(3, 99), st.one_of(st.just(""), NAME), MAC_ADDRESS, MTU),
    SetLink: st.builds(
        SetLink, NAME, PERHAPS, st.one_of(st.none(), MTU), st.one_of(st.none(), NAME), PERHAPS, PERHAPS, PERHAPS
    ),
    DeleteLink: st.builds(DeleteLink, NAME),
    AddAddress: st.builds(AddAddress, NAME, ADDRESS),
    DeleteAddress: st.builds(DeleteAddress, NAME, ADDRESS),
    AddRoute: st.builds(
        AddRoute, st.just(ip_address("10.0.0.1")), NAME, st.sampled_from([None, ip_network("10.9.0.0/16")])
    ),
}
FORMS = {"LINK": ifinfmsg, "ADDR": ifaddrmsg, "ROUTE": rtmsg}
FORWARD = PortForward("tcp", ip_address("0.0.0.0"), 8080, ip_address("172.17.0.2"), 80, "b0")
BRIDGE = BridgeRules("b0", ip_network("172.17.0.0/16"))
LINK = LinkRule("b0", ip_address("172.17.0.2"), ip_address("172.17.0.3"), "tcp", 5432)


@contextmanager
def listening(audience: Audience) -> Iterator[Callable[[], list[str]]]:
    """An audience for the block; the function gives what it has heard, once."""
    readable, writable = os.pipe()
    try:
        with audience.listening(writable, "daemon"):
            os.set_blocking(readable, False)
            yield lambda: os.read(readable, 1 << 16).decode().splitlines()
    finally:
        os.close(readable)
        os.close(writable)


def names_in(attributes: Any) -> set[str]:
    """All names of attributes of a message that pyroute2 read, those within others too."""
    found = set()
    for attribute in attributes["attrs"] if isinstance(attributes, dict) and "attrs" in attributes else ():
        found |= {attribute[0]} | names_in(attribute[1])
    return found


def test_every_kind_of_order_is_tried_here() -> None:
    """So that one made later is not left without words."""
    assert set(get_args(Request)) == set(REQUESTS)


@given(st.one_of(*REQUESTS.values()))
def test_what_is_told_is_what_is_sent(request: Request) -> None:
    """The message's type and every attribute that is named are in the bytes, as another library reads them."""
    order, words = told_request(request)
    told = order.partition("(")[0]
    message = rtnetlink.encode(request, 1, len)
    (header,) = rtnetlink.split_messages(message)
    assert header.type == getattr(rtnetlink, told)
    form = FORMS[told.removeprefix("RTM_")[3:]]
    read = form(message)
    read.decode()
    assert set(re.findall(r"\b((?:IFLA|IFA|RTA|VETH)_\w+)=", order)) <= names_in(read)
    assert ("IFF_UP" in order) == (form is ifinfmsg and bool(read["change"] & rtnetlink.IFF_UP))
    assert "rtnetlink(7)" in words


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (
            CreateVeth("veth1", "eth0", 23, "mdocker0", "02:42:ac:11:00:02", 1400),
            "RTM_NEWLINK(IFLA_IFNAME='veth1', IFLA_MTU=1400, IFF_UP, IFLA_MASTER='mdocker0', IFLA_INFO_KIND='veth', "
            "VETH_INFO_PEER={IFLA_IFNAME='eth0', IFLA_ADDRESS=02:42:ac:11:00:02, IFLA_MTU=1400, IFLA_NET_NS_FD=23})",
        ),
        (SetLink("lo", up=True), "RTM_NEWLINK(IFLA_IFNAME='lo', IFF_UP)"),
        (SetLink("veth1", hairpin=True), "RTM_NEWLINK(IFLA_IFNAME='veth1', IFLA_BRPORT_MODE=1)"),
        (AddAddress("eth0", ip_interface("10.0.0.2/24")), "RTM_NEWADDR(ifa_index='eth0', IFA_LOCAL=10.0.0.2/24)"),
        (AddRoute(ip_address("10.0.0.1"), "eth0"), "RTM_NEWROUTE(RTA_GATEWAY=10.0.0.1, RTA_OIF='eth0')"),
        (DeleteLink("veth1"), "RTM_DELLINK(IFLA_IFNAME='veth1')"),
    ],
)
def test_an_order_is_told_in_the_headers_words(request_: Request, told: str) -> None:
    """Beside the manual page open, every word of it can be looked up."""
    assert told_request(request_)[0] == told
    assert told_request(request_, 24)[0] == told[:-1] + ", namespace_socket=24)"


def test_a_told_order_has_its_result() -> None:
    """The one that fails is told with the kernel's reason; none after it is tried, and the failure passes through."""
    audience = Audience()
    recording = RecordingNetlink(failures={"AddAddress": errno.EEXIST})
    netlink = NarratedNetlink(recording, audience).door()
    orders = [CreateBridge("b0"), AddAddress("b0", ip_interface("10.0.0.1/24")), DeleteLink("b0")]
    with listening(audience) as heard:
        with pytest.raises(NetlinkError):
            netlink.apply(orders)
        first, second = heard()
    assert first.startswith("daemon: RTM_NEWLINK(IFLA_IFNAME='b0', IFLA_INFO_KIND='bridge') = 0  # make a bridge")
    assert second.startswith("daemon: RTM_NEWADDR(") and " EEXIST: " in second and second.endswith("ip-address(8)")
    assert [request for _, request in recording.applied] == orders[:2]


class Counting:
    """A door that notes how it is called: for what must not differ between silence and none."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def apply(self, requests: Sequence[Request], namespace_socket: int | None = None) -> None:
        self.calls.append((requests, namespace_socket))


def test_silence_costs_nothing() -> None:
    """Without an audience the orders go through as they came, in one batch; nothing is put in words."""
    audience, door = Audience(), Counting()
    orders = [SetLink("lo", up=True), DeleteLink("b0")]
    NarratedNetlink(door, audience).apply(orders, 24)  # type: ignore[arg-type]
    assert len(door.calls) == 1 and door.calls[0][0] is orders and door.calls[0][1] == 24
    recording = RecordingFirewall()
    recording.commands = _never  # type: ignore[method-assign]
    firewall = NarratedFirewall(recording, audience)
    firewall.install([BRIDGE])
    firewall.add([FORWARD])
    firewall.delete([FORWARD])
    assert recording.calls == [("install", (BRIDGE,)), ("add", (FORWARD,)), ("delete", (FORWARD,))]


def test_only_the_listened_thread_is_told_and_only_as_long() -> None:
    """Two containers that start side by side do not tell each other's story."""
    audience = Audience()
    netlink = NarratedNetlink(RecordingNetlink(), audience).door()
    with listening(audience) as heard:
        other = threading.Thread(target=netlink.apply, args=([CreateBridge("other")],))
        other.start()
        other.join()
        netlink.apply([CreateBridge("mine")])
        (line,) = heard()
        assert "'mine'" in line
    netlink.apply([CreateBridge("later")])
    assert audience.say is None
    assert {link.name for link in netlink.links()} == {"mine", "other", "later"}


@pytest.mark.parametrize(
    ("form", "told", "page"),
    [
        (
            NftablesFirewall,
            "nft('add element ip mini_docker_t published { tcp . 8080 : 172.17.0.2 . 80 }')",
            "nft(8)",
        ),
        (
            IptablesFirewall,
            "iptables('-t nat -A MD-t-PORTS -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80')",
            "iptables(8), iptables-restore(8)",
        ),
    ],
)
def test_a_rule_is_told_in_its_tools_words(form: Callable[[str], Firewall], told: str, page: str) -> None:
    """And in ours, with the tool's manual page; what takes it away as well."""
    firewall = form("t")
    assert list(told_rule(firewall, FORWARD)) == [(told, f"lead the host's port 8080/tcp to 172.17.0.2:80; {page}")]
    ((away, words),) = told_rule(firewall, FORWARD, delete=True)
    assert re.search(r"'(delete element|-t nat -D) ", away)
    assert words.startswith("no longer lead the host's port 8080/tcp")
    for rule in (BRIDGE, LINK):
        assert all(words.endswith(page) for _, words in told_rule(firewall, rule))
        assert len(list(told_rule(firewall, rule))) == len(firewall.commands([rule])) > 0


def test_a_restored_text_is_told_as_commands() -> None:
    """iptables-restore knows the table from a line above, and a new chain by a colon; iptables(8) says them itself."""
    told = IptablesFirewall("t").commands([BRIDGE])
    assert "-t filter -N MD-t-b0" in told
    assert told[0] == "-t raw -A MD-t-RAW -d 127.0.0.0/8 -i b0 -j DROP"
    assert not any(word in command for command in told for word in ("*", "COMMIT", ":"))


def test_a_refused_change_is_told_with_the_reason() -> None:
    """It is one transaction: none of its commands was done. No firewall at all has nothing to tell."""
    audience, recording = Audience(), RecordingFirewall()
    recording.refuse = {"PortForward"}
    firewall = NarratedFirewall(recording, audience).door()
    with listening(audience) as heard:
        with pytest.raises(FirewallError):
            firewall.add([LINK, FORWARD])
        assert [line.partition("  #")[0] for line in heard()] == [
            "daemon: recording('add LinkRule') = add refused",
            "daemon: recording('add PortForward') = add refused",
        ]
        firewall.install([LINK])
        firewall.delete([LINK])
        assert [line.partition("  #")[0] for line in heard()] == [
            "daemon: recording(<1 rules>) = 0",
            "daemon: recording('delete LinkRule') = 0",
        ]
    assert list(told_rule(NoFirewall(), FORWARD)) == []


def _never(rules: Sequence[Rule], delete: bool = False) -> tuple[str, ...]:
    raise AssertionError("nobody listens")
