"""The jobs of networks, on a bridge driver whose doors only write down."""

from __future__ import annotations

import io
import json
import os
import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from mini_docker.daemon.container.config import ContainerConfig
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.host_config import HostConfig, HostPort
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.event_log import EventLog
from mini_docker.daemon.jobs import networks
from mini_docker.daemon.jobs.events import Log
from mini_docker.daemon.jobs.network import AllocateInterface, AllocatePort, InitNetworkdriver, Link, ReleaseInterface
from mini_docker.daemon.name_service import NameService
from mini_docker.daemon.network_files import NetworkFiles
from mini_docker.daemon.network_table import NetworkTable
from mini_docker.daemon.settings import DaemonSettings
from mini_docker.dataclasses import replace
from mini_docker.drivers.execdriver.contract import ExecDriver, Sandbox
from mini_docker.drivers.networkdriver.bridge import BridgeDriver
from mini_docker.drivers.networkdriver.bridge_options import BridgeOptions, default_network
from mini_docker.drivers.networkdriver.contract import Address, PortTaken, SandboxSockets
from mini_docker.drivers.networkdriver.dns_message import Names
from mini_docker.drivers.networkdriver.host import HostDriver
from mini_docker.drivers.networkdriver.none import NoneDriver
from mini_docker.engine import Engine
from mini_docker.errors import Conflict, Denied, Invalid, MiniDockerError, NotFound, Unsupported
from mini_docker.linux.dns_sockets import DnsSockets
from mini_docker.linux.firewall import LinkRule, PortForward, RecordingFirewall
from mini_docker.linux.netlink import NetlinkError
from mini_docker.linux.netlink_requests import AddRoute, CreateVeth, DeleteLink
from mini_docker.linux.recording import RecordingKernel
from mini_docker.linux.recording_netlink import RecordingNetlink

SANDBOX = SandboxSockets(namespace=50, netlink=51)


class Sandboxes:
    """Of the exec driver only what networks need: descriptors of a running container."""

    def open_netlink(self, container: str) -> Sandbox:
        """Two descriptors that the caller closes."""
        return Sandbox(1, os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY))


class FakeDnsServer:
    """Who is served, with which resolvers; the sockets are closed at once."""

    def __init__(self) -> None:
        self.served: dict[str, Sequence[Address]] = {}

    def add(self, id: str, sockets: DnsSockets, names: Names, upstream: Sequence[Address]) -> None:
        """Serve."""
        sockets.close()
        self.served[id] = upstream

    def remove(self, id: str) -> None:
        """Serve no more."""
        self.served.pop(id, None)


def fake_sockets(container: str) -> DnsSockets:
    """As opened in a container."""
    return DnsSockets(*(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)))


class House:
    """An engine with the network jobs, a table of networks in *root*, and some containers."""

    def __init__(self, root: Path) -> None:
        self.netlink, self.firewall = RecordingNetlink(), RecordingFirewall()
        self.options = BridgeOptions(bip=ip_interface("10.7.0.1/16"), tag="t", mend_seconds=0)
        kernel = RecordingKernel({"read_file": "1\n"}).door()
        self.bridge = BridgeDriver(self.netlink, self.firewall, kernel, self.options)
        self.table = NetworkTable(root / "networks", [self.bridge, HostDriver(), NoneDriver(self.netlink)])
        self.containers = ContainerStore(root / "containers")
        self.events = EventLog()
        self.dns = FakeDnsServer()
        self.names = NameService(self.dns, fake_sockets, self.containers, ["192.0.2.53"])
        files = NetworkFiles(DaemonSettings(root, root), "host")
        self.engine = Engine()
        handlers = {
            "init_networkdriver": InitNetworkdriver(self.table, lambda id: default_network(self.options, id)),
            "allocate_interface": AllocateInterface(self.table),
            "release_interface": ReleaseInterface(self.table),
            "allocate_port": AllocatePort(self.table, self.containers),
            "link": Link(self.bridge),
            "log": Log(self.events),
            **networks.handlers(self.table, self.containers, cast(ExecDriver, Sandboxes()), self.names, files),
        }
        for name, handler in handlers.items():
            self.engine.register(name, handler)
        self.default = self.run("init_networkdriver")["Id"]

    def run(self, name: str, *args: str, body: dict[str, Any] | None = None, **env: str) -> Any:
        """Run a job; its answer."""
        job = self.engine.job(name, *args)
        for key, value in env.items():
            job.env[key] = value
        if body is not None:
            job.stdin.set(io.BytesIO(json.dumps(body).encode()))
        output = job.output()
        return json.loads(output) if output else None

    def container(self, name: str, running: bool = True) -> Container:
        """A container of that name, on no network."""
        id = (name.encode().hex() + "a" * 64)[:64]
        container = Container(
            id, name, time.time_ns(), "", ContainerConfig(), HostConfig(), self.containers.folder(id), "vfs"
        )
        if running:
            container.state = replace(container.state, status="running", pid=1)
        self.containers.reserve_name(name, id)
        self.containers.add(container)
        return container


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# The classic jobs


