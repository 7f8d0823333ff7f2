"""`run --narrate`: the daemon tells what it asks of the network stack and the packet filter, for this start alone."""

from __future__ import annotations

import pytest

from tests.house.house import House

pytestmark = pytest.mark.root


def steps(told: str) -> list[str]:
    """The steps of the network in a narration, each without its words."""
    lines = [line.removeprefix("daemon: ") for line in told.splitlines() if line.startswith("daemon: ")]
    return [line.partition("  # ")[0] for line in lines if line.startswith(("RTM_", "nft(", "iptables(", "bind("))]


def test_a_published_port_is_told_from_the_cable_to_the_rule(house: House) -> None:
    """Cable, address, route, rule: in the order in which a container gets them, between its birth and its command."""
    ran = house.ours(
        "run", "--rm", "--narrate", "-p", "18095:80", "busybox", "ip", "-o", "-4", "address", "show", "eth0"
    )
    assert ran.code == 0, ran.err
    address = ran.out.split()[3]
    told = steps(ran.err)
    assert all(step.endswith(" = 0") for step in told)
    story = [
        ("RTM_NEWLINK(IFLA_IFNAME='veth", "IFLA_INFO_KIND='veth', VETH_INFO_PEER={IFLA_IFNAME='eth0'"),
        ("RTM_NEWLINK(IFLA_IFNAME='lo', IFF_UP", "namespace_socket="),
        ("RTM_NEWADDR(ifa_index='eth0'", f"IFA_LOCAL={address}, namespace_socket="),
        ("RTM_NEWLINK(IFLA_IFNAME='eth0', IFF_UP", "namespace_socket="),
        ("RTM_NEWROUTE(RTA_GATEWAY=", "RTA_OIF='eth0', namespace_socket="),
        ("bind(SOCK_STREAM, 0.0.0.0:18095)", ""),
        ("", "tcp . 18095" if told[-1].startswith("nft") else "18095"),
    ]
    places = [
        next(place for place, step in enumerate(told) if step.startswith(head) and part in step) for head, part in story
    ]
    assert places == sorted(places)
    assert places[-1] == len(told) - 1
    lines = ran.err.splitlines()
    for page in ("rtnetlink(7), veth(4)", "rtnetlink(7), ip-address(8)", "rtnetlink(7), ip-route(8)"):
        assert any(line.endswith(page) for line in lines)
    assert lines[-1].startswith("init: execve(")


def test_a_start_that_is_not_narrated_tells_nothing(house: House) -> None:
    """Not even after one that was: the doors are the same, their audience is gone."""
    assert steps(house.ours("run", "--rm", "--narrate", "busybox", "true").err)
    ran = house.ours("run", "--rm", "-p", "18095:80", "busybox", "true")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_what_a_failed_start_takes_back_is_told(house: House) -> None:
    """A command that is not there: the rule goes again before the reason is given."""
    ran = house.ours("run", "--rm", "--narrate", "-p", "18095:80", "busybox", "/no/such")
    assert ran.code == 127
    told = [step for step in steps(ran.err) if "18095" in step and not step.startswith("bind")]
    assert len(told) == 2
    assert told[1].startswith(("nft('delete element", "iptables('-t nat -D"))


def test_a_container_without_a_network_has_little_to_tell(house: House) -> None:
    """Its loopback comes up; with the host's network not even that is asked for."""
    alone = house.ours("run", "--rm", "--narrate", "--network", "none", "busybox", "true")
    (step,) = steps(alone.err)
    assert step.startswith("RTM_NEWLINK(IFLA_IFNAME='lo', IFF_UP, namespace_socket=")
    assert steps(house.ours("run", "--rm", "--narrate", "--network", "host", "busybox", "true").err) == []


def test_the_name_server_and_forgotten_datagrams_are_told(house: House) -> None:
    """On a user's network the container's questions are led to sockets of ours; a UDP port forgets its callers."""
    house.ours("network", "create", "told")
    ran = house.ours("run", "--rm", "--narrate", "--network", "told", "-p", "18096:53/udp", "busybox", "true")
    assert ran.code == 0, ran.err
    lines = [line.removeprefix("daemon: ") for line in ran.err.splitlines() if line.startswith("daemon: ")]
    for protocol, kind in (("udp", "SOCK_DGRAM"), ("tcp", "SOCK_STREAM")):
        (bound,) = (line for line in lines if line.startswith(f"bind({kind}, 127.0.0.11:"))
        port = bound.partition("127.0.0.11:")[2].partition(")")[0]
        assert any(f"meta l4proto {protocol} ip daddr 127.0.0.11 th dport 53 dnat to :{port}" in line for line in lines)
    assert any(line.startswith("IPCTNL_MSG_CT_DELETE(udp, CTA_PROTO_DST_PORT=18096)  # ") for line in lines)
    house.ours("network", "rm", "told")
