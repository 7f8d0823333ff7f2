"""What many samples come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.spread import Spread, paired_ratio

SAMPLES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50)


@given(SAMPLES)
def test_percentiles_stand_in_order_within_the_samples(samples: list[float]) -> None:
    """Else a table would show a median outside of its own spread."""
    spread = Spread.of(samples)
    assert min(samples) <= spread.p10 <= spread.median <= spread.p90 <= max(samples)
    assert spread.count == len(samples)


def test_known_percentiles() -> None:
    """Between two ranks, linearly, as the usual definition has it."""
    assert Spread.of([5, 1, 4, 2, 3]) == Spread(3, 1.4, 4.6, 5)
    assert Spread.of([7]) == Spread(7, 7, 7, 1)


def test_no_samples_are_no_result() -> None:
    """A bench that measured nothing must not look like one that measured zero."""
    with pytest.raises(ValueError, match="no samples"):
        Spread.of([])


@given(SAMPLES, st.floats(1.1, 50))
def test_pairs_see_through_what_disturbs_both(samples: list[float], factor: float) -> None:
    """However the machine's speed wanders, a peer that always takes *factor* times as long has that ratio."""
    ratio = paired_ratio([sample * factor for sample in samples], samples)
    assert ratio.p10 == pytest.approx(factor) and ratio.p90 == pytest.approx(factor)


def test_a_pair_has_two() -> None:
    """Samples without a partner would shift all pairs after them."""
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([1.0], [1.0, 2.0])
