"""Our networks beside Docker's: the same cases by the stock command line, in the same kind of namespaces, case by case.

Each side is a host with an outside neighbour on a wire. A case ends in a word or two ("web 198.51.100.2" is what a
server called web answers to whom it sees as that address), and the words of both sides stand in a table.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dnslib import RCODE, DNSRecord
from tabulate import tabulate

from tests.drivers.networkdriver.namespaces import Namespace, lay_wire
from tests.house.house import START_SECONDS, House, Ran, has_docker_cli

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not has_docker_cli(), reason="the stock docker command line is not installed"),
    pytest.mark.skipif(shutil.which("dockerd", path="/usr/sbin:/usr/bin") is None, reason="dockerd is not installed"),
    pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed"),
]

HOST, OUTSIDE = "198.51.100.1", "198.51.100.2"
FLAGS = ("--bip", "10.199.0.1/24", "--live-restore")
NOTHING = "-"
SOON = 0.3  # seconds to wait for what is not expected
MENDING_SECONDS = 15.0

BETTER_THAN_DOCKER = {
    "hairpin, udp: a neighbour": "Docker's proxy answers from another address than was asked",
    "rules flushed by another tool: outside to a published port": "Docker's proxy is left, and hides who asks",
}
"""Cases in which we mean to differ, and why."""


@dataclass
class DockerdHouse(House):
    """A house with Debian's dockerd in it."""

    def start(self, *flags: str) -> None:
        command = [
            "dockerd", "--data-root", str(self.folder / "root"), "--exec-root", str(self.folder / "run"),
            "-H", self.host, "-p", str(self.folder / "pid"), *self.flags, *flags,
        ]  # fmt: skip
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        with (self.folder / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                self.inside(*command), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )
        deadline = time.monotonic() + START_SECONDS
        while self.ours("version").code != 0:
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"dockerd does not start here: {self.log()[-300:]}")
            time.sleep(0.1)

    def ours(self, *words: str, stdin: bytes = b"") -> Ran:
        return self.docker(*words, stdin=stdin)

    def close(self) -> None:
        """As a house, and what a dockerd that failed left: its containers have parents that outlive it."""
        try:
            super().close()
        finally:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    children = (process / "task" / process.name / "children").read_text().split()
                except OSError:
                    continue  # it ended meanwhile
                if b"containerd-shim" in words[0] and any(word.startswith(bytes(self.folder)) for word in words):
                    for pid in (*children, process.name):
                        os.kill(int(pid), signal.SIGKILL)


@dataclass
class Side:
    """One daemon's host, its outside neighbour, and what was started on it."""

    house: House
    host: Namespace
    outside: Namespace
    containers: dict[str, Namespace] = field(default_factory=dict)
    closing: ExitStack = field(default_factory=ExitStack)

    def docker(self, *words: str) -> str:
        """What the stock command line prints; it must not fail."""
        ran = self.house.docker(*words)
        assert ran.code == 0, f"docker {' '.join(words)}: {ran.err}"
        return ran.out.strip()

    def run(self, name: str, *flags: str) -> None:
        """A container that sleeps; a server of its name answers in it, at port 80 of TCP and UDP."""
        self.docker("run", "-d", "--name", name, "--dns", OUTSIDE, *flags, "busybox", "sleep", "1000")
        namespace = Namespace.of(int(self.docker("inspect", "-f", "{{.State.Pid}}", name)))
        self.closing.callback(namespace.close)
        self.containers[name] = namespace
        for protocol in ("tcp", "udp"):
            self.closing.callback(namespace.serve(name, 80, protocol).close)

    def address(self, name: str, network: str = "bridge") -> str:
        """A container's address on a network."""
        return self.docker("inspect", "-f", f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}', name)

    def ask(self, who: str, address: str, port: int, protocol: str = "tcp", seconds: float = 3.0) -> str:
        """What is answered there; *who* is a container, host or outside."""
        namespace = {"host": self.host, "outside": self.outside, **self.containers}[who]
        return namespace.ask(address, port, protocol, seconds) or NOTHING

    def served(self, who: str, address: str, port: int, protocol: str = "tcp", seconds: float = 3.0) -> str:
        """Who answers there, no matter whom they see: with or without a proxy that differs."""
        return self.ask(who, address, port, protocol, seconds).split()[0]

    def dig(self, who: str, *words: str) -> str:
        """What the embedded name server answers to a container."""
        command = ["dig", "+short", "+tries=1", "+time=3", "@127.0.0.11", *words]
        with self.containers[who].entered():
            answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return " ".join(answer.split()) or NOTHING


