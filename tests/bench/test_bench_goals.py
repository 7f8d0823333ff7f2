"""Goals as data, and their verdicts."""

from __future__ import annotations

import pytest

from bench.benches.catalogue import NoSuchBench, catalogue, choose
from bench.goal import at_most, faster, within
from bench.unit import Unit


def test_faster_wants_the_peer_to_take_longer() -> None:
    """The ratio is peer over ours."""
    goal = faster(20, "issue 4")
    assert goal.reached({"mini-docker": [0.01, 0.01], "dockerd": [0.2, 0.21]}) is True
    assert goal.reached({"mini-docker": [0.01, 0.01], "dockerd": [0.1, 0.1]}) is False


def test_within_wants_us_to_take_little_longer() -> None:
    """The ratio is ours over peer."""
    goal = within(1.2, "crun", "issue 4")
    assert goal.reached({"mini-docker": [1.1], "crun": [1.0]}) is True
    assert goal.reached({"mini-docker": [1.3], "crun": [1.0]}) is False


def test_at_most_needs_no_peer() -> None:
    """An amount is held against the limit itself; the limit is still good."""
    assert at_most(45e6, "issue 4").reached({"mini-docker": [45e6]}) is True
    assert at_most(0, "issue 4").reached({"mini-docker": [1.0]}) is False


def test_without_the_peer_there_is_no_verdict() -> None:
    """A goal that nobody could judge is neither reached nor missed."""
    assert faster(20, "issue 4").reached({"mini-docker": [1.0]}) is None
    assert within(1.2, "crun", "issue 4").reached({"crun": [1.0]}) is None


def test_goals_are_written_in_their_units() -> None:
    """The table shows them beside the numbers that they are held against."""
    assert at_most(45e6, "").text(Unit.BYTES) == "≤ 45.0 MB"
    assert at_most(0.003, "").text(Unit.SECONDS) == "≤ 3.00 ms"
    assert within(1.2, "crun", "").text(Unit.SECONDS) == "≤ 1.2× crun"
    assert faster(2.5, "").text(Unit.SECONDS) == "≥ 2.5× faster"


def test_names_in_the_catalogue_are_unique_and_ours_is_measured() -> None:
    """``--only`` must mean one bench, and a bench without us compares others."""
    benches = catalogue()
    names = [bench.name for bench in benches]
    assert len(names) == len(set(names))
    for bench in benches:
        assert bench.contenders[0] == "mini-docker"
        assert bench.goal is None or bench.goal.peer in ("", *bench.contenders)


def test_full_and_quick_choose() -> None:
    """Curves only with ``--full``; ``--only`` wins over both."""
    benches = catalogue()
    usual = {bench.name for bench in choose(benches, (), quick=False, full=False)}
    assert "ports-500" not in usual
    assert "ports-500" in {bench.name for bench in choose(benches, (), quick=False, full=True)}
    assert [bench.name for bench in choose(benches, ("ports-500",), quick=True, full=False)] == ["ports-500"]
    assert {bench.name for bench in choose(benches, ("api-*",), False, False)} == {"api-none", "api-bridge", "api-host"}


def test_an_unknown_name_is_said() -> None:
    """Silently measuring nothing would look like a pass."""
    with pytest.raises(NoSuchBench, match="'api-nonne'"):
        choose(catalogue(), ("api-nonne",), False, False)
