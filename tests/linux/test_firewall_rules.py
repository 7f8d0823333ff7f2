"""Rules as text, without root: iptables' lines run on a small model of chains, nft's texts are looked at."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.errors import Unsupported
from mini_docker.linux import iptables_rules, nft_rules
from mini_docker.linux.firewall import BridgeRules, LinkRule, NoFirewall, PortForward, Rule

ADDRESS = st.integers(1, 250).map(lambda n: IPv4Address(f"10.0.0.{n}"))
PORT = st.integers(1, 65535)
PROTOCOL = st.sampled_from(["tcp", "udp"])
FORWARDS = st.builds(
    PortForward, PROTOCOL, st.sampled_from([IPv4Address("0.0.0.0"), IPv4Address("127.0.0.1")]), PORT, ADDRESS, PORT,
    st.just("b0"),
)  # fmt: skip
LINKS = st.builds(LinkRule, st.just("b0"), ADDRESS, ADDRESS, PROTOCOL, PORT)
BRIDGES = st.builds(
    BridgeRules, st.just("b0"), st.just(IPv4Network("10.0.0.0/24")), st.booleans(), st.booleans(), st.booleans()
)
SETS = st.tuples(BRIDGES, st.lists(st.one_of(FORWARDS, LINKS), max_size=6, unique=True)).map(
    lambda parts: [parts[0], *parts[1]]
)


class Tables:
    """What iptables-restore --noflush does, on lists; what iptables-save prints."""

    def __init__(self) -> None:
        self.chains: dict[str, dict[str, list[str] | None]] = {
            "raw": {"PREROUTING": []},
            "nat": {"PREROUTING": [], "OUTPUT": [], "POSTROUTING": []},
            "filter": {"FORWARD": ["-s 192.0.2.9/32 -j DROP"]},
        }

    def restore(self, text: str) -> None:
        """Carry a text out, as strict as the kernel: unknown chains and missing rules are errors."""
        table: dict[str, list[str] | None] = {}
        for line in text.splitlines():
            if line.startswith("*"):
                table = self.chains[line[1:]]
            elif line.startswith(":"):
                table[line[1:].split()[0]] = []
            elif line != "COMMIT":
                self._command(table, *line.split(" ", 2))

    @staticmethod
    def _command(table: dict[str, list[str] | None], verb: str, chain: str, rule: str = "") -> None:
        rules = table[chain]
        assert rules is not None
        target = rule.rpartition("-j ")[2].split(" ")[0]
        assert not target.startswith("MD-") or target in table, f"{target} does not exist"
        if verb == "-A":
            rules.append(rule)
        elif verb == "-I":
            rules.insert(0, rule)
        elif verb == "-D":
            rules.remove(rule)
        elif verb == "-F":
            rules.clear()
        elif verb == "-X":
            assert not rules, f"{chain} is not empty"
            assert not any(f"-j {chain}" in each for other in table.values() for each in other or ()), "still in use"
            del table[chain]
        else:
            raise AssertionError(verb)

    def save(self) -> str:
        """As iptables-save prints."""
        lines = []
        for table, chains in self.chains.items():
            lines += [f"*{table}", *(f":{chain} - [0:0]" for chain in chains)]
            lines += [f"-A {chain} {rule}" for chain, rules in chains.items() for rule in rules or ()]
            lines.append("COMMIT")
        return "\n".join(lines)


@settings(max_examples=60)
@given(SETS)
def test_iptables_delete_undoes_add(rules: list[Rule]) -> None:
    """Add then delete is identity, whatever the rules; and what was added is found."""
    tables = Tables()
    tables.restore(iptables_rules.install("t", [], tables.save()))
    before = tables.save()
    tables.restore(iptables_rules.add("t", rules))
    assert iptables_rules.missing("t", rules, tables.save()) == ()
    tables.restore(iptables_rules.delete("t", rules))
    assert tables.save() == before
    assert iptables_rules.missing("t", rules, before) == tuple(rules)


@settings(max_examples=60)
@given(SETS, SETS)
def test_iptables_install_replaces_and_remove_takes_all(first: list[Rule], second: list[Rule]) -> None:
    """Whatever stood, the same stands after `install`; and nothing of ours after `remove`, but what is another's."""
    fresh, used, untouched = Tables(), Tables(), Tables().save()
    fresh.restore(iptables_rules.install("t", second, fresh.save()))
    used.restore(iptables_rules.install("other", first, used.save()))
    others = used.save()
    used.restore(iptables_rules.install("t", first, used.save()))
    used.restore(iptables_rules.install("t", second, used.save()))
    assert iptables_rules.show("t", used.save()) == iptables_rules.show("t", fresh.save())
    used.restore(iptables_rules.remove("t", used.save()))
    assert used.save() == others
    fresh.restore(iptables_rules.remove("t", fresh.save()))
    assert fresh.save() == untouched


@given(SETS)
def test_nft_texts_speak_of_their_own_table_only(rules: list[Rule]) -> None:
    """Every command names the instance's table: nothing else can be touched."""
    texts = [nft_rules.install("mine", rules), nft_rules.add("mine", rules), nft_rules.delete("mine", rules)]
    for line in "\n".join(texts).splitlines():
        assert line.split()[2:4] == ["ip", "mine"]


@given(FORWARDS)
def test_a_published_port_is_one_element_of_a_map(forward: PortForward) -> None:
    """One command to add, one to delete: the cost is flat with the number of ports."""
    (added,) = nft_rules.add("t", [forward]).splitlines()
    (deleted,) = nft_rules.delete("t", [forward]).splitlines()
    assert added.startswith("add element ip t published")
    assert deleted.startswith("delete element ip t published")


def test_ipv6_is_refused_until_it_is_written() -> None:
    """Rather than half a protection."""
    rule = BridgeRules("b0", ip_network("fd00::/64"))
    for add in (nft_rules.add, iptables_rules.add):
        with pytest.raises(Unsupported, match="IPv6"):
            add("t", [rule])


def test_without_a_firewall_nothing_stands_and_nothing_is_missing() -> None:
    """--iptables=false: nobody puts rules back that were never written; published ports are the proxies' affair."""
    firewall = NoFirewall()
    rules = [BridgeRules("b0", ip_network("10.0.0.0/24"))]
    firewall.install(rules)
    firewall.add([PortForward("tcp", ip_address("0.0.0.0"), 8080, ip_address("10.0.0.2"), 80, "b0")])
    assert firewall.missing(rules) == ()
    assert firewall.show() == ""


def test_127_0_0_1_can_be_left_to_a_proxy() -> None:
    """Where the kernel cannot lead packets from there to a bridge, the host's own packets for it stay as they are."""
    assert "output ip daddr 127.0.0.0/8 return" in nft_rules.install("t", [], loopback=False)
    assert "output ip daddr 127.0.0.0/8" not in nft_rules.install("t", [])
    assert "-I OUTPUT ! -d 127.0.0.0/8 " in iptables_rules.install("t", [], "", loopback=False)
    assert "-I OUTPUT ! -d 127.0.0.0/8 " not in iptables_rules.install("t", [], "")
