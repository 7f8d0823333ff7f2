"""Firewall rules in the words of nft(8): pure text, one command a line, one transaction a text.

The base is fixed: a few hooks that look a packet up in maps. A network adds two or three small chains
and an element to each map; a published port is one element of a map, so that the five-hundredth costs
what the first did, for the one who adds it and for each packet.

    prerouting   published? ─▶ new destination        (from outside, and from a bridge back to the host)
    output       published? ─▶ new destination        (from the host itself, 127.0.0.1 included)
    forward      leaving an internal bridge? ─▶ drop;  into a bridge? ─▶ its chain decides
    postrouting  from a bridge's subnet? ─▶ its chain decides on the source address

It knows nothing of how commands reach the kernel (nftables.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from mini_docker.errors import Unsupported
from mini_docker.linux.firewall import BridgeRules, LinkRule, PortForward, Rule

_COUNTER = re.compile(r" counter packets \d+ bytes \d+")
_BASE_MARKS = {
    "vmap @leaving": 1,
    "vmap @arriving": 1,
    "vmap @sources": 1,
    "map @published\n": 2,
    "map @published_at\n": 2,
}
"""What the base's rules look like in a listing, and how many of each there are."""


def install(table: str, rules: Sequence[Rule], loopback: bool = True) -> str:
    """Replace the whole table. The kernel swaps it in one step: no packet sees the time between.

    Args:
        loopback: whether the host's own packets for 127.0.0.0/8 are led to published ports, too.
    """
    # Deleting what is not there is an error, so the table is made first.
    fresh = [f"add table ip {table}", f"delete table ip {table}", f"add table ip {table}"]
    # Within one transaction nft puts the elements of an interval map where the map is made: the chains
    # that they jump to must be there by then.
    chains = [f"add chain ip {table} nat_{rule.bridge}" for rule in rules if isinstance(rule, BridgeRules)]
    return "\n".join([*fresh, *chains, *_base(table, loopback), *_each(_add, table, rules)])


def add(table: str, rules: Sequence[Rule]) -> str:
    """Add rules to a table that `install` made."""
    return "\n".join(_each(_add, table, rules))


def delete(table: str, rules: Sequence[Rule]) -> str:
    """Take rules away, the last first: what was built on others goes before them."""
    return "\n".join(_each(_delete, table, reversed(rules)))


def remove(table: str) -> str:
    """Take the whole table away, whether it is there or not."""
    return f"add table ip {table}\ndelete table ip {table}"


