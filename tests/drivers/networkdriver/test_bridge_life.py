"""A bridge driver's life: what it makes it takes away, what outlives it the next one knows again."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from mini_docker.dataclasses import replace
from mini_docker.drivers.networkdriver.bridge_options import BridgeOptions, default_network
from mini_docker.drivers.networkdriver.contract import Lease, Pool, PortBinding, PortTaken
from mini_docker.errors import Conflict, Invalid, NotFound
from mini_docker.linux.netlink import NetlinkError
from mini_docker.linux.netlink_requests import CreateBridge, DeleteLink
from tests.drivers.networkdriver.hosts import DEFAULT_ID, HOST_ADDRESS, Host, firewall_of, host_with_bridge
from tests.drivers.networkdriver.namespaces import Namespace, ask

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture(params=["nftables", "iptables-legacy"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if obstacle := firewall_of(request.param).obstacle():
        pytest.skip(obstacle)
    with host_with_bridge(request.param) as host:
        yield host


def test_everything_is_released(host: Host) -> None:
    """After leave, release, delete and shutdown the host has the links and rules that it had before us."""
    host.create_network("a")
    containers = [host.container("web"), host.container("far", "a" * 64)]
    for container in containers:
        container.publish(PortBinding(80), PortBinding(53, "udp"))
    for container in containers:
        host.driver.leave(container.endpoint, container.namespace.sandbox)
        host.driver.release(container.endpoint)
    host.driver.delete_network("a" * 64)
    host.driver.shutdown()
    assert [link.name for link in host.netlink.links()] == ["lo", "wire"]
    for word in ("10.199.", "172.17.", "mdocker", "br-", "mini_docker", "MD-"):
        assert word not in host.facts()


def test_cleaning_up_may_be_repeated(host: Host) -> None:
    """Every way out calls it, perhaps twice: what is not held is no error."""
    web = host.container("web")
    web.publish(PortBinding(80))
    for _ in range(2):
        host.driver.unpublish("web")
        host.driver.leave("web", web.namespace.sandbox)
        host.driver.release("web")
    host.driver.leave("nobody", None)
    host.driver.release("nobody")
    assert web.joined.host_interface not in host.facts()


def test_published_ports_work_on_without_the_daemon_and_are_known_by_the_next(host: Host) -> None:
    """kill -9: no packet is lost between the daemons, and the new one holds ports and addresses again."""
    web = host.container("web")
    (port,) = web.publish(PortBinding(80, host_ports=(18090, 18090)))
    with web.namespace.serve("web", 80):
        host.kill_driver()
        assert host.outside.ask(HOST_ADDRESS, 18090).startswith("web")
        host.start_driver()
        # The new daemon has made its network and does not know the endpoint yet.
        assert host.outside.ask(HOST_ADDRESS, 18090).startswith("web")
        host.driver.restore([web.state])
        assert host.outside.ask(HOST_ADDRESS, 18090).startswith("web")
        assert ask("127.0.0.1", 18090).startswith("web")
    assert host.driver.endpoint("web") == web.state
    with pytest.raises(Conflict):
        host.driver.lease(DEFAULT_ID, "other", ip_address(web.address))
    with pytest.raises(PortTaken):
        host.container("other").publish(PortBinding(80, host_ports=(port.host_port, port.host_port)))
    host.driver.leave("web", web.namespace.sandbox)
    host.driver.release("web")
    assert "18090" not in host.facts()


def test_what_belongs_to_nobody_is_collected(host: Host) -> None:
    """A crash may leave cables, rules and bridges without an owner: the next daemon removes ours, and only ours."""
    lost, kept = host.container("lost"), host.container("kept")
    lost.publish(PortBinding(80, host_ports=(18091, 18091)))
    stray = host.create_network("f").bridge
    host.netlink.apply([CreateBridge("foreign0")])
    host.namespace.run("ip", "link", "add", "vethforeign", "type", "veth", "peer", "name", "vethpeer")
    host.namespace.run("ip", "link", "set", "vethforeign", "master", "mdocker0")
    host.kill_driver()
    host.start_driver()
    host.driver.restore([kept.state])
    names = {link.name for link in host.netlink.links()}
    assert {lost.joined.host_interface, stray} & names == set()
    assert {kept.joined.host_interface, "foreign0", "vethforeign"} <= names
    assert "18091" not in host.facts()
    assert host.driver.lease(DEFAULT_ID, "new", ip_address(lost.address)).address is not None


def test_a_shutdown_with_live_endpoints_leaves_them_their_network(host: Host) -> None:
    """--live-restore: the daemon goes, containers and their published ports stay."""
    web = host.container("web")
    web.publish(PortBinding(80, host_ports=(18092, 18092)))
    with web.namespace.serve("web", 80):
        host.driver.shutdown()
        assert host.outside.ask(HOST_ADDRESS, 18092).startswith("web")


def test_rules_that_another_tool_flushed_come_back(host: Host) -> None:
    """Seen by a look from time to time, or at the next change, whichever is first."""
    host.kill_driver()
    host.options = replace(host.options, mend_seconds=0.05)
    host.start_driver()
    host.driver.restore([])
    web = host.container("web")
    web.publish(PortBinding(80, host_ports=(18093, 18093)))
    with web.namespace.serve("web", 80):
        if host.form == "nftables":
            host.namespace.run("nft", "flush", "ruleset")
        else:
            for table, action in itertools.product(("nat", "filter", "raw"), ("-F", "-X")):
                host.namespace.run(host.form, "-t", table, action)
        deadline = time.monotonic() + 10
        while not host.outside.ask(HOST_ADDRESS, 18093, seconds=1.0):
            assert time.monotonic() < deadline, host.facts()


def test_a_failed_join_leaves_nothing_and_may_be_tried_again(host: Host) -> None:
    """The sandbox has an eth0 already: the cable is taken back, the lease stays."""
    sandbox = Namespace()
    host.containers.append(type("Holder", (), {"namespace": sandbox})())
    sandbox.run("ip", "link", "add", "eth0", "type", "bridge")
    host.driver.lease(DEFAULT_ID, "web")
    host.driver.restore([])
    before = host.facts()
    with pytest.raises(NetlinkError, match="EEXIST"):
        host.driver.join("web", sandbox.sandbox)
    assert host.facts() == before
    assert host.driver.join("web", sandbox.sandbox, "eth1").interface == "eth1"


def test_joins_side_by_side_never_collide(host: Host) -> None:
    """Many containers start at once: every address, cable and port is one container's alone."""
    failures: list[BaseException] = []

    def start(number: int) -> None:
        try:
            host.container(f"c{number}").publish(PortBinding(80))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({container.address for container in host.containers}) == 24
    assert len({container.joined.host_interface for container in host.containers}) == 24
    assert len({container.published[0].host_port for container in host.containers}) == 24


