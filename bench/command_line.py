"""The bench's command line: chooses benches, holds one sitting, reports.

It measures nothing itself.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bench import table
from bench.anatomy.report import anatomy
from bench.benches.catalogue import NoSuchBench, catalogue, choose
from bench.contract import Bench
from bench.daemons import DidNotStart
from bench.ground import ground
from bench.machine import describe
from bench.picture import draw
from bench.result import Result
from bench.runner import run
from bench.sitting import Sitting

ANATOMY_ROUNDS = 60


def main(argv: Sequence[str]) -> int:
    """Run the command line.

    Args:
        argv: the words after ``script/bench``.

    Returns:
        0 when every bench ran, whatever the results; 1 when one could not; 2 for words that it does not understand.
    """
    said = _parser().parse_args(list(argv))
    try:
        chosen = choose(catalogue(), said.only, said.quick, said.full)
    except NoSuchBench as error:
        print(f"script/bench: {error}", file=sys.stderr)
        return 2
    if said.list:
        _print_list(catalogue())
        return 0
    # An end by signal is an end in order, too: daemons are stopped, the ground is unmounted.
    signal.signal(signal.SIGTERM, _stop)
    with ground(said.disk) as folder:
        sitting = Sitting(folder, said.quick)
        try:
            if said.anatomy:
                print(anatomy(sitting, ANATOMY_ROUNDS))
                return 0
            return _measure(sitting, chosen, said)
        finally:
            sitting.close()


def _measure(sitting: Sitting, chosen: Sequence[Bench], said: argparse.Namespace) -> int:
    about = describe(said.disk, said.quick)
    _say(f"{about['kernel']}, {about['processors']} processors, load {about['load_average'][0]}, on {about['ground']}")
    results: list[Result] = []
    failed = 0
    for bench in chosen:
        try:
            results.append(run(bench, sitting, _say))
        except DidNotStart as error:
            _say(str(error))
            return 1
        except Exception as error:  # one bench that breaks must not cost the others
            _say(f"{bench.name}: FAILED: {type(error).__name__}: {error}")
            failed = 1
    print(table.as_text(results))
    if any(result.curves for result in results):
        print(f"\n{table.curves_as_text(results)}")
    about["load_average_after"] = describe(said.disk, said.quick)["load_average"]
    if said.output is not None:
        document = {"about": about, "results": [result.to_json() for result in results]}
        said.output.write_text(json.dumps(document, indent=1) + "\n")
    if said.picture is not None:
        said.picture.write_text(draw(results))
    return failed


def _print_list(benches: Sequence[Bench]) -> None:
    width = max(len(bench.name) for bench in benches)
    for bench in benches:
        goal = f" (goal {bench.goal.text(bench.unit)}, {bench.goal.source})" if bench.goal else ""
        print(f"{bench.name:<{width}}  {bench.what}; {', '.join(bench.contenders)}{goal}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _stop(*_: object) -> NoReturn:
    raise SystemExit(143)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="script/bench", description="Measure mini-docker beside Docker, crun, runc and podman, in one sitting."
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and no long bench: under two minutes")
    parser.add_argument("--full", action="store_true", help="with the curves of growth")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="these benches alone; api-* stands for many"
    )
    parser.add_argument("--list", action="store_true", help="show the benches and their goals")
    parser.add_argument("--disk", action="store_true", help="on a loop ext4 instead of a tmpfs")
    parser.add_argument("--anatomy", action="store_true", help="show one start stage by stage, in microseconds")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the ratios as an SVG picture")
    return parser
