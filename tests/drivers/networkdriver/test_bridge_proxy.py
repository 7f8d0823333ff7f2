"""Published ports where rules cannot lead them: the same bridge driver, with processes instead."""

from __future__ import annotations

import os
import select
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from mini_docker.drivers.networkdriver.contract import PortBinding, PortTaken
from tests.drivers.networkdriver.hosts import HOST_ADDRESS, OUTSIDE_ADDRESS, Host, firewall_of, host_with_bridge
from tests.drivers.networkdriver.namespaces import ask

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

PORTS = ((18081, "tcp", 80), (18082, "udp", 9))
BINDINGS = [PortBinding(inner, protocol, host_ports=(port, port)) for port, protocol, inner in PORTS]


def proxies(host: Host) -> list[str]:
    """The ports that have a door in the folder of proxies."""
    assert host.proxies is not None
    return sorted(path.name for path in host.proxies.glob("*"))


def test_without_a_firewall_every_published_port_has_a_proxy(tmp_path: Path) -> None:
    """--iptables=false: reached from everywhere, the container itself and its neighbour included, without one rule."""
    with host_with_bridge("none", proxies=tmp_path / "proxies", iptables=False) as host:
        before = host.facts()
        web, peer = host.container("web"), host.container("peer")
        web.publish(*BINDINGS)
        web.publish(PortBinding(81, host_address=ip_address("127.0.0.1"), host_ports=(18083, 18083)))
        for port, protocol, inner in PORTS:
            with web.namespace.serve("web", inner, protocol):
                for asker in (host.namespace, host.outside, peer.namespace, web.namespace):
                    assert asker.ask(HOST_ADDRESS, port, protocol) == "web 10.199.0.1"
                assert ask("127.0.0.1", port, protocol) == "web 10.199.0.1"
        with web.namespace.serve("web", 81):
            assert ask("127.0.0.1", 18083).startswith("web")
            assert host.outside.ask(HOST_ADDRESS, 18083, seconds=0.2) == ""
        with pytest.raises(PortTaken):
            peer.publish(BINDINGS[0])
        assert len(proxies(host)) == 3
        host.driver.release("web")
        host.driver.release("peer")
        assert proxies(host) == []
        web.namespace.close()
        peer.namespace.close()
        host.containers.clear()
        assert "DNAT" not in host.facts()
        assert before.count("table") == host.facts().count("table")


@pytest.mark.parametrize("form", ["nftables", "iptables-legacy"])
def test_without_route_localnet_the_proxy_serves_127_0_0_1_alone(form: str, tmp_path: Path) -> None:
    """Rules lead all others, so a container still sees who comes; the bridge takes no packets for 127.0.0.0/8."""
    if obstacle := firewall_of(form).obstacle():
        pytest.skip(obstacle)
    with host_with_bridge(form, proxies=tmp_path / "proxies", userland_proxy=True) as host:
        web = host.container("web")
        web.publish(*BINDINGS)
        at_host = PortBinding(80, host_address=ip_address(HOST_ADDRESS), host_ports=(18084, 18084))
        web.publish(at_host)
        assert host.namespace.run("cat", "/proc/sys/net/ipv4/conf/mdocker0/route_localnet").strip() == "0"
        assert proxies(host) == ["tcp-0.0.0.0-18081", "udp-0.0.0.0-18082"]
        for port, protocol, inner in PORTS:
            with web.namespace.serve("web", inner, protocol):
                assert ask("127.0.0.1", port, protocol) == "web 10.199.0.1"
                assert host.outside.ask(HOST_ADDRESS, port, protocol) == f"web {OUTSIDE_ADDRESS}"
                assert web.namespace.ask(HOST_ADDRESS, port, protocol).startswith("web")
        assert not host.firewall.missing(host.driver._rules.rules())
        host.driver.unpublish("web")
        assert proxies(host) == []


def test_a_port_that_was_served_can_be_published_again_at_once(tmp_path: Path) -> None:
    """The last connections, which the container closed, still linger at the port (TIME_WAIT) for a minute."""
    with host_with_bridge("none", proxies=tmp_path / "proxies", iptables=False) as host:
        web = host.container("web")
        with web.namespace.serve("web", 80):
            for _ in range(2):
                web.publish(BINDINGS[0])
                assert ask("127.0.0.1", 18081).startswith("web")
                host.driver.unpublish("web")


def test_proxies_outlive_the_driver_and_are_known_again(tmp_path: Path) -> None:
    """kill -9: the port works on; the next driver takes the proxy over, starts one that died, ends one too many."""
    with host_with_bridge("none", proxies=tmp_path / "proxies", iptables=False) as host:
        web, gone = host.container("web"), host.container("gone")
        web.publish(*BINDINGS)
        gone.publish(PortBinding(80, host_ports=(18085, 18085)))
        dead = host.driver._ports._proxies
        assert dead is not None
        udp = next(port for port in web.published if port.protocol == "udp")
        host.kill_driver()
        with web.namespace.serve("web", 80):
            assert ask("127.0.0.1", 18081).startswith("web")
            dead.end(udp)
            host.start_driver()
            host.driver.restore([web.state])
            assert ask("127.0.0.1", 18081).startswith("web")
        with web.namespace.serve("web", 9, "udp"):
            assert ask("127.0.0.1", 18082, "udp").startswith("web")
        assert proxies(host) == ["tcp-0.0.0.0-18081", "udp-0.0.0.0-18082"]
        with pytest.raises(PortTaken, match="endpoint web"):
            host.container("other").publish(BINDINGS[0])
        host.driver.release("web")
        assert proxies(host) == []


def test_a_proxy_whose_daemon_was_killed_ends_with_its_container(tmp_path: Path) -> None:
    """Nobody is left to end it: it hears from the kernel that its cable went, with the container's namespace.

    The neighbour's proxy hears of the same end, and of other changes, and stays.
    """
    with host_with_bridge("none", proxies=tmp_path / "proxies", iptables=False) as host:
        web, peer = host.container("web"), host.container("peer")
        web.publish(*BINDINGS)
        peer.publish(PortBinding(80, host_ports=(18086, 18086)))
        pids = {door.name: pid_behind(door) for door in (tmp_path / "proxies").glob("*")}
        host.kill_driver()
        host.containers.remove(web)
        web.namespace.close()
        for port, protocol, _ in PORTS:
            assert ends(pids[f"{protocol}-0.0.0.0-{port}"])
        with peer.namespace.serve("peer", 80) as server:
            host.namespace.run("ip", "link", "add", "other", "type", "bridge")
            host.namespace.run("ip", "link", "delete", "other")
            assert ask("127.0.0.1", 18086).startswith("peer")
            server.shutdown(socket.SHUT_RDWR)  # its thread lets go: a socket keeps its namespace
        peer.namespace.close()
        host.containers.remove(peer)
        assert ends(pids["tcp-0.0.0.0-18086"])


def pid_behind(door: Path) -> int:
    """The process id that a proxy tells at its door."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(door))
        return int(caller.recv(20))


def ends(pid: int, seconds: float = 10.0) -> bool:
    """Whether the process ends by itself in time; it is not reaped."""
    pidfd = os.pidfd_open(pid)
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)
