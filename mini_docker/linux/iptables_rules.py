"""Firewall rules in the words of iptables-restore(8): pure text, one transaction for each table.

The same policy as nft_rules.py, written as the lists of classic Docker: chains of our own, entered by
one jump from each built-in chain; one chain for each bridge; one rule for each published port, which
every packet to the host then walks past. ``*-FORWARD`` accepts what leaves a bridge, because other
tools like to set the policy of FORWARD to DROP.

It knows nothing of how the text reaches the kernel (iptables.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mini_docker.errors import Unsupported
from mini_docker.linux.firewall import BridgeRules, LinkRule, PortForward, Rule

Line = tuple[str, str]
"""A table (raw, nat, filter) and a command in it: ``-A CHAIN …``, or ``:CHAIN - [0:0]`` for a new, empty chain."""

TABLES = ("raw", "nat", "filter")


def prefix(tag: str) -> str:
    """What all chains of an instance begin with."""
    return f"MD-{tag}-"


def install(tag: str, rules: Sequence[Rule], saved: str, loopback: bool = True) -> str:
    """Replace all that stands under the tag.

    Args:
        saved: what iptables-save prints now.
        loopback: whether the host's own packets for 127.0.0.0/8 are led to published ports, too.
    """
    return _restore([*_removal(tag, saved), *_base(tag, loopback), *_each(tag, rules)])


def add(tag: str, rules: Sequence[Rule]) -> str:
    """Add rules to a base that `install` made."""
    return _restore(_each(tag, rules))


def delete(tag: str, rules: Sequence[Rule]) -> str:
    """Take rules away: each line's inverse, the last first."""
    return _restore(_inverse(_each(tag, rules)))


def commands(text: str) -> tuple[str, ...]:
    """A text for iptables-restore as what iptables(8) takes, a command each."""
    told, table = [], ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line != "COMMIT":
            told.append(f"-t {table} " + (f"-N {line[1:].split()[0]}" if line.startswith(":") else line))
    return tuple(told)


def remove(tag: str, saved: str) -> str:
    """Take away all that stands under the tag, as iptables-save shows it."""
    return _restore(_removal(tag, saved))


def missing(tag: str, rules: Sequence[Rule], saved: str, loopback: bool = True) -> tuple[Rule, ...]:
    """Which rules cannot be found in what iptables-save prints; all of them if the base is not whole."""
    standing = {_without_counters(line) for line in saved.splitlines()}

    def stands(lines: Iterable[Line]) -> bool:
        return standing.issuperset(_as_saved(command) for _, command in lines)

    whole = stands(_base(tag, loopback))
    return tuple(rule for rule in rules if not whole or not stands(_lines(tag, rule)))


def show(tag: str, saved: str) -> str:
    """The lines of iptables-save that are ours."""
    return "\n".join(line for line in saved.splitlines() if prefix(tag) in line)


def _base(tag: str, loopback: bool) -> list[Line]:
    p = prefix(tag)
    local = f"-m addrtype --dst-type LOCAL -j {p}PORTS"
    return [
        ("raw", f":{p}RAW - [0:0]"),
        ("raw", f"-I PREROUTING -j {p}RAW"),
        ("nat", f":{p}PORTS - [0:0]"),
        ("nat", f":{p}POST - [0:0]"),
        # Not for 127.0.0.0/8: what comes for it from a wire must not be led to a container.
        ("nat", f"-I PREROUTING ! -d 127.0.0.0/8 {local}"),
        ("nat", f"-I OUTPUT {'' if loopback else '! -d 127.0.0.0/8 '}{local}"),
        ("nat", f"-I POSTROUTING -j {p}POST"),
        ("filter", f":{p}FORWARD - [0:0]"),
        ("filter", f":{p}IN - [0:0]"),
        ("filter", f":{p}OUT - [0:0]"),
        ("filter", f"-I FORWARD -j {p}FORWARD"),
        # What no bridge may take is decided before what a bridge may send.
        ("filter", f"-A {p}FORWARD -j {p}IN"),
        ("filter", f"-A {p}FORWARD -j {p}OUT"),
    ]


def _each(tag: str, rules: Sequence[Rule]) -> list[Line]:
    return [line for rule in rules for line in _lines(tag, rule)]


