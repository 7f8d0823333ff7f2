"""A spread: what many samples of one thing come to. Pure.

The median stands for them, since a shared machine's stragglers would pull a mean; the tenth and the ninetieth
percentile say how far the rest lies from it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 10th and 90th percentile of *count* samples, in their unit."""

    median: float
    p10: float
    p90: float
    count: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """The spread of *samples*.

        Raises:
            ValueError: there are none.
        """
        if not samples:
            raise ValueError("no samples: nothing was measured")
        ordered = sorted(samples)
        return cls(statistics.median(ordered), _quantile(ordered, 0.1), _quantile(ordered, 0.9), len(ordered))


def paired_ratio(upper: Sequence[float], lower: Sequence[float]) -> Spread:
    """The spread of upper/lower, sample by sample.

    Samples of one pair were taken right after one another, so what disturbed the machine in between disturbed both:
    the ratios of pairs vary less than the ratio of two medians.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    return Spread.of([above / below for above, below in zip(upper, lower, strict=True)])


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest ranks, linearly."""
    place = (len(ordered) - 1) * share
    rank = int(place)
    after = ordered[min(rank + 1, len(ordered) - 1)]
    return ordered[rank] + (after - ordered[rank]) * (place - rank)
