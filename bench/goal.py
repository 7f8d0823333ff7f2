"""A goal: what a bench's result is held against. A value with a verdict, and no measuring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.spread import Spread, paired_ratio
from bench.unit import Unit

OURS = "mini-docker"


class Kind(Enum):
    """How a limit is to be read."""

    FASTER = "at least so many times faster than the peer"
    WITHIN = "at most so many times what the peer takes"
    AT_MOST = "at most so much"


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal.

    Attributes:
        kind: how *limit* is read.
        limit: a ratio; for AT_MOST an amount in the bench's unit (seconds, bytes, a number).
        peer: whom the ratio is with; empty for AT_MOST.
        source: the issue that sets it.
    """

    kind: Kind
    limit: float
    peer: str = ""
    source: str = ""

    def text(self, unit: Unit) -> str:
        """The goal as a table shows it."""
        match self.kind:
            case Kind.FASTER:
                return f"≥ {self.limit:g}× faster"
            case Kind.WITHIN:
                return f"≤ {self.limit:g}× {self.peer}"
            case Kind.AT_MOST:
                return f"≤ {unit.text(self.limit)}"

    def reached(self, samples: Mapping[str, Sequence[float]]) -> bool | None:
        """Whether it was reached; None when the peer, or we, were not measured."""
        ours, theirs = samples.get(OURS), samples.get(self.peer)
        if not ours or (self.peer and not theirs):
            return None
        match self.kind:
            case Kind.FASTER:
                return paired_ratio(theirs or (), ours).median >= self.limit
            case Kind.WITHIN:
                return paired_ratio(ours, theirs or ()).median <= self.limit
            case Kind.AT_MOST:
                return Spread.of(ours).median <= self.limit


def faster(limit: float, source: str, peer: str = "dockerd") -> Goal:
    """At least *limit* times faster than *peer*."""
    return Goal(Kind.FASTER, limit, peer, source)


def within(limit: float, peer: str, source: str) -> Goal:
    """At most *limit* times what *peer* takes."""
    return Goal(Kind.WITHIN, limit, peer, source)


def at_most(limit: float, source: str) -> Goal:
    """At most *limit*, in the bench's unit."""
    return Goal(Kind.AT_MOST, limit, "", source)