def test_a_second_network_adds_an_interface_without_a_default_route(host: Host) -> None:
    """A container on two networks leaves through the first."""
    host.create_network("a", pools=(Pool(ip_network("10.201.0.0/24"), gateway=ip_address("10.201.0.254")),))
    web = host.container("web")
    host.driver.lease("a" * 64, "web again", ip_address("10.201.0.7"))
    host.driver.join("web again", web.namespace.sandbox, "eth1", default_route=False)
    assert "10.201.0.7/24" in web.namespace.run("ip", "address", "show", "dev", "eth1")
    routes = web.namespace.run("ip", "route")
    assert routes.count("default") == 1
    assert "default via 10.199.0.1 dev eth0" in routes
    host.driver.leave("web again", web.namespace.sandbox)
    assert "eth1" not in web.namespace.run("ip", "link")


def test_the_interface_is_as_asked(host: Host) -> None:
    """MAC address from the address unless one is wished for, MTU from the flag, loopback up."""
    host.kill_driver()
    host.options = replace(host.options, mtu=1400)
    host.start_driver()
    web = host.container("web")
    assert web.lease.mac_address == "02:42:0a:c7:00:02"
    shown = web.namespace.run("ip", "-o", "link")
    assert "02:42:0a:c7:00:02" in shown
    assert "mtu 1400" in shown
    assert "LOOPBACK,UP" in shown
    lease: Lease = host.driver.lease(DEFAULT_ID, "wish", mac_address="92:d0:c6:0a:29:33")
    assert lease.mac_address == "92:d0:c6:0a:29:33"
    with pytest.raises(Invalid):
        host.driver.lease(DEFAULT_ID, "bad", mac_address="nonsense")