def missing(table_text: str, rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Which rules cannot be found in the text of ``nft list table``; all of them if the base is not whole."""
    if any(table_text.count(word) < count for word, count in _BASE_MARKS.items()):
        return tuple(rules)
    pieces = {piece.strip() for piece in re.split(r"[,{}\n]", _COUNTER.sub("", table_text))}
    return tuple(rule for rule in rules if not pieces.issuperset(_pieces(rule)))


def _pieces(rule: Rule) -> set[str]:
    match rule:
        case BridgeRules(bridge=bridge):
            return {f"chain {name}" for name in _chain_names(rule)} | {f'"{bridge}" : jump to_{bridge}'}
        case PortForward():
            return {f"{_key(rule)} : {rule.address} . {rule.port}"}
        case LinkRule():
            return {_link(rule)}


def _base(table: str, loopback: bool) -> list[str]:
    t = f"ip {table}"
    port = "inet_proto . inet_service"
    published = "dnat to ip daddr . meta l4proto . th dport map @published_at"
    published_anywhere = "fib daddr type local dnat to meta l4proto . th dport map @published"
    return [
        f"add set {t} bridges {{ type ifname; }}",
        f"add map {t} published {{ type {port} : ipv4_addr . inet_service; counter; }}",
        f"add map {t} published_at {{ type ipv4_addr . {port} : ipv4_addr . inet_service; counter; }}",
        f"add set {t} links {{ type ipv4_addr . ipv4_addr . {port}; counter; }}",
        f"add map {t} leaving {{ type ifname : verdict; }}",
        f"add map {t} arriving {{ type ifname : verdict; }}",
        f"add map {t} sources {{ type ipv4_addr : verdict; flags interval; }}",
        # A bridge takes packets for 127.0.0.0/8 (route_localnet), as answers to the host's own connections
        # need it. A container must not send such packets by itself; this is before answers get their old
        # destination back, so those pass.
        f"add chain {t} unspoofed {{ type filter hook prerouting priority raw; }}",
        f"add rule {t} unspoofed iifname @bridges ip daddr 127.0.0.0/8 counter drop",
        f"add chain {t} prerouting {{ type nat hook prerouting priority dstnat; }}",
        # Rewriting comes before the kernel asks whether a packet for 127.0.0.1 may come from a wire: without
        # this line a neighbour could reach ports that are published on 127.0.0.1 only.
        f"add rule {t} prerouting ip daddr 127.0.0.0/8 return",
        f"add rule {t} prerouting {published}",
        f"add rule {t} prerouting {published_anywhere}",
        f"add chain {t} output {{ type nat hook output priority -100; }}",
        *([] if loopback else [f"add rule {t} output ip daddr 127.0.0.0/8 return"]),
        f"add rule {t} output {published}",
        f"add rule {t} output {published_anywhere}",
        f"add chain {t} forward {{ type filter hook forward priority filter; }}",
        f"add rule {t} forward iifname vmap @leaving",
        f"add rule {t} forward oifname vmap @arriving",
        f"add chain {t} postrouting {{ type nat hook postrouting priority srcnat; }}",
        f"add rule {t} postrouting ip saddr vmap @sources",
        # From 127.0.0.1 through a published port: nobody behind the bridge could answer to that address.
        f"add rule {t} postrouting ip saddr 127.0.0.0/8 oifname @bridges counter masquerade",
    ]


def _add(table: str, rule: Rule) -> list[str]:
    t = f"ip {table}"
    match rule:
        case BridgeRules():
            return [*_chains(t, rule), *(f"add element {t} {element}" for element in _elements(rule))]
        case PortForward():
            return [f"add element {t} {_map(rule)} {{ {_key(rule)} : {rule.address} . {rule.port} }}"]
        case LinkRule():
            return [f"add element {t} links {{ {_link(rule)} }}"]


def _delete(table: str, rule: Rule) -> list[str]:
    t = f"ip {table}"
    match rule:
        case BridgeRules():
            return [
                *(f"delete element {t} {element}" for element in _elements(rule)),
                *(f"delete chain {t} {name}" for name in _chain_names(rule)),
            ]
        case PortForward():
            return [f"delete element {t} {_map(rule)} {{ {_key(rule)} }}"]
        case LinkRule():
            return [f"delete element {t} links {{ {_link(rule)} }}"]


def _chain_names(rule: BridgeRules) -> list[str]:
    return [f"to_{rule.bridge}", f"nat_{rule.bridge}"] + ([f"from_{rule.bridge}"] if rule.internal else [])


def _chains(t: str, rule: BridgeRules) -> list[str]:
    """The chains of one bridge. Adding and flushing first makes a second time the same as the first."""
    bridge, to, nat = f'"{rule.bridge}"', f"to_{rule.bridge}", f"nat_{rule.bridge}"
    lines = [f"{verb} chain {t} {name}" for name in _chain_names(rule) for verb in ("add", "flush")]
    lines += [f"add rule {t} {to} ct state established,related accept"]
    if not rule.internal:
        # Before the word on icc: a published port is reachable from everywhere, also from this bridge.
        lines += [f"add rule {t} {to} ct status dnat counter accept"]
    if not rule.icc:
        lines += [f"add rule {t} {to} iifname {bridge} ip saddr . ip daddr . meta l4proto . th dport @links accept"]
    lines += [f"add rule {t} {to} iifname {bridge} counter {'accept' if rule.icc else 'drop'}"]
    lines += [f"add rule {t} {to} counter drop"]
    if rule.internal:
        lines += [f"add rule {t} from_{rule.bridge} oifname != {bridge} counter drop"]
    elif rule.masquerade:
        lines += [f"add rule {t} {nat} oifname != {bridge} counter masquerade"]
    # Hairpin: from this bridge through a published port back into it. The answer must come back this way,
    # or the asker would see it come from somebody whom it never spoke to.
    lines += [f"add rule {t} {nat} oifname {bridge} ct status dnat counter masquerade"]
    return lines


def _elements(rule: BridgeRules) -> list[str]:
    elements = [
        f'bridges {{ "{rule.bridge}" }}',
        f'arriving {{ "{rule.bridge}" : jump to_{rule.bridge} }}',
        f"sources {{ {rule.subnet} : jump nat_{rule.bridge} }}",
    ]
    return elements + ([f'leaving {{ "{rule.bridge}" : jump from_{rule.bridge} }}'] if rule.internal else [])


def _map(rule: PortForward) -> str:
    return "published" if rule.host_address.is_unspecified else "published_at"


def _key(rule: PortForward) -> str:
    port = f"{rule.protocol} . {rule.host_port}"
    return port if rule.host_address.is_unspecified else f"{rule.host_address} . {port}"


def _link(rule: LinkRule) -> str:
    return f"{rule.source} . {rule.destination} . {rule.protocol} . {rule.port}"


def _each(words: Callable[[str, Rule], list[str]], table: str, rules: Iterable[Rule]) -> Iterator[str]:
    for rule in rules:
        if rule.version != 4:
            raise Unsupported(f"firewall rules for IPv6 are not written yet: {rule}")
        yield from words(table, rule)