def test_an_interface_is_allocated_and_released(house: House) -> None:
    """It writes the endpoint as the daemon stores it, and the words of the classic job beside."""
    told = house.run("allocate_interface", "e1", house.default, mac_address="92:d0:c6:0a:29:33")
    assert (told["IP"], told["IPPrefixLen"], told["Gateway"]) == ("10.7.0.2", 16, "10.7.0.1")
    assert told["MacAddress"] == told["Lease"]["MacAddress"] == "92:d0:c6:0a:29:33"
    with pytest.raises(Conflict):
        house.run("allocate_interface", "e2", house.default, address="10.7.0.2")
    house.run("release_interface", "e1", house.default)
    assert house.run("allocate_interface", "e2", house.default, address="10.7.0.2")["IP"] == "10.7.0.2"


def test_ports_are_allocated(house: House) -> None:
    """All wishes are granted; what was granted is in the endpoint that is written, and in the firewall."""
    house.bridge.restore([])
    house.run("allocate_interface", "e1", house.default)
    house.bridge.join("e1", SANDBOX)
    wish = {"ContainerPort": 80, "Protocol": "tcp", "HostIp": "127.0.0.1", "HostPorts": [0, 0]}
    told = house.run("allocate_port", "e1", house.default, bindings=json.dumps([wish, wish]))
    granted = [(port, protocol, address) for port, protocol, address, _host_port in told["Published"]]
    assert granted == [(80, "tcp", "127.0.0.1")] * 2
    assert sum(isinstance(rule, PortForward) for rule in house.firewall.standing) == 2
    house.run("release_interface", "e1", house.default)
    assert not any(isinstance(rule, PortForward) for rule in house.firewall.standing)


def test_a_taken_port_names_the_container_that_has_it(house: House) -> None:
    """The driver knows endpoints only; a user knows names."""
    house.container("web")
    house.run("network_connect", "bridge", body={"Container": "web"})
    place = house.containers.get("web").attachments["bridge"]
    wish = {"ContainerPort": 80, "Protocol": "tcp", "HostIp": "127.0.0.1", "HostPorts": [18077, 18077]}
    house.run("allocate_port", place.endpoint_id, house.default, bindings=json.dumps([wish]))
    house.run("allocate_interface", "e2", house.default)
    house.bridge.join("e2", SANDBOX)
    with pytest.raises(PortTaken, match=r"port is already allocated \(by container web\)"):
        house.run("allocate_port", "e2", house.default, bindings=json.dumps([wish]))
    house.run("release_interface", place.endpoint_id, house.default)