def test_a_port_that_another_program_has_is_refused_by_name(host: Host) -> None:
    """The daemon binds what it publishes: nobody else can take it, and who has it already is named."""
    web = host.container("web")
    with socket.create_server(("0.0.0.0", 18094)), pytest.raises(PortTaken) as caught:
        web.publish(PortBinding(80, host_ports=(18094, 18094)))
    assert "Bind for 0.0.0.0:18094 failed: port is already allocated" in str(caught.value)
    assert str(caught.value).startswith("driver failed programming external connectivity on endpoint web: ")
    assert f"pid {os.getpid()}" in caught.value.holder
    assert "18094" not in host.facts()
    web.publish(PortBinding(80, host_ports=(18094, 18094)))
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", 18094), reuse_port=False)
    host.driver.unpublish("web")
    socket.create_server(("127.0.0.1", 18094)).close()


def test_publishing_is_all_or_nothing(host: Host) -> None:
    """When the second port is taken the first is given back, or a failed start would eat ports."""
    web = host.container("web")
    before = host.facts()
    with socket.create_server(("0.0.0.0", 18096)), pytest.raises(PortTaken):
        web.publish(PortBinding(80, host_ports=(18095, 18095)), PortBinding(81, host_ports=(18096, 18096)))
    assert host.facts() == before
    web.publish(PortBinding(80, host_ports=(18095, 18095)))


def test_a_range_gives_the_first_port_that_nobody_has(host: Host) -> None:
    """`-p 18100-18102:80`: ports of other programs are passed over; a full range is an error."""
    web = host.container("web")
    wish = PortBinding(80, host_ports=(18100, 18102))
    with socket.create_server(("0.0.0.0", 18100)):
        ports = [web.publish(wish)[-1].host_port for _ in range(2)]
        assert ports == [18101, 18102]
        with pytest.raises(Conflict, match="all ports are allocated"):
            web.publish(wish)


def test_a_given_bridge_is_used_and_left(host: Host) -> None:
    """`-b br0`: its address is the gateway; at the end it is still there, as the administrator made it."""
    host.kill_driver()
    host.namespace.run("ip", "link", "delete", "mdocker0")
    host.options = BridgeOptions(bridge="br0", tag="g", mend_seconds=0.0)
    with pytest.raises(NotFound, match="bridge br0 does not exist"):
        host.start_driver()
    host.kill_driver()
    host.namespace.run("ip", "link", "add", "br0", "type", "bridge")
    host.namespace.run("ip", "address", "add", "10.77.0.9/24", "dev", "br0")
    host.namespace.run("ip", "link", "set", "br0", "up")
    host.start_driver()
    web = host.container("web")
    assert (web.address, str(web.lease.gateway)) == ("10.77.0.1", "10.77.0.9")
    host.driver.leave("web", web.namespace.sandbox)
    host.driver.release("web")
    host.driver.shutdown()
    assert "10.77.0.9/24" in host.namespace.run("ip", "address", "show", "dev", "br0")


