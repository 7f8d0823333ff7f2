"""What is asked of the kernel for a published port is told with its result to who listens, and done all the same."""

from __future__ import annotations

import os
import socket
from ipaddress import IPv4Address
from typing import Any

import pytest

from mini_docker.drivers.networkdriver.contract import PortTaken, PublishedPort
from mini_docker.drivers.networkdriver.narrated_ports import NarratedPortHolder, NarratedProxies
from mini_docker.drivers.networkdriver.port_allocator import HostPort
from mini_docker.drivers.networkdriver.port_holder import PortHolder
from mini_docker.errors import Unavailable
from mini_docker.linux.dns_sockets import DnsSockets
from mini_docker.linux.narrated_network import Audience, narrated_dns, told_dns

LOOPBACK = IPv4Address("127.0.0.1")


def heard(audience: Audience, *actions: Any) -> list[str]:
    """What the audience hears while the actions are done; what they raise is passed over."""
    readable, writable = os.pipe()
    try:
        with audience.listening(writable, "daemon"):
            for action in actions:
                try:
                    action()
                except (PortTaken, Unavailable):
                    pass
    finally:
        os.close(writable)
    with open(readable) as lines:
        return lines.read().splitlines()


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind((str(LOOPBACK), 0))
        return int(probe.getsockname()[1])


def test_a_port_that_is_held_and_let_go() -> None:
    """The port is really taken, and who comes second hears who has it."""
    audience, number = Audience(), free_port()
    port = HostPort(LOOPBACK, number, "tcp")
    first, second = (NarratedPortHolder(PortHolder(), audience).door() for _ in range(2))
    lines = heard(audience, lambda: first.hold(port), lambda: second.hold(port), lambda: first.let_go(port))
    assert lines[0] == (
        f"daemon: bind(SOCK_STREAM, 127.0.0.1:{number}) = 0  "
        "# hold the host's port, so that no other program can take it; bind(2), ip(7)"
    )
    assert lines[1].startswith(f"daemon: bind(SOCK_STREAM, 127.0.0.1:{number}) = ")
    assert "in use" in lines[1] or "allocated" in lines[1]
    assert lines[2].startswith(f"daemon: close(SOCK_STREAM, 127.0.0.1:{number}) = 0  # ")
    assert len(lines) == 3
    second.hold(port)
    second.hand_over(port).close()


class Proxies:
    """Notes what it is asked for; has no process to give for port 1."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self, port: PublishedPort, *_more: object) -> None:
        self.calls.append("start")
        if port.host_port == 1:
            raise Unavailable("no userland proxy\nfor port 1/tcp")

    def end(self, _port: PublishedPort) -> None:
        self.calls.append("end")

    def runs(self, _port: PublishedPort) -> bool:
        return True


def test_a_proxy_that_is_started_and_ended() -> None:
    """Its way is told; a failure with its reason on one line. What is only asked is not told."""
    audience, real = Audience(), Proxies()
    proxies = NarratedProxies(real, audience).door()  # type: ignore[arg-type]
    port, bad = (PublishedPort(80, "tcp", LOOPBACK, number) for number in (8080, 1))
    with socket.socket() as held:
        lines = heard(
            audience,
            lambda: proxies.start(port, held, IPv4Address("172.17.0.2"), "veth1"),
            lambda: proxies.start(bad, held, IPv4Address("172.17.0.2"), "veth1"),
            lambda: proxies.runs(port),
            lambda: proxies.end(port),
        )
        proxies.start(port, held, IPv4Address("172.17.0.2"), "veth1")  # nobody listens
    assert [line.partition("  # ")[0] for line in lines] == [
        "daemon: execve('proxy', tcp, 127.0.0.1:8080, to=172.17.0.2:80, cable='veth1') = 0",
        "daemon: execve('proxy', tcp, 127.0.0.1:1, to=172.17.0.2:80, cable='veth1') = no userland proxy for port 1/tcp",
        "daemon: kill('proxy', tcp, 127.0.0.1:8080, SIGKILL) = 0",
    ]
    assert real.calls == ["start", "start", "end", "start"]


@pytest.mark.parametrize("port", [0, 53])
def test_a_name_server_s_sockets(port: int) -> None:
    """Where they listen, and the rule that leads there; at port 53 itself none is needed."""

    class Bound:
        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.11", port or 40000

    sockets = DnsSockets(Bound(), Bound())  # type: ignore[arg-type]
    audience = Audience()
    opened = narrated_dns(lambda container: sockets, audience)
    assert opened("c1") is sockets
    lines = heard(audience, lambda: opened("c1"))
    assert len(lines) == len(list(told_dns(sockets))) == (2 if port else 4)
    assert lines[0].startswith(f"daemon: bind(SOCK_DGRAM, 127.0.0.11:{port or 40000}) = 0  # ")
    assert all(line.endswith(("bind(2), network_namespaces(7)", "nft(8)")) for line in lines)
