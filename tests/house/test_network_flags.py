"""The daemon's network flags, each seen from a container and its outside: what the flag says is what packets do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

import pytest

from tests.drivers.networkdriver.namespaces import Namespace, lay_wire
from tests.house.house import House

pytestmark = pytest.mark.root

HOST, OUTSIDE = "198.51.100.1", "198.51.100.2"
SOON = 0.3  # seconds to wait for what must not come


@dataclass
class World:
    """A house whose daemon has some flags, with an outside neighbour on a wire."""

    house: House
    host: Namespace
    outside: Namespace
    closing: ExitStack = field(default_factory=ExitStack)

    def run(self, name: str, *flags: str) -> Namespace:
        """A container; a server of its name answers at its port 80. Its network namespace."""
        ran = self.house.ours("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")
        assert ran.code == 0, ran.err
        namespace = Namespace.of(int(self.house.inspect(name)["State"]["Pid"]))
        self.closing.callback(namespace.close)
        self.closing.callback(namespace.serve(name, 80).close)
        return namespace

    def address(self, name: str) -> str:
        """A container's address on the default bridge."""
        return str(self.house.inspect(name)["NetworkSettings"]["IPAddress"])


@pytest.fixture
def world(house: House) -> Iterator[World]:
    """The house without a daemon, beside an outside."""
    assert house.namespaces is not None
    house.stop()
    world = World(house, Namespace.of(house.namespaces.pid), Namespace())
    with world.closing:
        for namespace in (world.host, world.outside):
            world.closing.callback(namespace.close)
        lay_wire(world.host, HOST, world.outside, OUTSIDE)
        yield world
        ids = house.ours("ps", "-aq").out.split()
        house.ours("rm", "-f", *ids)
        house.stop()
        world.host.run("ip", "link", "delete", "wire")
        house.start()


def test_fixed_cidr_bounds_the_addresses(world: World) -> None:
    """--fixed-cidr: the subnet stays whole, containers get addresses from its part; what is given back comes again."""
    world.house.start("--bip", "10.199.0.1/24", "--fixed-cidr", "10.199.0.64/30")
    given = []
    for name in ("one", "two", "three", "four"):
        world.run(name)
        given.append(ip_address(world.address(name)))
    assert set(given) == set(ip_network("10.199.0.64/30"))
    ran = world.house.ours("run", "-d", "--name", "five", "busybox", "sleep", "1000")
    assert ran.code == 125
    assert "no available IPv4 addresses" in ran.err
    world.house.ours("rm", "-f", "two", "five")
    world.run("six")
    assert ip_address(world.address("six")) == given[1]


def test_ip_is_where_ports_are_published(world: World) -> None:
    """--ip: for wishes without an address; one with an address keeps it."""
    world.house.start("--ip", "127.0.0.1")
    world.run("web", "-p", "18081:80", "-p", "0.0.0.0:18082:80")
    assert world.host.ask("127.0.0.1", 18081).startswith("web")
    assert world.outside.ask(HOST, 18081, seconds=SOON) == ""
    assert world.outside.ask(HOST, 18082).startswith("web")


def test_a_given_bridge_is_used_and_left(world: World) -> None:
    """-b: its address is the gateway, its subnet the containers'. At the end it is as it was."""
    world.host.run("ip", "link", "add", "mine0", "type", "bridge")
    world.host.run("ip", "address", "add", "10.198.7.1/24", "dev", "mine0")
    world.host.run("ip", "link", "set", "mine0", "up")
    world.house.start("-b", "mine0")
    web = world.run("web")
    assert world.address("web").startswith("10.198.7.")
    assert "default via 10.198.7.1" in web.run("ip", "route")
    assert "mdocker0" not in world.host.run("ip", "link")
    world.house.ours("rm", "-f", "web")
    world.house.stop()
    assert "10.198.7.1/24" in world.host.run("ip", "address", "show", "mine0")
    assert "mine0" not in world.host.run("nft", "list", "ruleset")
    world.house.start()
    world.host.run("ip", "link", "delete", "mine0")


def test_default_gateway_and_mtu(world: World) -> None:
    """--default-gateway: containers send elsewhere through it, and none gets its address. --mtu: of all their links."""
    world.house.start("--bip", "10.199.0.1/24", "--default-gateway", "10.199.0.2", "--mtu", "1300")
    web = world.run("web")
    assert world.address("web") == "10.199.0.3"
    assert "default via 10.199.0.2" in web.run("ip", "route")
    assert "mtu 1300" in web.run("ip", "link", "show", "eth0")
    assert "mtu 1300" in world.host.run("ip", "link", "show", "mdocker0")


def test_without_icc_only_links_pass(world: World) -> None:
    """--icc=false: not from container to container, but over a link, to the port that the other exposes."""
    world.house.start("--bip", "10.199.0.1/24", "--icc=false")
    world.run("web", "--expose", "80", "-p", "18081:80")
    stranger, friend = world.run("stranger"), world.run("friend", "--link", "web:www")
    web = world.address("web")
    assert stranger.ask(web, 80, seconds=SOON) == ""
    assert friend.ask(web, 80).startswith("web")
    assert friend.ask(world.address("stranger"), 80, seconds=SOON) == ""
    assert world.outside.ask(HOST, 18081).startswith("web")


def test_without_masquerade_the_outside_sees_the_container(world: World) -> None:
    """--ip-masq=false: its packets leave with its own address, so who has no route back gives no answer."""
    world.house.start("--bip", "10.199.0.1/24", "--ip-masq=false")
    web = world.run("web")
    with world.outside.serve("out", 8099):
        assert web.ask(OUTSIDE, 8099, seconds=SOON) == ""
        world.outside.run("ip", "route", "add", "10.199.0.0/24", "via", HOST)
        assert web.ask(OUTSIDE, 8099) == f"out {world.address('web')}"
