"""A result: what one bench came to, as data. What stands in the table, the JSON and the picture comes from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.goal import OURS, Goal
from bench.spread import Spread, paired_ratio
from bench.unit import Unit


@dataclass(frozen=True, slots=True)
class Result:
    """What one bench came to.

    Attributes:
        samples: by contender, in the order of the rounds; sample k of all contenders was taken in one round.
        absent: contenders that could not take part → why.
        curves: by contender, pairs (how many, seconds each).
    """

    name: str
    what: str
    unit: Unit
    goal: Goal | None
    samples: Mapping[str, Sequence[float]]
    absent: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)

    def spread(self, contender: str) -> Spread | None:
        """What the contender's samples come to; None when it did not take part."""
        samples = self.samples.get(contender)
        return Spread.of(samples) if samples else None

    def ratio(self, peer: str) -> Spread | None:
        """Peer over ours, in pairs: how many times as fast (or small) we are.

        None without both, when one is not above 0, and when the samples are ratios themselves.
        """
        ours, theirs = self.samples.get(OURS), self.samples.get(peer)
        if self.unit is Unit.RATIO or peer == OURS or not ours or not theirs or min(*ours, *theirs) <= 0:
            return None
        return paired_ratio(theirs, ours)

    @property
    def peers(self) -> list[str]:
        """Who was measured beside us."""
        return [name for name in self.samples if name != OURS]

    @property
    def reached(self) -> bool | None:
        """Whether the goal was reached; None when there is none, or it could not be judged."""
        return self.goal.reached(self.samples) if self.goal else None

    def to_json(self) -> dict[str, Any]:
        """All of it, samples included."""
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit.value,
            "goal": None if self.goal is None else {
                "text": self.goal.text(self.unit), "kind": self.goal.kind.name.lower(), "limit": self.goal.limit,
                "peer": self.goal.peer, "source": self.goal.source, "reached": self.reached,
            },
            "contenders": {
                name: {**_spread_json(Spread.of(samples)), "samples": list(samples)}
                for name, samples in self.samples.items()
            },
            "ratios": {peer: _spread_json(ratio) for peer in self.peers if (ratio := self.ratio(peer)) is not None},
            "absent": dict(self.absent),
            "curves": {name: [list(point) for point in curve] for name, curve in self.curves.items()},
        }  # fmt: skip


def _spread_json(spread: Spread) -> dict[str, float]:
    return {"median": spread.median, "p10": spread.p10, "p90": spread.p90, "count": spread.count}
