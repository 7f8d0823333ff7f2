"""A running container is put on networks and taken off them: its files, its way out, its published ports, its names."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.house.house import House
from tests.house.test_outliving import wait_for

pytestmark = pytest.mark.root


def read(house: House, container: str, path: str) -> str:
    """A file, as the container's programs see it."""
    return house.ours("exec", container, "cat", path).out


def gateway(house: House, container: str) -> str:
    """Where the container's default route leads."""
    pid = house.inspect(container)["State"]["Pid"]
    words = subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", "route", "show", "default"], capture_output=True,
                           text=True, check=True).stdout.split()  # fmt: skip
    return words[2] if words else ""


def dig(house: House, container: str, name: str) -> str:
    """What the container's name server answers."""
    pid = house.inspect(container)["State"]["Pid"]
    command = ["nsenter", "-t", str(pid), "-n", "dig", "+short", "+tries=1", "+time=5", "@127.0.0.11", name]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def places(house: House, container: str) -> dict[str, dict[str, object]]:
    """Its places on networks, as the API shows them."""
    found: dict[str, dict[str, object]] = house.inspect(container)["NetworkSettings"]["Networks"]
    return found


@pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed (dnsutils)")
def test_files_follow_in_place(house: House) -> None:
    """They are mounts: a new file of the same name would not be seen. What the container wrote itself stays."""
    house.ours("network", "create", "net1")
    house.ours("run", "-d", "--name", "web", "--hostname", "web", "busybox", "sleep", "1000")
    house.ours("run", "-d", "--name", "db", "--network", "net1", "busybox", "sleep", "1000")
    house.ours("exec", "web", "sh", "-c", "echo '192.0.2.7 mine' >> /etc/hosts")
    at_first = read(house, "web", "/etc/resolv.conf")
    house.ours("network", "connect", "net1", "web")
    addresses = {name: place["IPAddress"] for name, place in places(house, "web").items()}
    hosts = read(house, "web", "/etc/hosts").splitlines()
    assert [line.split()[0] for line in hosts if line.split()[1:] == ["web"]] == list(addresses.values())
    assert "192.0.2.7 mine" in hosts
    assert "nameserver 127.0.0.11" in read(house, "web", "/etc/resolv.conf")
    assert dig(house, "web", "db") == places(house, "db")["net1"]["IPAddress"]
    house.ours("network", "disconnect", "net1", "web")
    assert read(house, "web", "/etc/resolv.conf") == at_first
    assert str(addresses["net1"]) not in read(house, "web", "/etc/hosts")
    house.ours("exec", "web", "sh", "-c", "echo 'nameserver 192.0.2.8' > /etc/resolv.conf")
    house.ours("network", "connect", "net1", "web")
    assert read(house, "web", "/etc/resolv.conf") == "nameserver 192.0.2.8\n"
    house.ours("rm", "-f", "web", "db")
    assert house.ours("network", "rm", "net1").code == 0


def test_the_way_out_leads_from_the_first_network_by_name(house: House) -> None:
    """As Docker chooses; a published port answers wherever it leads, over every change."""
    for name in ("anet", "znet"):
        house.ours("network", "create", name)
    page = "mkdir /tmp/w; echo page > /tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w"
    house.ours("run", "-d", "--name", "web", "-p", "18091:80", "busybox", "sh", "-c", page)
    url = "http://127.0.0.1:18091/"

    def leads(network: str) -> bool:
        return gateway(house, "web") == places(house, "web")[network]["Gateway"] and house.fetch(url) == "page\n"

    wait_for(lambda: leads("bridge"))
    house.ours("network", "connect", "znet", "web")
    assert leads("bridge")
    house.ours("network", "connect", "anet", "web")
    assert leads("anet")
    house.kill()
    house.start()
    assert leads("anet")
    house.ours("network", "disconnect", "bridge", "web")
    assert leads("anet")
    house.ours("network", "disconnect", "anet", "web")
    assert leads("znet")
    house.ours("restart", "-t", "0", "web")
    wait_for(lambda: leads("znet"))
    house.ours("network", "disconnect", "znet", "web")
    assert gateway(house, "web") == ""
    assert house.fetch(url) == ""
    house.ours("network", "connect", "anet", "web")
    assert leads("anet")
    house.ours("rm", "-f", "web")
    for name in ("anet", "znet"):
        assert house.ours("network", "rm", name).code == 0


def test_proxies_end_with_the_daemons_containers(house: House) -> None:
    """--iptables=false: the port answers, also while no daemon runs; then the proxy goes with its container."""
    house.stop()
    house.start("--iptables=false")
    page = "mkdir /tmp/w; echo page > /tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w"
    house.ours("run", "-d", "--name", "web", "-p", "18092:80", "busybox", "sh", "-c", page)
    doors = house.folder / "run" / "proxies"
    wait_for(lambda: house.fetch("http://127.0.0.1:18092/") == "page\n")
    house.kill()
    assert house.fetch("http://127.0.0.1:18092/") == "page\n"
    house.start("--iptables=false")
    assert house.fetch("http://127.0.0.1:18092/") == "page\n"
    assert len(os.listdir(doors)) == 1
    house.ours("rm", "-f", "web")
    assert os.listdir(doors) == []
    house.stop()
    house.start()