@pytest.mark.parametrize("wish", [{"Aliases": ["www"]}, {"IPAMConfig": {"IPv4Address": "10.7.0.9"}}])
def test_a_predefined_network_gives_no_aliases_and_no_wished_addresses(house: House, wish: dict[str, Any]) -> None:
    """As Docker: there is no name server on it, and its addresses are the daemon's to give."""
    house.container("web")
    with pytest.raises(Invalid, match="user defined networks"):
        house.run("network_connect", "bridge", body={"Container": "web", "EndpointConfig": wish})


@pytest.mark.parametrize("bindings", ["[1]", "[{}]", '[{"ContainerPort":"x","Protocol":"tcp","HostIp":""}]', "no"])
def test_a_malformed_wish_is_invalid(house: House, bindings: str) -> None:
    """Decoded once, at the border; nothing is taken."""
    house.run("allocate_interface", "e1", house.default)
    with pytest.raises(Invalid):
        house.run("allocate_port", "e1", house.default, bindings=bindings)


def test_links_are_opened_and_closed(house: House) -> None:
    """One rule for each port, as long as the link lasts."""
    for endpoint in ("client", "db"):
        house.run("allocate_interface", endpoint, house.default)
    ports = json.dumps(["5432/tcp", "53/udp"])
    house.run("link", "client", "db", action="add", ports=ports)
    assert sum(isinstance(rule, LinkRule) for rule in house.firewall.standing) == 2
    house.run("link", "client", "db", action="delete", ports=ports)
    assert not any(isinstance(rule, LinkRule) for rule in house.firewall.standing)
    with pytest.raises(Invalid, match="add or delete"):
        house.run("link", "client", "db", action="toggle")


def test_jobs_name_what_is_missing(house: House) -> None:
    """An endpoint and a network."""
    for arguments in ((), ("e1",), ("", house.default)):
        with pytest.raises(Invalid, match="must be named"):
            house.run("allocate_interface", *arguments)
    with pytest.raises(NotFound, match="network nowhere not found"):
        house.run("allocate_interface", "e1", "nowhere")


# Networks of the user's


def test_three_networks_are_always_there(house: House) -> None:
    """Under Docker's names and drivers; they cannot be removed."""
    listed = {network["Name"]: network["Driver"] for network in house.run("networks")}
    assert listed == {"bridge": "bridge", "host": "host", "none": "null"}
    for name in listed:
        with pytest.raises(Denied, match="pre-defined network"):
            house.run("network_delete", name)
    assert house.run("network_prune") == {"NetworksDeleted": []}


def test_a_network_is_created_as_asked(house: House) -> None:
    """Subnet, range, gateway, options, labels: all are shown again by inspect."""
    config = {"Subnet": "10.50.0.0/16", "IPRange": "10.50.9.0/24", "Gateway": "10.50.0.9"}
    options = {"com.docker.network.bridge.name": "br50", "com.docker.network.bridge.enable_icc": "false",
               "com.docker.network.driver.mtu": "1400"}  # fmt: skip
    body = {"Name": "n1", "Driver": "bridge", "IPAM": {"Config": [config]}, "Options": options, "Labels": {"a": "b"}}
    id = house.run("network_create", body=body)["Id"]
    shown = house.run("network_inspect", id[:8])
    assert shown["IPAM"]["Config"] == [config]
    assert (shown["Options"], shown["Labels"], shown["Internal"]) == (options, {"a": "b"}, False)
    record = house.table.get(id)
    assert (record.config.bridge, record.config.icc, record.config.mtu) == ("br50", False, 1400)
    assert house.netlink.link("br50") is not None


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"Name": "bridge"}, Conflict),
        ({"Name": ""}, Invalid),
        ({"Name": "a/b"}, Invalid),
        ({"Name": "n", "Driver": "overlay"}, NotFound),
        ({"Name": "n", "Driver": "host"}, Denied),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "10.7.0.0/24"}]}}, Conflict),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "10.9.0.7/24"}]}}, Invalid),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.8.0.1"}]}}, Invalid),
        ({"Name": "n", "Options": {"com.docker.network.bridge.enable_icc": "perhaps"}}, Invalid),
    ],
)
def test_a_network_that_cannot_be_is_refused(house: House, body: dict[str, Any], error: type[MiniDockerError]) -> None:
    """By kind; and nothing of it is left."""
    links = len(house.netlink.links())
    with pytest.raises(error):
        house.run("network_create", body=body)
    assert len(house.run("networks")) == 3
    assert len(house.netlink.links()) == links


