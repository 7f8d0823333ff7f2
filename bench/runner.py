"""The runner: lets the contenders of a bench take turns.

A B, B A, A B …: neighbours in time make a pair, and neither is always the one who finds the machine as the other left
it. It knows no contender and no bench.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bench.contract import Bench
from bench.result import Result
from bench.sitting import Sitting


def turns(contenders: Sequence[str], rounds: int) -> list[tuple[int, str]]:
    """Who runs when: (round, contender), each round once through, the order turned round every time."""
    order = list(contenders)
    return [(number, name) for number in range(rounds) for name in (order if number % 2 == 0 else order[::-1])]


def run(bench: Bench, sitting: Sitting, say: Callable[[str], None]) -> Result:
    """Run one bench to its end, tidied whatever happens.

    Args:
        say: takes one line: who is absent, and how long the bench took.
    """
    absent = {name: reason for name in bench.contenders if (reason := sitting.why_absent(name))}
    present = [name for name in bench.contenders if name not in absent]
    for name, reason in absent.items():
        say(f"{bench.name}: without {name}: {reason}")
    samples: dict[str, list[float]] = {name: [] for name in present}
    began = time.perf_counter()
    for group in [[name] for name in present] if bench.alone else [present]:
        _run_group(bench, sitting, group, samples)
    say(f"{bench.name}: {time.perf_counter() - began:.1f} s")
    return Result(bench.name, bench.what, bench.unit, bench.goal, samples, absent, bench.curves())


def _run_group(bench: Bench, sitting: Sitting, group: Sequence[str], samples: dict[str, list[float]]) -> None:
    rounds = bench.quick_rounds if sitting.quick and bench.quick_rounds else bench.rounds
    prepared = []
    try:
        for name in group:
            prepared.append(name)
            bench.prepare(sitting, name)
        for number, name in turns(group, bench.warm_up + rounds):
            taken = bench.once(sitting, name)
            if number >= bench.warm_up:
                samples[name].append(taken)
    finally:
        for name in prepared:
            bench.tidy(sitting, name)