def resolver(outside: Namespace) -> socket.socket:
    """A name server in the outside, which knows example.org and nobody else, until the socket is closed."""
    with outside.entered():
        port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port.bind((OUTSIDE, 53))

    def serve() -> None:
        while True:
            try:
                message, asker = port.recvfrom(1000)
            except OSError:
                return
            question = DNSRecord.parse(message)
            reply = question.replyZone("example.org 60 IN A 192.0.2.80")
            if str(question.q.qname) != "example.org.":
                reply = question.reply()
                reply.header.rcode = RCODE.NXDOMAIN
            port.sendto(reply.pack(), asker)

    threading.Thread(target=serve, daemon=True).start()
    return port


@contextmanager
def side_of(house: House) -> Iterator[Side]:
    """A side while the block runs; its house is open, its daemon not yet started as it shall be."""
    assert house.namespaces is not None
    host, outside = Namespace.of(house.namespaces.pid), Namespace()
    side = Side(house, host, outside)
    with side.closing:
        for namespace in (host, outside):
            side.closing.callback(namespace.close)
        lay_wire(host, HOST, outside, OUTSIDE)
        side.closing.callback(outside.serve("out", 8099).close)
        side.closing.callback(resolver(outside).close)
        house.start(*FLAGS)
        yield side
        for name in side.containers:
            side.docker("rm", "-f", name)


def default_bridge(side: Side) -> Iterator[tuple[str, str]]:
    """The default bridge and published ports."""
    side.run("web", "-p", "18081:80", "-p", "18082:80/udp", "-p", "127.0.0.1:18083:80", "--expose", "80")
    side.run("peer", "--link", "web:www")
    web = side.address("web")
    yield "container to container", side.ask("peer", web, 80)
    yield "container to container, udp", side.ask("peer", web, 80, "udp")
    yield "container to outside", side.ask("peer", OUTSIDE, 8099)
    yield "outside to a published port, tcp", side.ask("outside", HOST, 18081)
    yield "outside to a published port, udp", side.ask("outside", HOST, 18082, "udp")
    yield "outside to a port published at 127.0.0.1", side.ask("outside", HOST, 18083, seconds=SOON)
    yield "host to its own address", side.ask("host", HOST, 18081)
    for protocol, port in (("tcp", 18081), ("udp", 18082)):
        yield f"host to 127.0.0.1, {protocol}", side.served("host", "127.0.0.1", port, protocol)
        yield f"hairpin, {protocol}: a neighbour", side.served("peer", HOST, port, protocol)
        yield f"hairpin, {protocol}: the container itself", side.served("web", "10.199.0.1", port, protocol)
    yield "host to a port published at 127.0.0.1", side.served("host", "127.0.0.1", 18083)
    hosts = side.docker("exec", "peer", "cat", "/etc/hosts").replace(side.docker("ps", "-qf", "name=web"), "ID")
    yield "link: hosts", " ".join(line.split(maxsplit=1)[1] for line in hosts.splitlines() if line.startswith(web))
    yield "link: env", side.docker("exec", "peer", "sh", "-c", "echo $WWW_PORT $WWW_NAME").replace(web, "WEB")


def networks(side: Side) -> Iterator[tuple[str, str]]:
    """Networks of the user's, and names on them."""
    icc = "com.docker.network.bridge.enable_icc=false"
    for name, number, *flags in (("n1", 1), ("n2", 2), ("quiet", 3, "-o", icc), ("inner", 4, "--internal")):
        side.docker("network", "create", "--subnet", f"10.200.{number}.0/24", *flags, str(name))
    side.run("aa", "--network", "n1", "--network-alias", "al", "-p", "18084:80")
    side.run("bb", "--network", "n1")
    side.run("cc", "--network", "n2")
    aa = side.address("aa", "n1")
    yield "user network: container to container", side.ask("bb", aa, 80)
    yield "isolation: from another network", side.ask("cc", aa, 80, seconds=SOON)
    yield "isolation: but to its published port", side.served("cc", HOST, 18084)
    yield "dns: name", side.dig("bb", "aa")
    yield "dns: alias", side.dig("bb", "al")
    yield "dns: name.network", side.dig("bb", "aa.n1")
    yield "dns: name, over tcp", side.dig("bb", "+tcp", "aa")
    yield "dns: reverse", side.dig("bb", "-x", aa)
    yield "dns: a name of the outside", side.dig("bb", "example.org")
    yield "dns: somebody of another network", side.dig("cc", "aa")
    side.docker("network", "connect", "n1", "cc")
    yield "connected: by address", side.ask("cc", aa, 80)
    yield "connected: by name", side.dig("cc", "aa")
    side.docker("network", "disconnect", "n1", "cc")
    yield "disconnected", side.ask("cc", aa, 80, seconds=SOON)
    side.run("q1", "--network", "quiet", "-p", "18085:80")
    side.run("q2", "--network", "quiet")
    yield "icc off: container to container", side.ask("q2", side.address("q1", "quiet"), 80, seconds=SOON)
    yield "icc off: outside to a published port", side.ask("outside", HOST, 18085)
    side.run("i1", "--network", "inner")
    side.run("i2", "--network", "inner")
    yield "internal: container to container", side.ask("i1", side.address("i2", "inner"), 80)
    yield "internal: to outside", side.ask("i1", OUTSIDE, 8099, seconds=SOON)