def test_networks_are_filtered_and_pruned(house: House) -> None:
    """By name, label, type; prune takes those of the user's that nobody is on."""
    for name, labels in (("one", {"keep": "yes"}), ("two", {})):
        house.run("network_create", body={"Name": name, "Labels": labels})
    names = [network["Name"] for network in house.run("networks", filters=json.dumps({"type": ["custom"]}))]
    assert names == ["one", "two"]
    assert [n["Name"] for n in house.run("networks", filters=json.dumps({"label": ["keep=yes"]}))] == ["one"]
    assert [n["Name"] for n in house.run("networks", filters=json.dumps({"driver": ["null"]}))] == ["none"]
    pruned = house.run("network_prune", filters=json.dumps({"label!": ["keep"]}))
    assert pruned == {"NetworksDeleted": ["two"]}
    assert house.run("network_prune", filters='{"until": ["1h"]}') == {"NetworksDeleted": []}, "one is too young"
    with pytest.raises(Invalid, match="Invalid filter 'scope'"):
        house.run("network_prune", filters='{"scope": ["local"]}')


def test_a_running_container_is_plugged_in_and_out(house: House) -> None:
    """With an interface of its own on each network; then a network with somebody on it is not removed."""
    for name in ("n1", "n2"):
        house.run("network_create", body={"Name": name})
    web = house.container("web")
    for name in ("n1", "n2"):
        house.run("network_connect", name, body={"Container": "web", "EndpointConfig": {"Aliases": ["www"]}})
    places = web.attachments
    joined = [place.endpoint.joined for place in places.values() if place.endpoint]
    assert [each.interface for each in joined if each] == ["eth0", "eth1"]
    assert places["n1"].wish.aliases == ("www", web.id[:12])
    members = house.run("network_inspect", "n1")["Containers"]
    assert members[web.id]["Name"] == "web"
    with pytest.raises(Denied, match="active endpoints"):
        house.run("network_delete", "n1")
    with pytest.raises(Denied, match="already exists in network n1"):
        house.run("network_connect", "n1", body={"Container": "web"})
    house.run("network_disconnect", "n1", body={"Container": "web"})
    assert [type(order) for _, order in house.netlink.applied[-2:]] == [DeleteLink, AddRoute]
    with pytest.raises(MiniDockerError, match="is not connected to network n1"):
        house.run("network_disconnect", "n1", body={"Container": "web"})
    assert house.dns.served == {web.id: (ip_address("192.0.2.53"),)}
    house.run("network_disconnect", "n2", body={"Container": "web"})
    assert house.dns.served == {}
    house.run("network_connect", "n1", body={"Container": "web"})
    assert web.attachments["n1"].endpoint is not None
    assert web.attachments["n1"].endpoint.joined is not None
    assert web.attachments["n1"].endpoint.joined.interface == "eth0"


def test_on_internal_networks_alone_nobody_is_asked_outside(house: House) -> None:
    """There is no way out, not even for questions; and one whose own program has port 53 goes without."""
    house.run("network_create", body={"Name": "n1", "Internal": True})
    web, own = house.container("web"), house.container("own")
    house.run("network_connect", "n1", body={"Container": "web"})
    assert house.dns.served == {web.id: ()}

    def refuse(container: str) -> DnsSockets:
        raise Conflict("127.0.0.11:53: address already in use")

    house.names._open_sockets = refuse
    house.run("network_connect", "n1", body={"Container": "own"})
    assert own.attachments["n1"].endpoint is not None
    assert own.id not in house.dns.served


