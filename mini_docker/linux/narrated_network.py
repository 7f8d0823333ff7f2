"""Doors to the network stack and the packet filter that say each order in words while somebody listens.

The doors serve all threads and are there for good, unlike the kernel's narrated one (narrated.py), which is made
for one birth. So a thread says who listens to what *it* does (`Audience`), and whoever uses the doors in it need
not know. Without an audience an order costs one look at an attribute more. They know how to describe an order and
nothing of why it is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar, cast

from mini_docker.linux.dns_redirect import CHAIN, TABLE
from mini_docker.linux.dns_sockets import ADDRESS as DNS_ADDRESS
from mini_docker.linux.dns_sockets import PORT as DNS_PORT
from mini_docker.linux.dns_sockets import DnsSockets
from mini_docker.linux.firewall import BridgeRules, Firewall, LinkRule, PortForward, Rule
from mini_docker.linux.narrated import Say, teller
from mini_docker.linux.netlink import Netlink
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

TOOLS: dict[str, tuple[str, str]] = {
    "nftables": ("nft", "nft(8)"),
    "iptables": ("iptables", "iptables(8), iptables-restore(8)"),
}
"""A firewall's name → the tool whose words it uses, and the manual page."""


class Audience(threading.local):
    """Who listens to the calling thread: each thread has one of its own, which at first is nobody.

    Attributes:
        say: takes a sentence; None while nobody listens.
    """

    say: Say | None = None

    @contextmanager
    def listening(self, descriptor: int, who: str) -> Iterator[None]:
        """While the block runs, this thread's orders are told into *descriptor*, as `teller` does."""
        self.say = teller(descriptor, who)
        try:
            yield
        finally:
            self.say = None

    @contextmanager
    def told(self, order: str, words: str) -> Iterator[None]:
        """Tell what the block does, with its result, when it is done.

        Args:
            order: as a program would give it.
            words: what it means, and the manual page.
        """
        result = "0"
        try:
            yield
        except Exception as error:
            result = " ".join(str(error).split())  # nft draws arrows below its complaint: here it is one line
            raise
        finally:
            if self.say is not None:
                self.say(f"{order} = {result}  # {words}")


Real = TypeVar("Real")


