"""One suite for both forms of the firewall door, each in a network namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from mini_docker.linux.firewall import BridgeRules, Firewall, FirewallError, LinkRule, PortForward, Rule
from mini_docker.linux.iptables import IptablesFirewall
from mini_docker.linux.nftables import NftablesFirewall
from tests.drivers.networkdriver.namespaces import private_host

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

OPEN = BridgeRules("fw0", ip_network("10.91.0.0/24"))
SHUT = BridgeRules("fw1", ip_network("10.92.0.0/24"), icc=False, masquerade=False)
INNER = BridgeRules("fw2", ip_network("10.93.0.0/24"), internal=True)
ANYWHERE = PortForward("tcp", ip_address("0.0.0.0"), 18080, ip_address("10.91.0.2"), 80, "fw0")
LOCAL = PortForward("udp", ip_address("127.0.0.1"), 18053, ip_address("10.92.0.2"), 53, "fw1")
HOLE = LinkRule("fw1", ip_address("10.92.0.3"), ip_address("10.92.0.2"), "tcp", 5432)
RULES: tuple[Rule, ...] = (OPEN, SHUT, INNER, ANYWHERE, LOCAL, HOLE)


@pytest.fixture(params=["nftables", "iptables-legacy", "iptables-nft"])
def form(request: pytest.FixtureRequest) -> Iterator[type[Firewall]]:
    """A maker of firewalls of that form, by tag, inside a private network."""
    kind, _, flavour = request.param.partition("-")
    with private_host():

        def make(tag: str) -> Firewall:
            return NftablesFirewall(tag) if kind == "nftables" else IptablesFirewall(tag, flavour)

        if obstacle := make("probe").obstacle():
            pytest.skip(obstacle)
        yield make


def ruleset() -> str:
    """All that stands in this namespace's packet filter, by every tool, without counters."""
    texts = []
    for argv in (["nft", "-s", "list", "ruleset"], ["iptables-legacy-save"], ["iptables-nft-save"]):
        if shutil.which(argv[0]):
            lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
            texts += sorted(line.split(" [")[0].strip() for line in lines if not line.startswith("#"))
    return "\n".join(texts)


def test_adding_then_deleting_changes_nothing(form) -> None:
    """Add, then delete, is identity: otherwise every published port would leave something for ever."""
    firewall = form("a")
    firewall.install([OPEN])
    before = ruleset()
    firewall.add(RULES[1:])
    assert firewall.missing(RULES) == ()
    assert ruleset() != before
    firewall.delete(RULES[1:])
    assert ruleset() == before


def test_removing_leaves_no_word_of_ours(form) -> None:
    """After `remove` no chain, map or rule names us or our addresses, and removing twice is no error."""
    firewall = form("a")
    firewall.install(RULES)
    assert "10.91.0" in ruleset()
    firewall.remove()
    firewall.remove()
    for word in ("10.9", "fw0", "1808", "mini_docker", "MD-"):
        assert word not in ruleset()


def test_installing_replaces_whatever_stood(form) -> None:
    """`install` after a crash: what the dead daemon left goes, what shall hold stands once."""
    form("a").install(RULES)
    fresh = form("a")
    fresh.install([OPEN])
    once = ruleset()
    fresh.install([OPEN])
    assert ruleset() == once
    assert fresh.missing(RULES) == RULES[1:]


def test_two_instances_and_foreign_rules_do_not_meet(form) -> None:
    """What stands under another tag, or belongs to another tool, outlives our removal untouched."""
    if shutil.which("nft"):
        subprocess.run(["nft", "add table ip foreign; add chain ip foreign keep"], check=True)
    subprocess.run(["iptables-legacy", "-A", "FORWARD", "-s", "192.0.2.77", "-j", "DROP"], check=True)
    other = form("b")
    other.install([SHUT, LOCAL])
    before = ruleset()
    firewall = form("a")
    firewall.install([OPEN, ANYWHERE])
    firewall.remove()
    assert ruleset() == before
    assert other.missing([SHUT, LOCAL]) == ()


def test_what_another_tool_flushed_is_seen_and_put_back(form) -> None:
    """After a flush every rule is missing, adding is an error, and `install` puts everything back."""
    firewall = form("a")
    firewall.install(RULES)
    whole = ruleset()
    if firewall.name == "nftables":
        subprocess.run(["nft", "flush", "ruleset"], check=True)
    else:
        firewall.remove()
    assert firewall.missing(RULES) == RULES
    with pytest.raises(FirewallError):
        firewall.add([HOLE, ANYWHERE])
    firewall.install(RULES)
    assert ruleset() == whole


def test_a_refused_transaction_names_the_tool_and_does_nothing(form) -> None:
    """A rule for a bridge that has no chain is refused, and what came with it is not done either."""
    firewall = form("a")
    firewall.install([OPEN])
    before = ruleset()
    absurd = PortForward("tcp", ip_address("0.0.0.0"), 99999, ip_address("10.91.0.2"), 80, "fw0")
    with pytest.raises(FirewallError, match="tables"):
        firewall.add([ANYWHERE, absurd])
    assert ruleset() == before
