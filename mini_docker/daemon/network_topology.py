"""The network's topology: a map of who hangs on which wire. Values from the drivers' facts, and two ways to draw them.

A segment is a network, a guest a container's place on it. Pure; where facts and names come from is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mini_docker.daemon.network_record import NetworkRecord
from mini_docker.dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guest:
    """A container on a network.

    Attributes:
        name: the container's; the endpoint's id where no container is known to have it.
        interface: what the cable's end inside is called; *cable*: the end on the host. Empty without one.
        published: ``0.0.0.0:8080->80/tcp``, a port each.
    """

    name: str
    address: str = ""
    interface: str = ""
    cable: str = ""
    published: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """One network.

    Attributes:
        bridge: the host's switch; empty where there is none.
        pools: ``subnet, gateway ADDRESS``, one each.
        traits: what is unusual: ``internal``, ``icc off``, ``not made``.
        guests: who is on it, by name.
    """

    name: str
    driver: str
    bridge: str = ""
    pools: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    guests: tuple[Guest, ...] = ()

    @property
    def leads_out(self) -> bool:
        """Whether packets find a way to elsewhere through the bridge."""
        return bool(self.bridge) and "internal" not in self.traits


@dataclass(frozen=True, slots=True)
class Topology:
    """All networks, and the rules between them: the packet filter's form → its own words, with packet counters."""

    segments: tuple[Segment, ...]
    rules: Mapping[str, str]


def topology(networks: Iterable[tuple[NetworkRecord, Mapping[str, Any] | None]], names: Mapping[str, str]) -> Topology:
    """The map.

    Args:
        networks: each with what its driver says of it (`NetworkDriver.describe`); None where it could not be made.
        names: endpoint's id → container's name.
    """
    segments, rules = [], {}
    for record, facts in networks:
        segments.append(_segment(record, facts, names))
        firewall = (facts or {}).get("firewall")
        if firewall and firewall["rules"]:
            rules[str(firewall["form"])] = str(firewall["rules"])
    return Topology(tuple(segments), rules)


def _segment(record: NetworkRecord, facts: Mapping[str, Any] | None, names: Mapping[str, str]) -> Segment:
    name = record.config.name
    if facts is None:
        return Segment(name, record.driver, traits=("not made",))
    guests = [
        Guest(
            names.get(endpoint, endpoint),
            held.get("address", ""),
            held.get("interface", ""),
            held.get("host_interface", ""),
            tuple(held.get("published", ())),
        )
        for endpoint, held in facts["endpoints"].items()
    ]
    traits = {
        "internal": facts.get("internal"),
        "icc off": not facts.get("icc", True),
        "no masquerade": not facts.get("masquerade", True),
    }
    return Segment(
        name,
        record.driver,
        facts.get("bridge", ""),
        tuple(f"{pool['subnet']}, gateway {pool['gateway']}" for pool in facts.get("pools", ())),
        tuple(word for word, holds in traits.items() if holds),
        tuple(sorted(guests, key=lambda guest: guest.name)),
    )


def draw_text(drawn: Topology) -> str:
    """For a terminal: a network a paragraph, its containers below it, and the rules at the end."""
    return "".join(f"{line}\n" for line in _text_lines(drawn))


def _text_lines(drawn: Topology) -> Iterator[str]:
    for segment in drawn.segments:
        bridge = f", bridge {segment.bridge}" if segment.bridge else ""
        traits = f" ({', '.join(segment.traits)})" if segment.traits else ""
        yield f"{segment.name}: {segment.driver}{bridge}{traits}"
        yield from (f"│ {pool}" for pool in segment.pools)
        for number, guest in enumerate(segment.guests, start=1):
            is_last = number == len(segment.guests)
            cable = f" ── {guest.cable}" if guest.cable else ""
            place = " ".join(filter(None, (guest.name, guest.interface, guest.address)))
            yield f"{'└─' if is_last else '├─'} {place}{cable}"
            yield from (f"{' ' if is_last else '│'}    {port}" for port in guest.published)
    for form, text in drawn.rules.items():
        yield from ("", f"rules ({form}):", *text.rstrip("\n").splitlines())


def draw_graphviz(drawn: Topology) -> str:
    """For Graphviz, in the DOT language: the outside, a box a network, an ellipse a container, a line a cable.

    A container on several networks is one ellipse; published ports are arrows from outside.
    """
    nodes = {' outside [shape=plaintext,label="outside"];': None}
    edges = []
    for segment in drawn.segments:
        wire = _quoted(f"network {segment.name}")
        label = "\\n".join(map(_escaped, filter(None, (segment.name, segment.bridge, *segment.pools, *segment.traits))))
        nodes[f' {wire} [shape=box,style=filled,fillcolor="paleturquoise",label="{label}"];'] = None
        if segment.leads_out:
            edges.append(f" outside -> {wire} [dir=both];")
        for guest in segment.guests:
            container = _quoted(f"container {guest.name}")
            nodes[f" {container} [label={_quoted(guest.name)}];"] = None
            words = "\\n".join(map(_escaped, filter(None, (guest.interface, guest.address, guest.cable))))
            edges.append(f' {wire} -> {container} [dir=none,label="{words}"];')
            edges += [f" outside -> {container} [style=dashed,label={_quoted(port)}];" for port in guest.published]
    return "\n".join(["digraph network {", *nodes, *edges, "}"]) + "\n"


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