def test_a_stopped_container_is_only_noted(house: House) -> None:
    """It gets its address when it starts."""
    house.run("network_create", body={"Name": "n1"})
    web = house.container("web", running=False)
    house.run("network_connect", "n1", body={"Container": "web"})
    assert web.attachments["n1"].endpoint is None
    assert not any(isinstance(order, CreateVeth) for _, order in house.netlink.applied)
    house.run("network_disconnect", "n1", body={"Container": "web"})
    assert web.attachments == {}


def test_a_plug_that_fails_gives_its_address_back(house: House) -> None:
    """And the container is where it was."""
    house.run("network_create", body={"Name": "n1"})
    web = house.container("web")
    house.netlink.failures = {"CreateVeth": 1}
    with pytest.raises(NetlinkError):
        house.run("network_connect", "n1", body={"Container": "web"})
    assert web.attachments == {}
    house.run("network_delete", "n1")


def test_host_and_none_do_not_mix(house: House) -> None:
    """As Docker refuses it."""
    house.container("web")
    for name in ("host", "none"):
        with pytest.raises(Denied):
            house.run("network_connect", name, body={"Container": "web"})


def test_networks_survive_the_daemon(house: House, tmp_path: Path) -> None:
    """Ids, subnets and all; what is on disk and unreadable is left alone."""
    house.run("network_create", body={"Name": "n1", "Internal": True})
    before = house.run("networks")
    (tmp_path / "networks" / "broken.json").write_text("{")
    again = House(tmp_path)
    assert sorted(again.run("networks"), key=lambda n: n["Name"]) == sorted(before, key=lambda n: n["Name"])
    assert (tmp_path / "networks" / "broken.json").exists()
    again.run("network_delete", "n1")
    assert len(list((tmp_path / "networks").glob("*.json"))) == 4


@pytest.mark.parametrize("link", ["a:b:c", ":b", "a:", "/", "a:/b/"])
def test_a_link_that_is_none_is_refused_at_the_border(house: House, link: str) -> None:
    """Not stored: the name server would stumble over it at each question of that container."""
    house.run("network_create", body={"Name": "n1"})
    container = house.container("web")
    with pytest.raises(Invalid, match="bad format for links"):
        house.run("network_connect", "n1", body={"Container": "web", "EndpointConfig": {"Links": [link]}})
    assert "n1" not in container.attachments


@pytest.mark.parametrize("ipam", [{"IPv6Address": "fd00::5"}, {"LinkLocalIPs": ["169.254.1.1"]}])
def test_addresses_that_no_network_gives_are_refused(house: House, ipam: dict[str, Any]) -> None:
    """Else the container would be looked for at an address that it does not have."""
    house.run("network_create", body={"Name": "n1"})
    house.container("web")
    with pytest.raises(Unsupported):
        house.run("network_connect", "n1", body={"Container": "web", "EndpointConfig": {"IPAMConfig": ipam}})


@pytest.mark.parametrize("wish", [{"EnableIPv6": True}, {"ConfigOnly": True}, {"ConfigFrom": {"Network": "n"}}])
def test_networks_of_kinds_that_are_not_here_are_refused(house: House, wish: dict[str, Any]) -> None:
    """And the words by which clients say "no, thank you" are none of them."""
    with pytest.raises(Unsupported):
        house.run("network_create", body={"Name": "n1", **wish})
    polite = {"EnableIPv6": False, "ConfigOnly": False, "ConfigFrom": {"Network": ""}, "Ingress": False}
    assert house.run("network_create", body={"Name": "n1", **polite})["Id"]


