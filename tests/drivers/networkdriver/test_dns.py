"""The embedded DNS server: its answers as values, and a live one that a container's namespace asks with dig."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import pytest
from dnslib import QTYPE, RCODE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.drivers.networkdriver.contract import Address
from mini_docker.drivers.networkdriver.dns import DnsServer, receive_framed, send_framed
from mini_docker.drivers.networkdriver.dns_message import address_of_reverse_name, answer_locally, for_datagram
from mini_docker.linux import dns_sockets
from mini_docker.linux.dns_sockets import DnsSockets, open_dns_sockets
from tests.drivers.networkdriver.namespaces import Namespace, private_host

KNOWN = {"web": ["10.0.0.2"], "both": ["10.0.0.3", "fd00::3"], "many": [f"10.0.1.{n}" for n in range(250)]}
UPSTREAM = ip_address("192.0.2.53")


class FixedNames:
    """A few neighbours."""

    def addresses(self, name: str) -> Sequence[Address] | None:
        """From the table."""
        found = KNOWN.get(name)
        return [ip_address(text) for text in found] if found else None

    def names(self, address: Address) -> Sequence[str]:
        """From the table."""
        return [f"{name}.n1" for name, found in KNOWN.items() if str(address) in found]


def ask(name: str, kind: str = "A") -> tuple[int, list[str]] | None:
    """The code and the data of a local answer; None when it is for others to give."""
    reply = answer_locally(DNSRecord.question(name, kind), FixedNames())
    return None if reply is None else (reply.header.rcode, [str(record.rdata) for record in reply.rr])


def test_neighbours_are_known() -> None:
    """By name in any case, forward and reverse, IPv4 and IPv6."""
    assert ask("WEB.") == (RCODE.NOERROR, ["10.0.0.2"])
    assert ask("both", "AAAA") == (RCODE.NOERROR, ["fd00::3"])
    assert ask("2.0.0.10.in-addr.arpa", "PTR") == (RCODE.NOERROR, ["web.n1."])
    reverse = ip_address("fd00::3").reverse_pointer
    assert ask(reverse, "PTR") == (RCODE.NOERROR, ["both.n1."])


def test_a_neighbour_without_that_kind_of_address_is_no_stranger() -> None:
    """NOERROR and no data: NXDOMAIN would make musl's resolver forget the IPv4 address that it has just got."""
    assert ask("web", "AAAA") == (RCODE.NOERROR, [])
    assert ask("web", "MX") == (RCODE.NOERROR, [])


def test_strangers_are_asked_for_outside() -> None:
    """Neither known nor denied here."""
    for name, kind in (("example.org", "A"), ("9.9.9.9.in-addr.arpa", "PTR"), ("nonsense.in-addr.arpa", "PTR")):
        assert ask(name, kind) is None


def test_a_long_answer_is_cut_for_a_datagram() -> None:
    """And marked, so that the asker comes again by TCP; one who takes large datagrams gets it whole."""
    question = DNSRecord.question("many")
    reply = answer_locally(question, FixedNames())
    assert reply is not None
    cut = DNSRecord.parse(for_datagram(reply, question))
    assert cut.header.tc == 1
    assert len(cut.pack()) <= 512


@given(st.ip_addresses())
def test_reverse_names_are_read(address: Address) -> None:
    """The inverse of `reverse_pointer`, for both versions."""
    if getattr(address, "scope_id", None) is None:
        assert address_of_reverse_name(address.reverse_pointer) == address


@given(st.text(max_size=40))
def test_other_names_are_no_addresses(text: str) -> None:
    """Whatever stands before the suffix."""
    for suffix in (".in-addr.arpa", ".ip6.arpa", ""):
        found = address_of_reverse_name(text + suffix)
        assert found is None or found.reverse_pointer.count(".") == (text + suffix).count(".")


