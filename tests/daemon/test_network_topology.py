"""The network's picture: everything that stands is in it, once, in both languages."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.daemon.network_record import NetworkRecord
from mini_docker.daemon.network_topology import Guest, Segment, Topology, draw_graphviz, draw_text, topology
from mini_docker.drivers.networkdriver.contract import NetworkConfig

BRIDGE = Segment(
    "bridge",
    "bridge",
    "mdocker0",
    ("172.17.0.0/16, gateway 172.17.0.1",),
    guests=(
        Guest("db", "172.17.0.3/16", "eth0", "veth2"),
        Guest("web", "172.17.0.2/16", "eth0", "veth1", ("0.0.0.0:8080->80/tcp",)),
    ),
)
INNER = Segment(
    "inner", "bridge", "br-1", ("10.1.0.0/24, gateway 10.1.0.1",), ("internal",), (Guest("web", "10.1.0.2/24", "eth1"),)
)
HOST = Segment("host", "host")


def test_text() -> None:
    """A network a paragraph: its bridge and subnet, its containers with cables and ports; the rules at the end."""
    rules = {"nftables": "table ip mini_docker {\n  counter packets 7 bytes 420\n}\n"}
    assert draw_text(Topology((BRIDGE, INNER, HOST), rules)) == (
        "bridge: bridge, bridge mdocker0\n"
        "│ 172.17.0.0/16, gateway 172.17.0.1\n"
        "├─ db eth0 172.17.0.3/16 ── veth2\n"
        "└─ web eth0 172.17.0.2/16 ── veth1\n"
        "     0.0.0.0:8080->80/tcp\n"
        "inner: bridge, bridge br-1 (internal)\n"
        "│ 10.1.0.0/24, gateway 10.1.0.1\n"
        "└─ web eth1 10.1.0.2/24\n"
        "host: host\n"
        "\n"
        "rules (nftables):\n"
        "table ip mini_docker {\n"
        "  counter packets 7 bytes 420\n"
        "}\n"
    )


def test_graphviz() -> None:
    """A container on two networks is one node with two cables; nothing leads out of an internal network."""
    picture = draw_graphviz(Topology((BRIDGE, INNER, HOST), {}))
    assert picture.count('"container web" [label="web"];') == 1
    assert picture.count('-> "container web" [dir=none') == 2
    assert ' outside -> "container web" [style=dashed,label="0.0.0.0:8080->80/tcp"];' in picture
    assert 'outside -> "network bridge"' in picture and 'outside -> "network inner"' not in picture


def test_facts_of_the_drivers_become_the_map() -> None:
    """Endpoints get their containers' names; of a network that could not be made that is said, and no more."""
    facts = {
        "driver": "bridge", "bridge": "br-1", "pools": [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.1", "range": ""}],
        "icc": False, "internal": True, "masquerade": True, "firewall": {"form": "iptables", "rules": "*filter\n"},
        "endpoints": {
            "e2": {"address": "10.1.0.3/24", "interface": "eth0", "host_interface": "veth2", "published": []},
            "e1": {"address": "10.1.0.2/24", "interface": "", "host_interface": "", "published": ["x"]},
        },
    }  # fmt: skip
    made = NetworkRecord(NetworkConfig("1", "n1"), "bridge", "")
    lost = NetworkRecord(NetworkConfig("2", "n2"), "bridge", "")
    none = NetworkRecord(NetworkConfig("3", "none"), "none", "")
    drawn = topology([(made, facts), (lost, None), (none, {"driver": "none", "endpoints": {"e3": {}}})], {"e1": "web"})
    first, second, third = drawn.segments
    assert first.traits == ("internal", "icc off") and first.pools == ("10.1.0.0/24, gateway 10.1.0.1",)
    assert first.guests == (Guest("e2", "10.1.0.3/24", "eth0", "veth2"), Guest("web", "10.1.0.2/24", published=("x",)))
    assert second.traits == ("not made",) and third.guests == (Guest("e3"),)
    assert drawn.rules == {"iptables": "*filter\n"}


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@settings(max_examples=5, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs", "Cc")), max_size=8))
def test_graphviz_understands_every_name(name: str) -> None:
    """Quotes and backslashes in a name do not end its label."""
    picture = draw_graphviz(Topology((Segment(name, "bridge", "b", guests=(Guest(f'{name}"\\'),)),), {}))
    done = subprocess.run(["dot", "-Tcanon"], input=picture, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