def test_a_free_subnet_is_chosen(host: Host) -> None:
    """Without --bip: the first of Docker's that no route of the host and no other network has."""
    host.driver.shutdown()
    host.kill_driver()
    host.namespace.run("ip", "route", "add", "172.17.5.0/24", "via", "198.51.100.2")
    host.options = replace(host.options, bip=None)
    host.start_driver()
    assert host.network.pools[0].subnet == ip_network("172.18.0.0/16")
    assert host.create_network("a").pools[0].subnet == ip_network("172.19.0.0/16")
    with pytest.raises(Conflict, match="Pool overlaps with other one on this address space"):
        host.create_network("b", pools=(Pool(ip_network("172.18.7.0/24")),))


def test_a_bridge_of_ours_follows_the_flag(host: Host) -> None:
    """--bip changed between two runs: the old address goes, the new one comes, the bridge stays."""
    host.kill_driver()
    host.options = replace(host.options, bip=ip_interface("10.200.0.1/24"))
    host.start_driver()
    shown = host.namespace.run("ip", "address", "show", "dev", "mdocker0")
    assert "10.200.0.1/24" in shown
    assert "10.199.0.1" not in shown


def test_networks_know_who_is_on_them(host: Host) -> None:
    """A network with endpoints is not deleted; describing it names them, their ports and the rules."""
    web = host.container("web")
    web.publish(PortBinding(80, host_ports=(18097, 18097)))
    with pytest.raises(Conflict, match="active endpoints"):
        host.driver.delete_network(DEFAULT_ID)
    facts = host.driver.describe(DEFAULT_ID)
    assert facts["endpoints"]["web"]["published"] == ["0.0.0.0:18097->80/tcp"]
    assert facts["bridge"] == "mdocker0"
    assert "18097" in facts["firewall"]["rules"]
    with pytest.raises(NotFound):
        host.driver.describe("0" * 64)


def test_a_cable_dies_with_its_namespace(host: Host) -> None:
    """The hot path never deletes a link: when the sandbox is gone, the kernel has removed both ends."""
    host.driver.lease(DEFAULT_ID, "brief")
    sandbox = Namespace()
    joined = host.driver.join("brief", sandbox.sandbox)
    assert host.netlink.link(joined.host_interface) is not None
    watcher = subprocess.Popen(["ip", "monitor", "link"], stdout=subprocess.PIPE, text=True)
    try:
        sandbox.close()
        host.driver.leave("brief", None)
        assert watcher.stdout is not None
        while host.netlink.link(joined.host_interface) is not None:
            watcher.stdout.readline()  # the kernel's own word that something changed
    finally:
        watcher.kill()
        watcher.communicate()
    host.driver.release("brief")
    with pytest.raises(NetlinkError):
        host.netlink.apply([DeleteLink(joined.host_interface)])


def test_the_default_network_follows_from_the_flags() -> None:
    """--bip, --fixed-cidr and the like; -b and --bip exclude each other."""
    options = BridgeOptions(bip=ip_interface("10.1.2.3/24"), fixed_cidr=ip_network("10.1.2.128/25"), icc=False)
    network = default_network(options, DEFAULT_ID)
    assert network.pools == (Pool(ip_network("10.1.2.0/24"), ip_network("10.1.2.128/25"), ip_address("10.1.2.3")),)
    assert not network.icc
    with pytest.raises(Invalid, match="mutually exclusive"):
        BridgeOptions(bridge="br0", bip=ip_interface("10.1.2.3/24"))


def test_a_cable_goes_although_somebody_keeps_the_namespace(host: Host) -> None:
    """Another container may share it. The address is free for others, so nobody may have it on the bridge any more."""
    web = host.container("web")
    host.driver.leave("web", None)  # its own processes are gone, but the test has the namespace still
    host.driver.release("web")
    peer = host.container("peer")
    host.driver.tidy()
    names = {link.name for link in host.netlink.links()}
    assert web.joined.host_interface not in names
    assert peer.joined.host_interface in names