class NarratedDoor(Generic[Real]):
    """Stands before a real door. What a subclass does not tell goes through as it is.

    Args:
        real: does what is asked.
        audience: whom to tell.
    """

    def __init__(self, real: Real, audience: Audience) -> None:
        self._real = real
        self._audience = audience

    def door(self) -> Real:
        """This object, as the type checker should see it."""
        return cast(Real, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class NarratedNetlink(NarratedDoor[Netlink]):
    """Stands in the door of `Netlink`, before the real one. Questions are not told, they change nothing."""

    def apply(self, requests: Sequence[Request], namespace_socket: int | None = None) -> None:
        """Told, orders go one by one and not in one write, so that each has its result when it is said."""
        if self._audience.say is None:
            self._real.apply(requests, namespace_socket)
            return
        for request in requests:
            with self._audience.told(*told_request(request, namespace_socket)):
                self._real.apply([request], namespace_socket)


class NarratedFirewall(NarratedDoor[Firewall]):
    """Stands in the door of `Firewall`, before the real one. A change is one transaction: told when it is done."""

    def install(self, rules: Sequence[Rule]) -> None:
        if self._audience.say is None:
            self._real.install(rules)
            return
        tool, page = TOOLS.get(self._real.name, (self._real.name,) * 2)
        told = (f"{tool}(<{len(rules)} rules>)", f"put all rules that shall hold in place of those that stand; {page}")
        with self._audience.told(*told):
            self._real.install(rules)

    def add(self, rules: Sequence[Rule]) -> None:
        if self._audience.say is None:
            self._real.add(rules)
            return
        with ExitStack() as change:  # told in the rules' order: what was entered last is left first
            for told in reversed([sentence for rule in rules for sentence in told_rule(self._real, rule)]):
                change.enter_context(self._audience.told(*told))
            self._real.add(rules)
        self._tell_of_conversations(rules)

    def delete(self, rules: Sequence[Rule]) -> None:
        if self._audience.say is None:
            self._real.delete(rules)
            return
        with ExitStack() as change:
            for rule in rules:
                for told in reversed(list(told_rule(self._real, rule, delete=True))):
                    change.enter_context(self._audience.told(*told))
            self._real.delete(rules)
        self._tell_of_conversations(rules)

    def _tell_of_conversations(self, rules: Sequence[Rule]) -> None:
        """The firewall has them forgotten in the background (conntrack.py): how that ends, nobody waits for."""
        for rule in rules:
            if isinstance(rule, PortForward) and rule.protocol == "udp":
                assert self._audience.say is not None
                words = "in the background, have the kernel forget who spoke with that port before; conntrack(8)"
                self._audience.say(f"IPCTNL_MSG_CT_DELETE(udp, CTA_PROTO_DST_PORT={rule.host_port})  # {words}")


def narrated_dns(open_sockets: Callable[[str], DnsSockets], audience: Audience) -> Callable[[str], DnsSockets]:
    """What opens a container's DNS sockets and tells of it; *open_sockets* does it, by way of the supervisor."""

    def opened(container: str) -> DnsSockets:
        sockets = open_sockets(container)
        if audience.say is not None:
            for order, words in told_dns(sockets):
                audience.say(f"{order} = 0  # {words}")
        return sockets

    return opened


def told_dns(sockets: DnsSockets) -> Iterator[tuple[str, str]]:
    """What was done for two DNS sockets in a container's network; each with its words, and the page."""
    for kind, protocol, opened in (("SOCK_DGRAM", "udp", sockets.datagrams), ("SOCK_STREAM", "tcp", sockets.streams)):
        port = opened.getsockname()[1]
        words = f"inside the container's network: answer its questions to the name server by {protocol}"
        yield f"bind({kind}, {DNS_ADDRESS}:{port})", f"{words}; bind(2), network_namespaces(7)"
        if port != DNS_PORT:
            rule = f"meta l4proto {protocol} ip daddr {DNS_ADDRESS} th dport {DNS_PORT} dnat to :{port}"
            words = f"lead there who asks at port {DNS_PORT}, which stays free for a server of its own"
            yield f"nft('add rule ip {TABLE.decode()} {CHAIN.decode()} {rule}')", f"{words}; nft(8)"


def told_request(request: Request, namespace_socket: int | None = None) -> tuple[str, str]:
    """An order as its message and attributes, by the names in the kernel's headers; and in words, with the page.

    A link's number is told as its name.
    """
    match request:
        case CreateBridge():
            given = [*_link(request.name, request.mac_address, request.mtu), "IFLA_INFO_KIND='bridge'"]
            told = "RTM_NEWLINK", given, "make a bridge: a switch inside the kernel; rtnetlink(7), bridge(8)"
        case CreateVeth():
            peer = _link(request.peer, request.mac_address, request.mtu)
            given = [
                *_link(request.name, "", request.mtu), "IFF_UP",
                *([f"IFLA_MASTER={request.master!r}"] if request.master else []),
                "IFLA_INFO_KIND='veth'",
                f"VETH_INFO_PEER={{{', '.join([*peer, f'IFLA_NET_NS_FD={request.peer_namespace}'])}}}",
            ]  # fmt: skip
            words = "make a cable with two plugs: one here, the other born inside that namespace, with its name there"
            told = "RTM_NEWLINK", given, f"{words}; rtnetlink(7), veth(4)"
        case SetLink():
            given, changes = _link_changes(request)
            told = "RTM_NEWLINK", given, f"{', '.join(changes)}; rtnetlink(7), ip-link(8)"
        case DeleteLink(name):
            told = "RTM_DELLINK", _link(name), "remove a link: of a cable both plugs go; rtnetlink(7), ip-link(8)"
        case AddAddress(link, address):
            words = "give a link an address, and with it the route to its neighbours; rtnetlink(7), ip-address(8)"
            told = "RTM_NEWADDR", [f"ifa_index={link!r}", f"IFA_LOCAL={address}"], words
        case DeleteAddress(link, address):
            words = "take an address from a link; rtnetlink(7), ip-address(8)"
            told = "RTM_DELADDR", [f"ifa_index={link!r}", f"IFA_LOCAL={address}"], words
        case AddRoute(gateway, link, destination):
            given = [f"RTA_GATEWAY={gateway}", f"RTA_OIF={link!r}"]
            if destination is not None:
                given.insert(0, f"RTA_DST={destination}")
            where = destination or "everywhere else"
            told = "RTM_NEWROUTE", given, f"send packets for {where} to this gateway; rtnetlink(7), ip-route(8)"
    message, given, words = told
    if namespace_socket is not None:
        given = [*given, f"namespace_socket={namespace_socket}"]
    return f"{message}({', '.join(given)})", words


def told_rule(firewall: Firewall, rule: Rule, delete: bool = False) -> Iterator[tuple[str, str]]:
    """A rule as the commands that its tool is given; each with the rule in words, and the page."""
    tool, page = TOOLS.get(firewall.name, (firewall.name,) * 2)
    match rule:
        case BridgeRules(bridge=bridge):
            words = f"guard the bridge {bridge}: into it pass answers and what is published"
        case PortForward():
            words = f"lead the host's port {rule.host_port}/{rule.protocol} to {rule.address}:{rule.port}"
        case LinkRule():
            words = f"let {rule.source} ask {rule.destination} at {rule.port}/{rule.protocol}, and nowhere else"
    for command in firewall.commands([rule], delete):
        yield f"{tool}({command!r})", f"{'no longer ' if delete else ''}{words}; {page}"


def _link(name: str, mac_address: str = "", mtu: int = 0) -> list[str]:
    given = [f"IFLA_IFNAME={name!r}"]
    return given + ([f"IFLA_ADDRESS={mac_address}"] if mac_address else []) + ([f"IFLA_MTU={mtu}"] if mtu else [])


def _link_changes(request: SetLink) -> tuple[list[str], list[str]]:
    """The attributes of a change, and each change in words."""
    given, changes = _link(request.name, "", request.mtu or 0), []
    if request.mtu is not None:
        changes.append(f"let the link's packets have {request.mtu} bytes at most")
    if request.up is not None:
        given.append("IFF_UP" if request.up else "~IFF_UP")
        changes.append("let the link carry packets" if request.up else "let the link carry no packets")
    if request.alias is not None:
        given.append(f"IFLA_IFALIAS={request.alias!r}")
        changes.append("put a note on the link")
    if request.hairpin is not None:
        given.append(f"IFLA_BRPORT_MODE={request.hairpin:d}")
        changes.append(f"{'' if request.hairpin else 'do not '}let the bridge send a frame back to where it came from")
    if request.isolated is not None:
        given.append(f"IFLA_BRPORT_ISOLATED={request.isolated:d}")
        changes.append(f"{'' if request.isolated else 'do not '}cut the port off from the bridge's other isolated ones")
    if request.link_local is not None:
        given.append(f"IFLA_INET6_ADDR_GEN_MODE={'EUI64' if request.link_local else 'NONE'}")
        changes.append(f"let the link make itself {'an' if request.link_local else 'no'} IPv6 address")
    return given, changes or ["change nothing"]