def many_networks(side: Side) -> Iterator[tuple[str, str]]:
    """A container on several networks: where its way out leads."""

    def gateway() -> str:
        return side.containers["multi"].run("ip", "route", "show", "default").partition("via ")[2].split(" ")[0]

    side.run("multi", "--network", "n2", "-p", "18086:80")
    yield "several networks: way out of one", gateway()
    side.docker("network", "connect", "n1", "multi")
    yield "several networks: a name that comes earlier", gateway()
    yield "several networks: its published port", side.ask("outside", HOST, 18086)
    side.docker("network", "disconnect", "n1", "multi")
    yield "several networks: the first one left", gateway()
    yield "several networks: its published port then", side.ask("outside", HOST, 18086)


def interruptions(side: Side) -> Iterator[tuple[str, str]]:
    """What the daemon and other tools may do to a running container."""
    side.house.stop()  # in order: dockerd's containerd dies with a killed one, and the next waits for it
    side.house.start(*FLAGS)
    yield "daemon restarted: outside to a published port", side.ask("outside", HOST, 18081)
    yield "daemon restarted: dns", side.dig("bb", "aa")
    side.run("late")
    own = {side.address(name) for name in ("web", "peer")}
    yield "daemon restarted: a new address", "new" if side.address("late") not in own else "taken"
    for command in (["nft", "flush", "ruleset"], ["iptables-legacy", "-F"], ["iptables-legacy", "-t", "nat", "-F"]):
        side.host.run(*command)
    deadline = time.monotonic() + (MENDING_SECONDS if not isinstance(side.house, DockerdHouse) else 1)
    while (
        answer := side.ask("outside", HOST, 18081, seconds=SOON)
    ) != f"web {OUTSIDE}" and time.monotonic() < deadline:
        time.sleep(0.2)
    yield "rules flushed by another tool: outside to a published port", answer


def the_end(side: Side) -> Iterator[tuple[str, str]]:
    """What is left when all containers and networks are gone."""
    side.docker("rm", "-f", *side.containers)
    side.containers.clear()
    side.docker("network", "rm", "n1", "n2", "quiet", "inner")
    deadline = time.monotonic() + MENDING_SECONDS

    def left(word: str) -> int:
        return sum(word in line and "wire" not in line for line in side.host.run("ip", "-o", "link").splitlines())

    while left("veth") and time.monotonic() < deadline:  # this test has the containers' namespaces still
        time.sleep(0.2)
    yield "removed: cables left", str(left("veth"))
    yield "removed: bridges of networks left", str(left("br-"))


CASES: tuple[Callable[[Side], Iterator[tuple[str, str]]], ...] = (
    default_bridge, networks, many_networks, interruptions, the_end,
)  # fmt: skip


def walk(side: Side) -> dict[str, str]:
    """Every case's words."""
    return {name: words for cases in CASES for name, words in cases(side)}


def test_every_case_as_docker(
    house: House, tmp_path: Path, busybox_tar: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody who knows Docker's networks has to learn ours: what differs is named above, with the reason."""
    docker = DockerdHouse(tmp_path)
    docker.open_namespaces()
    try:
        house.stop()
        with side_of(house) as side:
            ours = walk(side)
        with side_of(docker) as side:
            side.house.docker("import", "-", "busybox", stdin=busybox_tar)
            theirs = walk(side)
    finally:
        docker.close()
    table = [
        (case, ours[case], theirs[case], "" if ours[case] == theirs[case] else BETTER_THAN_DOCKER.get(case, "DIFFERS"))
        for case in ours
    ]
    with capsys.disabled():
        print("\n" + tabulate(table, ("case", "mini-docker", "dockerd", "")))
    assert [row for row in table if row[3] == "DIFFERS"] == []
    assert all(ours[case] != theirs[case] for case in BETTER_THAN_DOCKER), "Docker learned it: strike it from the list"
