"""Real packets: who reaches whom, with every form of the firewall and both ways in which bridges show packets to it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from mini_docker.drivers.networkdriver.contract import Pool, PortBinding
from tests.drivers.networkdriver.hosts import HOST_ADDRESS, OUTSIDE_ADDRESS, Host, firewall_of, host_with_bridge
from tests.drivers.networkdriver.namespaces import ask

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

FORMS = ["nftables", "iptables-legacy", "iptables-nft"]
SOON = 0.1  # seconds to wait for what must not come


def _skip_without(form: str) -> None:
    if obstacle := firewall_of(form).obstacle():
        pytest.skip(obstacle)


@pytest.fixture(params=[f"{form}, bridge-nf-call {call}" for form in FORMS[:2] for call in (0, 1)])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    form, _, call = request.param.partition(", bridge-nf-call ")
    _skip_without(form)
    if not os.path.exists("/proc/sys/net/bridge"):
        pytest.skip("no br_netfilter in this kernel")
    with host_with_bridge(form, {"bridge/bridge-nf-call-iptables": call}) as host:
        yield host


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    _skip_without(request.param)
    return str(request.param)


def test_a_published_port_is_reached_from_everywhere(host: Host) -> None:
    """From the host by 127.0.0.1 and by its own address, from outside, by a neighbour, and by the container itself."""
    web, peer = host.container("web"), host.container("peer")
    web.publish(PortBinding(80, host_ports=(18081, 18081)), PortBinding(9, "udp", host_ports=(18082, 18082)))
    for port, protocol, inner in ((18081, "tcp", 80), (18082, "udp", 9)):
        with web.namespace.serve("web", inner, protocol):
            assert ask("127.0.0.1", port, protocol) == "web 10.199.0.1"
            assert ask(HOST_ADDRESS, port, protocol).startswith("web")
            assert host.outside.ask(HOST_ADDRESS, port, protocol) == f"web {OUTSIDE_ADDRESS}"
            for address in ("10.199.0.1", HOST_ADDRESS):
                assert peer.namespace.ask(address, port, protocol).startswith("web")
                assert web.namespace.ask(address, port, protocol).startswith("web")
            assert peer.namespace.ask(web.address, inner, protocol) == f"web {peer.address}"


def test_a_published_udp_port_does_not_remember_who_had_it(host: Host) -> None:
    """The kernel would send a client's datagrams where its first one went for minutes: here, to who had it before."""
    binding = PortBinding(9, "udp", host_ports=(18082, 18082))
    with host.outside.entered():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(SOON)

        def ask_again() -> str:
            client.sendto(b"?", (HOST_ADDRESS, 18082))
            try:
                return client.recv(100).decode().split()[0]
            except TimeoutError:
                return ""

        client.sendto(b"?", (HOST_ADDRESS, 18082))  # before it is published: the host itself is asked
        for name in ("first", "second"):
            container = host.container(name)
            with container.namespace.serve(name, 9, "udp"):
                container.publish(binding)
                answers = (ask_again() for _ in range(30))  # it is forgotten soon, not at once
                assert name in answers
                host.driver.unpublish(name)


def test_a_container_reaches_the_outside_as_the_host(host: Host) -> None:
    """Outside nobody knows the bridge's subnet, so packets leave with the host's address."""
    client = host.container("client")
    with host.outside.serve("out", 8099):
        assert client.namespace.ask(OUTSIDE_ADDRESS, 8099) == f"out {HOST_ADDRESS}"


def test_a_port_on_127_0_0_1_is_reached_from_the_host_alone(host: Host) -> None:
    """Not from outside, not even by a neighbour who routes 127.0.0.1 to us, and not by a container that does."""
    web, peer = host.container("web"), host.container("peer")
    web.publish(PortBinding(80, host_address=ip_address("127.0.0.1"), host_ports=(18083, 18083)))
    for namespace, gateway, device in ((host.outside, HOST_ADDRESS, "wire"), (peer.namespace, "10.199.0.1", "eth0")):
        namespace.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv4/conf/{device}/route_localnet")
        namespace.run("ip", "address", "flush", "dev", "lo")
        namespace.run("ip", "route", "flush", "table", "local", "dev", "lo")
        namespace.run("ip", "route", "add", "127.0.0.1", "via", gateway, "dev", device)
    with web.namespace.serve("web", 80):
        assert ask("127.0.0.1", 18083).startswith("web")
        assert host.outside.ask(HOST_ADDRESS, 18083, seconds=SOON) == ""
        assert host.outside.ask("127.0.0.1", 18083, seconds=SOON) == ""
        assert peer.namespace.ask("127.0.0.1", 18083, seconds=SOON) == ""
    with host.namespace.serve("secret", 5000, address="127.0.0.1"):
        assert ask("127.0.0.1", 5000).startswith("secret")
        assert peer.namespace.ask("127.0.0.1", 5000, seconds=SOON) == ""


