"""The runner: lets the contenders of a bench take turns.

A B, B A, A B …: neighbours in time make a pair, and neither is always the one who finds the machine as the other left
it. It knows no contender and no bench.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bench.contract import Bench
from bench.daemons import missing_command
from bench.goal import OURS
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
    missing = missing_command(*bench.needs)
    if missing:
        absent = dict.fromkeys(bench.contenders, missing)
    present = [name for name in bench.contenders if name not in absent]
    samples: dict[str, list[float]] = {name: [] for name in present}
    began = time.perf_counter()
    for group in [[name] for name in present] if bench.alone else [present]:
        absent |= _run_group(bench, sitting, group, samples)
    for name, reason in absent.items():
        say(f"{bench.name}: without {name}: {reason}")
    say(f"{bench.name}: {time.perf_counter() - began:.1f} s")
    measured = {name: taken for name, taken in samples.items() if taken}
    return Result(bench.name, bench.what, bench.unit, bench.goal, measured, absent, bench.curves())


def _run_group(bench: Bench, sitting: Sitting, group: Sequence[str], samples: dict[str, list[float]]) -> dict[str, str]:
    """Let a group take turns; returns the peers that could not be made ready, and why."""
    rounds = bench.quick_rounds if sitting.quick and bench.quick_rounds else bench.rounds
    absent: dict[str, str] = {}
    begun = []
    try:
        for name in group:
            begun.append(name)
            try:
                bench.prepare(sitting, name)
            except Exception as error:
                if name == OURS:
                    raise
                absent[name] = f"{type(error).__name__}: {error}"
        for number, name in turns([name for name in group if name not in absent], bench.warm_up + rounds):
            taken = bench.once(sitting, name)
            if number >= bench.warm_up:
                samples[name].append(taken)
    finally:
        for name in begun:
            bench.tidy(sitting, name)
    return absent