class Upstream:
    """A resolver that knows example.org only; *gate* holds its answers back."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[bool] = []

    def ask(self, message: bytes, server: Address, stream: bool) -> bytes:
        """As `ask_upstream`."""
        assert server == UPSTREAM
        self.asked.append(stream)
        assert self.gate.wait(10)
        question = DNSRecord.parse(message)
        if str(question.q.qname) != "example.org.":
            raise TimeoutError("no answer")
        return bytes(question.replyZone("example.org 60 IN A 192.0.2.80").pack())


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def container(upstream: Upstream) -> Iterator[Namespace]:
    """A namespace that is served."""
    if shutil.which("dig") is None:
        pytest.skip("no dig")
    with private_host():
        namespace = Namespace()
        server = DnsServer(upstream.ask)
        namespace.run("ip", "link", "set", "lo", "up")
        with namespace.entered():
            server.add("c1", open_dns_sockets(), FixedNames(), [UPSTREAM])
        yield namespace
        server.remove("c1")
        server.close()
        namespace.close()


def dig(namespace: Namespace, *words: str) -> list[str]:
    """What dig prints in short."""
    return namespace.run("dig", "+short", "+tries=1", "+time=5", "@127.0.0.11", *words).splitlines()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_container_may_run_a_name_server_of_its_own(container: Namespace) -> None:
    """Bound to port 53 of all addresses, before and after ours: 127.0.0.11 stays ours, every other address its own."""
    own = [container.serve("own", 53, protocol) for protocol in ("udp", "tcp")]
    try:
        for words in ((), ("+tcp",)):
            assert dig(container, *words, "web") == ["10.0.0.2"]
        for protocol in ("udp", "tcp"):
            assert container.ask("127.0.0.1", 53, protocol) == "own 127.0.0.1"
        with container.entered():
            again = open_dns_sockets()  # as after a restart of the daemon: in place of the first ones
        with again.datagrams as datagrams, again.streams:
            datagrams.settimeout(5)
            with container.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                asker.sendto(b"who?", ("127.0.0.11", 53))
                assert datagrams.recv(100) == b"who?"
    finally:
        for each in own:
            each.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_without_nftables_the_port_itself_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a container with a server of its own goes without ours, and is told so; all others have one."""

    def refuse(*_: object) -> None:
        raise OSError("no nftables in this kernel")

    monkeypatch.setattr(dns_sockets, "redirect", refuse)
    with private_host() as host:
        sockets = open_dns_sockets()
        assert sockets.datagrams.getsockname() == sockets.streams.getsockname() == ("127.0.0.11", 53)
        sockets.close()
        with host.serve("own", 53, "udp"), pytest.raises(OSError, match="in use"):
            open_dns_sockets()


class BrokenNames(FixedNames):
    """A container that can be told nothing: looking anything up fails, in a way that nobody thought of."""

    def addresses(self, name: str) -> Sequence[Address] | None:
        """No."""
        raise LookupError("this house has fallen in")


def loopback_sockets() -> DnsSockets:
    """As a container's, on this machine's loopback."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    return DnsSockets(datagrams, socket.create_server(("127.0.0.1", 0)))


@pytest.mark.parametrize("transport", ["datagram", "stream"])
def test_one_container_cannot_end_the_service_of_all(
    upstream: Upstream, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails while one container is answered is logged, and the others are answered as before."""
    server = DnsServer(upstream.ask)
    broken, sound = loopback_sockets(), loopback_sockets()
    places = broken.datagrams.getsockname(), sound.datagrams.getsockname()
    doors = broken.streams.getsockname(), sound.streams.getsockname()
    server.add("broken", broken, BrokenNames(), [UPSTREAM])
    server.add("sound", sound, FixedNames(), [UPSTREAM])
    question = DNSRecord.question("web").pack()
    try:
        if transport == "datagram":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                asker.settimeout(10)
                for place in (places[0], places[1]):  # one thread reads both, in turn
                    asker.sendto(question, place)
                answer = asker.recv(512)
        else:
            for door in doors:
                with socket.create_connection(door, 10) as asker:
                    send_framed(asker, question)
                    answer = receive_framed(asker)
        assert str(DNSRecord.parse(answer).rr[0].rdata) == "10.0.0.2"
    finally:
        server.close()
    assert "a question of container broken got no answer" in caplog.text


live = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


class TestLive:
    """Asked from inside a namespace, over both transports."""

    pytestmark = live

    def test_dig_finds_neighbours_and_strangers(self, container: Namespace, upstream: Upstream) -> None:
        """Neighbours without a word to the outside."""
        for transport in ("+notcp", "+tcp"):
            assert dig(container, transport, "web") == ["10.0.0.2"]
            assert dig(container, transport, "-x", "10.0.0.2") == ["web.n1."]
            assert upstream.asked == []
            assert dig(container, transport, "example.org") == ["192.0.2.80"]
            upstream.asked.clear()
        assert len(dig(container, "+noedns", "many")) == 250  # cut, then by TCP

    def test_when_nobody_answers_outside_it_says_so(self, container: Namespace) -> None:
        """SERVFAIL, at once, instead of silence."""
        assert "SERVFAIL" in container.run("dig", "+tries=1", "@127.0.0.11", "nowhere.example")

    def test_a_slow_resolver_delays_nobody_else(self, container: Namespace, upstream: Upstream) -> None:
        """Neighbours are answered while questions outside wait; too many of those are dropped."""
        upstream.gate.clear()
        with container.entered():
            asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with asker:
            for _ in range(50):
                asker.sendto(DNSRecord.question("example.org").pack(), ("127.0.0.11", 53))
            assert dig(container, "web") == ["10.0.0.2"]
            assert len(upstream.asked) <= 8
            upstream.gate.set()
            asker.settimeout(10)
            assert DNSRecord.parse(asker.recv(512)).rr[0].rtype == QTYPE.A

    def test_nonsense_gets_no_answer_and_breaks_nothing(self, container: Namespace) -> None:
        """Bytes that are no message, answers that nobody asked for, streams that stop in the middle."""
        with container.entered():
            asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            stream = socket.create_connection(("127.0.0.11", 53))
        with asker, stream:
            for message in (b"", b"?", os.urandom(300), DNSRecord.question("web").reply().pack()):
                asker.sendto(message, ("127.0.0.11", 53))
            stream.sendall(b"\x00\x50half")
            assert dig(container, "web") == ["10.0.0.2"]
