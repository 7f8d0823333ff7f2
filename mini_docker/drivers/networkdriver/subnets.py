"""Choosing a subnet that nobody uses yet: pure functions over what is known to be taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, ip_address

from mini_docker.drivers.networkdriver.contract import Address, Subnet
from mini_docker.errors import Conflict


def candidates() -> Iterator[IPv4Network]:
    """Docker's private subnets, in its order, then more: 172.17–31, then 10.0–255 as /16; 192.168.0–255 as /24."""
    yield from (IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32))
    yield from (IPv4Network(f"10.{second}.0.0/16") for second in range(256))
    yield from (IPv4Network(f"192.168.{third}.0/24") for third in range(256))


def first_free(taken: Iterable[Subnet], nameservers: Iterable[Address]) -> IPv4Network:
    """The first candidate that overlaps nothing.

    Args:
        taken: other networks' subnets, and the destinations of the host's routes.
        nameservers: a container must be able to reach them, so they must not seem to be its neighbours.

    Raises:
        Conflict: there is none.
    """
    taken = [subnet for subnet in taken if subnet.version == 4]
    nameservers = list(nameservers)
    for candidate in candidates():
        if not any(candidate.overlaps(subnet) for subnet in taken) and not any(ns in candidate for ns in nameservers):
            return candidate
    raise Conflict(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    )


def mac_address(address: Address) -> str:
    """``02:42:`` and the last four bytes of the address, as Docker makes it: locally administered, unicast.

    Made from the address, it is the same when the address comes back: nobody's ARP entry turns stale.
    """
    return (b"\x02\x42" + address.packed[-4:]).hex(":")


def nameservers(resolv_conf: str) -> tuple[Address, ...]:
    """The addresses after ``nameserver`` in a resolv.conf(5); what is no address is skipped."""
    found: list[Address] = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(ip_address(words[1].partition("%")[0]))
            except ValueError:
                continue  # resolv.conf(5): the resolver itself ignores such a line
    return tuple(found)
