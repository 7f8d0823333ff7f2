"""The wire itself: `ip -json` says what the kernel has, and words with random contents say whether packets pass."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from ipaddress import ip_interface, ip_network

import pytest

from mini_docker.drivers.networkdriver.contract import Pool
from mini_docker.errors import Conflict
from tests.drivers.networkdriver.hosts import Host, host_with_bridge
from tests.drivers.networkdriver.namespaces import Namespace

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="makes links: needs root")]


@pytest.fixture
def net() -> str:
    """Three bytes of a subnet that nobody knows beforehand."""
    return f"10.{secrets.randbelow(200) + 1}.{secrets.randbelow(256)}"


@pytest.fixture
def host(net: str) -> Iterator[Host]:
    """A host in a network of its own, with your driver."""
    with host_with_bridge("nftables", bip=ip_interface(f"{net}.1/24")) as made:
        yield made


def facts(namespace: Namespace, what: str, *words: str) -> list[dict[str, object]]:
    """What ``ip`` says there."""
    found: list[dict[str, object]] = json.loads(namespace.run("ip", "-json", "-detail", what, "show", *words))
    return found


def test_the_bridge_is_as_the_kernel_shows_it(host: Host, net: str) -> None:
    """Up, with its address, and with a hardware address that is made from it."""
    (bridge,) = facts(host.namespace, "address", "dev", host.network.bridge)
    (address,) = [entry for entry in bridge["addr_info"] if entry["family"] == "inet"]  # type: ignore[union-attr,attr-defined]
    assert (address["local"], address["prefixlen"]) == (f"{net}.1", 24)
    numbers = [int(byte) for byte in f"{net}.1".split(".")]
    assert bridge["address"] == "02:42:" + ":".join(f"{number:02x}" for number in numbers)
    assert "UP" in bridge["flags"]  # type: ignore[operator]


def test_two_containers_hear_each_other(host: Host) -> None:
    """By TCP and by UDP, with a random word, from the address that the other was given."""
    one, other = host.container("one"), host.container("other")
    assert one.address != other.address
    for protocol in ("tcp", "udp"):
        word = secrets.token_hex(6)
        listener = one.namespace.serve(word, 7000, protocol)
        answer = other.namespace.ask(one.address, 7000, protocol)
        listener.close()
        assert answer == f"{word} {other.address}"


def test_a_container_has_loopback_one_interface_and_one_way_out(host: Host, net: str) -> None:
    """What the container itself would see, and nothing more."""
    box = host.container("box")
    links = {str(link["ifname"]): link for link in facts(box.namespace, "link")}
    assert set(links) == {"lo", "eth0"}
    assert all("UP" in link["flags"] for link in links.values())  # type: ignore[operator]
    (default,) = [route for route in facts(box.namespace, "route") if route["dst"] == "default"]
    assert (default["gateway"], default["dev"]) == (f"{net}.1", "eth0")


def test_the_hosts_end_is_a_port_of_the_bridge(host: Host) -> None:
    """A veth that is up, in the bridge, and lets a frame go back where it came from."""
    box = host.container("box")
    (port,) = facts(host.namespace, "link", "dev", box.joined.host_interface)
    assert port["master"] == host.network.bridge
    assert port["linkinfo"]["info_slave_data"]["hairpin"] is True  # type: ignore[index]


def test_a_released_address_rests(host: Host) -> None:
    """Who comes next gets another one; who asks for it by name gets it."""
    first = host.container("first")
    host.driver.leave("first", first.namespace.sandbox)
    host.driver.release("first")
    second = host.container("second")
    assert second.address != first.address
    assert first.lease.address is not None
    assert host.driver.lease(host.network.id, "third", first.lease.address.ip).address == first.lease.address


def test_a_used_up_network_says_so_and_recovers(host: Host) -> None:
    """A /29 has room for five containers."""
    config = host.create_network("a", pools=(Pool(ip_network("10.250.0.0/29")),))
    given = [host.driver.lease(config.id, f"e{n}").address for n in range(5)]
    assert len(set(given)) == 5
    with pytest.raises(Conflict):
        host.driver.lease(config.id, "e5")
    host.driver.release("e2")
    assert host.driver.lease(config.id, "e5").address == given[2]