def test_what_is_not_published_is_not_reached_from_outside(host: Host) -> None:
    """A neighbour who has a route to the bridge's subnet gets in through published ports only."""
    web = host.container("web")
    host.outside.run("ip", "route", "add", "10.199.0.0/24", "via", HOST_ADDRESS)
    with web.namespace.serve("web", 80):
        assert ask(web.address, 80) == "web 10.199.0.1"
        assert host.outside.ask(web.address, 80, seconds=SOON) == ""


def test_networks_are_isolated(host: Host) -> None:
    """Two networks of one host do not reach each other, but each reaches what the other published."""
    host.create_network("a", pools=(Pool(ip_network("10.201.0.0/24")),))
    web, far = host.container("web"), host.container("far", "a" * 64)
    web.publish(PortBinding(80, host_ports=(18084, 18084)))
    with web.namespace.serve("web", 80), far.namespace.serve("far", 80):
        assert far.namespace.ask(web.address, 80, seconds=SOON) == ""
        assert web.namespace.ask(far.address, 80, seconds=SOON) == ""
        assert far.namespace.ask(HOST_ADDRESS, 18084).startswith("web")


def test_an_internal_network_has_no_way_out_or_in(host: Host) -> None:
    """Its containers reach each other and nothing else, not even published ports; and nobody reaches them."""
    host.create_network("b", pools=(Pool(ip_network("10.202.0.0/24")),), internal=True)
    one, two, web = host.container("one", "b" * 64), host.container("two", "b" * 64), host.container("web")
    web.publish(PortBinding(80, host_ports=(18085, 18085)))
    assert one.publish(PortBinding(80, host_ports=(18086, 18086))) == ()
    for container in (one, two):
        container.namespace.run("ip", "route", "replace", "default", "via", "10.202.0.1")
    host.outside.run("ip", "route", "add", "10.202.0.0/24", "via", HOST_ADDRESS)
    with one.namespace.serve("one", 80), web.namespace.serve("web", 80), host.outside.serve("out", 80):
        assert two.namespace.ask(one.address, 80).startswith("one")
        assert two.namespace.ask(OUTSIDE_ADDRESS, 80, seconds=SOON) == ""
        assert two.namespace.ask(HOST_ADDRESS, 18085, seconds=SOON) == ""
        assert web.namespace.ask(one.address, 80, seconds=SOON) == ""
        assert host.outside.ask(one.address, 80, seconds=SOON) == ""


def test_without_icc_only_links_and_published_ports_pass(form: str) -> None:
    """Containers do not reach each other, but a link opens one port one way, and published ports stay public."""
    with host_with_bridge(form, {"bridge/bridge-nf-call-iptables": "0"}, icc=False) as host:
        database, client, other = host.container("db"), host.container("client"), host.container("other")
        database.publish(PortBinding(80, host_ports=(18087, 18087)))
        host.driver.link("client", "db", [("tcp", 5432)])
        with database.namespace.serve("db", 5432), database.namespace.serve("web", 80):
            assert client.namespace.ask(database.address, 5432).startswith("db")
            assert client.namespace.ask(database.address, 80, seconds=SOON) == ""
            assert other.namespace.ask(database.address, 5432, seconds=SOON) == ""
            assert other.namespace.ask(HOST_ADDRESS, 18087).startswith("web")
            assert ask(database.address, 80).startswith("web")
            host.driver.unlink("client", "db", [("tcp", 5432)])
            assert client.namespace.ask(database.address, 5432, seconds=SOON) == ""
        assert "fe80" not in client.namespace.run("ip", "address", "show", "dev", "eth0")


def test_forwarded_packets_pass_a_dropping_policy(form: str) -> None:
    """Other tools set iptables' FORWARD to DROP: the iptables form must let our packets through all the same."""
    if form == "nftables":
        pytest.skip("an nftables rule cannot overrule another table's drop: the iptables form is chosen then")
    with host_with_bridge(form) as host:
        host.namespace.run(form, "-P", "FORWARD", "DROP")
        web = host.container("web")
        web.publish(PortBinding(80, host_ports=(18088, 18088)))
        with web.namespace.serve("web", 80), host.outside.serve("out", 8099):
            assert host.outside.ask(HOST_ADDRESS, 18088).startswith("web")
            assert web.namespace.ask(OUTSIDE_ADDRESS, 8099).startswith("out")
