"""How contenders take turns, without any daemon."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.contract import Bench
from bench.runner import run, turns
from bench.sitting import Sitting


@dataclass
class Told(Bench):
    """A bench that writes down what it is asked to do."""

    story: list[str] = field(default_factory=list)
    unready: str = ""

    def prepare(self, sitting: Sitting, contender: str) -> None:
        self.story.append(f"prepare {contender}")
        if contender == self.unready:
            raise RuntimeError("no such kernel")

    def once(self, sitting: Sitting, contender: str) -> float:
        self.story.append(contender)
        return float(len(self.story))

    def tidy(self, sitting: Sitting, contender: str) -> None:
        self.story.append(f"tidy {contender}")


@pytest.fixture
def sitting(tmp_path: Path) -> Sitting:
    return Sitting(tmp_path, quick=False)


def test_neighbours_are_pairs_and_nobody_is_always_second() -> None:
    """A B, B A: what the one leaves behind in caches does not always help the same other."""
    assert turns(["a", "b"], 3) == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]


def test_the_warm_up_is_thrown_away(sitting: Sitting) -> None:
    """The first run of anything pays for what later ones find ready."""
    bench = Told("told", "", ("mini-docker", "other"), rounds=2, warm_up=1)
    result = run(bench, sitting, lambda line: None)
    assert {name: len(samples) for name, samples in result.samples.items()} == {"mini-docker": 2, "other": 2}
    assert bench.story.count("mini-docker") == 3


def test_a_peer_that_is_not_ready_is_absent_with_its_reason(sitting: Sitting) -> None:
    """The others are measured all the same; what it began is tidied."""
    bench = Told("told", "", ("mini-docker", "other"), rounds=2, unready="other")
    said: list[str] = []
    result = run(bench, sitting, said.append)
    assert list(result.samples) == ["mini-docker"]
    assert result.absent == {"other": "RuntimeError: no such kernel"}
    assert "told: without other: RuntimeError: no such kernel" in said
    assert bench.story[-2:] == ["tidy mini-docker", "tidy other"]


def test_ours_not_ready_is_a_failure_and_tidied(sitting: Sitting) -> None:
    """A result without us would be none."""
    bench = Told("told", "", ("mini-docker", "other"), unready="mini-docker")
    with pytest.raises(RuntimeError):
        run(bench, sitting, lambda line: None)
    assert bench.story == ["prepare mini-docker", "tidy mini-docker"]


def test_what_is_not_installed_takes_no_part(sitting: Sitting) -> None:
    """A bench that needs an absent command is left out whole, with the reason."""
    bench = Told("told", "", ("mini-docker", "other"), needs=("no-such-command-here",))
    result = run(bench, sitting, lambda line: None)
    assert not result.samples
    assert "no-such-command-here not installed" in result.absent["mini-docker"]
    assert bench.story == []
