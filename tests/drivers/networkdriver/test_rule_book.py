"""The rule book: what is posted is what is written, whatever happens to the copy."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.drivers.networkdriver.rule_book import RuleBook
from mini_docker.linux.firewall import BridgeRules, FirewallError, LinkRule, PortForward, RecordingFirewall, Rule

RULES: list[Rule] = [
    BridgeRules("b0", ip_network("10.0.0.0/24")),
    PortForward("tcp", ip_address("0.0.0.0"), 80, ip_address("10.0.0.2"), 80, "b0"),
    PortForward("udp", ip_address("127.0.0.1"), 53, ip_address("10.0.0.2"), 53, "b0"),
    LinkRule("b0", ip_address("10.0.0.2"), ip_address("10.0.0.3"), "tcp", 5432),
]
CHANGES = st.lists(st.tuples(st.sampled_from(["add", "delete", "flush", "mend"]), st.sampled_from(RULES)), max_size=20)


@settings(max_examples=60)
@given(CHANGES)
def test_the_copy_is_the_book(changes: list[tuple[str, Rule]]) -> None:
    """After any changes and flushes from outside, one look makes both the same."""
    firewall, model = RecordingFirewall(), []
    book = RuleBook(firewall)
    book.post()
    for action, rule in changes:
        if action == "add":
            book.add(rule)
            model += [rule] if rule not in model else []
        elif action == "delete":
            book.delete(rule)
            model = [other for other in model if other != rule]
        elif action == "flush":
            firewall.standing = []
        else:
            book.mend()
            assert set(firewall.standing) == set(model)
    assert list(book.rules()) == model
    book.mend()
    assert set(firewall.standing) == set(model)


def test_nothing_is_posted_before_the_first_post() -> None:
    """A new daemon writes down all that shall hold while the last one's copy still works; then all at once."""
    firewall = RecordingFirewall()
    firewall.standing = list(RULES)
    book = RuleBook(firewall)
    book.add(RULES[0], RULES[1])
    book.delete(RULES[1])
    assert not book.mend()
    assert firewall.calls == []
    book.post()
    book.post()
    assert firewall.calls == [("install", (RULES[0],))]


def test_a_refused_rule_is_not_in_the_book() -> None:
    """Or it would be tried again with everybody else's, for ever."""
    firewall = RecordingFirewall()
    book = RuleBook(firewall)
    book.add(RULES[0])
    book.post()
    firewall.refuse = {"LinkRule"}
    with pytest.raises(FirewallError):
        book.add(RULES[1], RULES[3])
    assert book.rules() == (RULES[0],)


def test_closing_takes_all_down() -> None:
    """And it may be posted anew."""
    firewall = RecordingFirewall()
    book = RuleBook(firewall)
    book.add(*RULES)
    book.post()
    book.close()
    assert firewall.standing == []
    assert book.rules() == ()
