"""The contract of a bench: one thing worth knowing, as data, and the one act that is timed.

It knows nothing of how turns are taken (`runner.py`) or of how results are shown.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.goal import Goal
from bench.sitting import Sitting
from bench.unit import Unit

Curve = Sequence[tuple[float, float]]


@dataclass
class Bench(ABC):
    """One bench. A subclass says what `once` does; `prepare` and `tidy` stand around all rounds of a contender.

    Attributes:
        name: as ``--only`` takes it.
        what: one sentence: what exactly one sample is.
        contenders: who takes part, ours first; names that `Sitting` knows.
        goal: what the result is held against, if an issue sets a goal.
        rounds: samples a contender; *quick_rounds* under ``--quick``, 0 to leave the bench out of it.
        warm_up: samples that are taken and thrown away first.
        full_only: only with ``--full``, or by name.
        needs: further commands without which the bench is left out.
        alone: a contender is measured to its end before the next begins: what is measured is its growth, not time.
    """

    name: str
    what: str
    contenders: tuple[str, ...] = ("mini-docker", "dockerd")
    goal: Goal | None = None
    rounds: int = 20
    quick_rounds: int = 10
    warm_up: int = 1
    full_only: bool = False
    alone: bool = False
    needs: tuple[str, ...] = ()
    unit: Unit = Unit.SECONDS
    state: dict[str, Any] = field(default_factory=dict, repr=False)

    def prepare(self, sitting: Sitting, contender: str) -> None:  # noqa: B027  # most need nothing
        """Make what the rounds of *contender* need; not timed."""

    @abstractmethod
    def once(self, sitting: Sitting, contender: str) -> float:
        """Take one sample, in the bench's unit. What it makes, it takes away again, outside of the timed part."""

    def tidy(self, sitting: Sitting, contender: str) -> None:  # noqa: B027
        """Take away what `prepare` made."""

    def curves(self) -> Mapping[str, Curve]:
        """Growth seen on the way, by contender: (how many, seconds each)."""
        return {}