def _lines(tag: str, rule: Rule) -> list[Line]:
    if rule.version != 4:
        raise Unsupported(f"firewall rules for IPv6 are not written yet: {rule}")
    p = prefix(tag)
    match rule:
        case BridgeRules():
            return _bridge_lines(p, rule)
        case PortForward(protocol=protocol, host_port=host_port):
            only = "" if rule.host_address.is_unspecified else f" -d {rule.host_address}/32"
            port = f"-p {protocol} -m {protocol} --dport {host_port}"
            return [("nat", f"-A {p}PORTS{only} {port} -j DNAT --to-destination {rule.address}:{rule.port}")]
        case LinkRule(protocol=protocol):
            ends = f"-s {rule.source}/32 -d {rule.destination}/32"
            port = f"-p {protocol} -m {protocol} --dport {rule.port}"
            # At the head: before the word on icc.
            return [("filter", f"-I {p}{rule.bridge} {ends} {port} -j ACCEPT")]


def _bridge_lines(p: str, rule: BridgeRules) -> list[Line]:
    bridge, subnet, chain = rule.bridge, rule.subnet, f"{p}{rule.bridge}"
    lines = [
        ("raw", f"-A {p}RAW -d 127.0.0.0/8 -i {bridge} -j DROP"),
        ("filter", f":{chain} - [0:0]"),
        ("filter", f"-A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
    ]
    if not rule.internal:
        lines.append(("filter", f"-A {chain} -m conntrack --ctstate DNAT -j ACCEPT"))
    lines += [
        ("filter", f"-A {chain} -i {bridge} -j {'ACCEPT' if rule.icc else 'DROP'}"),
        ("filter", f"-A {chain} -j DROP"),
    ]
    if rule.internal:
        # At the head: what leaves an internal bridge is dropped wherever it wants to go.
        lines.append(("filter", f"-I {p}IN -i {bridge} ! -o {bridge} -j DROP"))
    lines.append(("filter", f"-A {p}IN -o {bridge} -j {chain}"))
    if not rule.internal:
        lines.append(("filter", f"-A {p}OUT -i {bridge} -j ACCEPT"))
        if rule.masquerade:
            lines.append(("nat", f"-A {p}POST -s {subnet} ! -o {bridge} -j MASQUERADE"))
    return [
        *lines,
        ("nat", f"-A {p}POST -s {subnet} -o {bridge} -m conntrack --ctstate DNAT -j MASQUERADE"),
        ("nat", f"-A {p}POST -s 127.0.0.0/8 -o {bridge} -j MASQUERADE"),
    ]


def _inverse(lines: Sequence[Line]) -> list[Line]:
    """The lines that undo these, in the opposite order. A chain is emptied, then removed."""
    undone: list[Line] = []
    for table, command in reversed(lines):
        if command.startswith(":"):
            chain = command[1:].split()[0]
            undone += [(table, f"-F {chain}"), (table, f"-X {chain}")]
        else:
            undone.append((table, "-D " + command.split(" ", 1)[1]))
    return undone


def _removal(tag: str, saved: str) -> list[Line]:
    """First every jump from a built-in chain into ours, then the rules in ours, then the chains."""
    p, table = prefix(tag), ""
    jumps: list[Line] = []
    chains: list[Line] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(f":{p}"):
            chains.append((table, line[1:].split()[0]))
        elif f" -j {p}" in line and not line.startswith(f"-A {p}"):
            jumps.append((table, "-D " + line.removeprefix("-A ")))
    flushed = [(table, f"-F {chain}") for table, chain in chains]
    return jumps + flushed + [(table, f"-X {chain}") for table, chain in chains]


def _restore(lines: Sequence[Line]) -> str:
    """The text for ``iptables-restore --noflush``: the lines by table, in their order."""
    text = ""
    for table in TABLES:
        commands = [command for name, command in lines if name == table]
        if commands:
            text += "\n".join([f"*{table}", *commands, "COMMIT", ""])
    return text


def _as_saved(command: str) -> str:
    """How iptables-save shows what this command made."""
    return command.replace("-I ", "-A ", 1).removesuffix(" [0:0]")


def _without_counters(line: str) -> str:
    return re.sub(r"^\[\d+:\d+\] ", "", re.sub(r" \[\d+:\d+\]$", "", line))