def test_a_connection_outlives_a_power_cut(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the answer comes, both files that name the container's networks are on the disk."""
    synced: set[str] = set()
    fsync = os.fsync

    def noting_fsync(descriptor: int) -> None:
        synced.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    house.run("network_create", body={"Name": "n1"})
    web = house.container("web", running=False)
    house.containers.await_durable(web)
    for job, connected in (("network_connect", True), ("network_disconnect", False)):
        synced.clear()
        house.run(job, "n1", body={"Container": "web"})
        assert synced == {".config.json.new", "state.json.new", web.id}
        for lost in ("", "state.json"):  # the state is no more than a hint: who the container is, the config says
            (web.directory / lost).unlink() if lost else None
            (again,) = ContainerStore(house.containers.root).load("vfs")
            assert ("n1" in again.attachments) == connected


# The way out


def test_the_way_out_and_the_ports_follow_the_first_network_by_name(house: House) -> None:
    """As Docker has it: of several networks the first by name leads out, and published ports are where it leads."""
    for name, internal in (("m", False), ("a", False), ("aa", True)):
        house.run("network_create", body={"Name": name, "Internal": internal})
    web = house.container("web")
    web.host_config = HostConfig(port_bindings={"80/tcp": (HostPort("", "18099"),)})

    def publishing() -> dict[str, list[int]]:
        places = {name: place.endpoint for name, place in web.attachments.items() if place.endpoint}
        return {name: [port.host_port for port in state.published] for name, state in places.items()}

    def gateways() -> list[str]:
        routes = [order for _, order in house.netlink.applied if isinstance(order, AddRoute)]
        return [f"{route.gateway} {route.link}" for route in routes]

    house.run("network_connect", "aa", body={"Container": "web"})
    assert (publishing(), gateways()) == ({"aa": []}, [])
    house.run("network_connect", "m", body={"Container": "web"})
    assert publishing() == {"aa": [], "m": [18099]}
    house.run("network_connect", "a", body={"Container": "web"})
    assert publishing() == {"aa": [], "m": [], "a": [18099]}
    house.run("network_disconnect", "a", body={"Container": "web"})
    assert publishing() == {"aa": [], "m": [18099]}
    house.run("network_disconnect", "m", body={"Container": "web"})
    assert publishing() == {"aa": []}
    links = [each.split()[1] for each in gateways()]
    assert links == ["eth1", "eth2", "eth1"]
    assert not [rule for rule in house.firewall.standing if isinstance(rule, PortForward)]


def test_a_connection_that_fails_leaves_all_as_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new place would lead out, but its port cannot be published: the old one leads and publishes again."""
    for name in ("m", "a"):
        house.run("network_create", body={"Name": name})
    web = house.container("web")
    web.host_config = HostConfig(port_bindings={"80/tcp": (HostPort("", "18099"),)})
    house.run("network_connect", "m", body={"Container": "web"})
    before = web.attachments
    publish = house.bridge.publish

    def refuse_once(*_: Any) -> NoReturn:
        monkeypatch.setattr(house.bridge, "publish", publish)
        raise Conflict("no port for you")

    monkeypatch.setattr(house.bridge, "publish", refuse_once)
    with pytest.raises(Conflict, match="no port for you"):
        house.run("network_connect", "a", body={"Container": "web"})
    assert web.attachments == before
    assert [rule.host_port for rule in house.firewall.standing if isinstance(rule, PortForward)] == [18099]
    routes = [order.link for _, order in house.netlink.applied if isinstance(order, AddRoute)]
    assert routes == ["eth0", "eth1", "eth0"]


def test_the_networks_are_drawn(house: House) -> None:
    """Who hangs where, by the drivers' own books, with the rules that stand; in text and for Graphviz."""
    house.bridge.restore([])
    house.run("network_create", body={"Name": "n1", "Internal": True})
    web = house.container("web")
    house.run("network_connect", "n1", body={"Container": "web"})
    place = web.attachments["n1"].endpoint
    assert place is not None
    text = house.engine.job("network_show").output().decode()
    assert f"└─ web eth0 {place.lease.address} ── veth" in text and "(internal)" in text
    assert "rules (recording):" in text and "BridgeRules" in text
    assert [line for line in text.splitlines() if line in ("host: host", "none: none")] == ["host: host", "none: none"]
    picture = house.engine.job("network_show")
    picture.env["viz"] = "1"
    assert '"network n1" -> "container web"' in picture.output().decode()
