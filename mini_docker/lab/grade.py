"""The grader: puts a lab's checks to the learner's code, each in a process of its own, and judges what happens.

Whether a failure is the learner's or the environment's is found out and not guessed: what failed is asked again of our
own code, and what fails there, too, is not the learner's fault. It prints nothing and knows no learner's progress.
"""

from __future__ import annotations

import ast
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mini_docker.dataclasses import replace
from mini_docker.lab import proof
from mini_docker.lab.lab import LIVE, PURE, Check, Lab
from mini_docker.lab.merge import functions, is_blank
from mini_docker.lab.scratch import scratch
from mini_docker.lab.verdict import CheckResult, Failure, Frame, LabResult, Verdict

VM_VARIABLE = "MINI_DOCKER_VM"
"""Set in the virtual machine of ours, where nothing can be harmed."""

PATIENCE_VARIABLE = "MINI_DOCKER_LAB_PATIENCE"
"""A factor for all times, for slow machines."""

NO_TESTS_RAN = 5  # pytest's exit code
STARTING_SECONDS = 5.0
"""What pytest itself may take, beside its tests."""
ROOM = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""A live check's room: links, rules, mounts and processes that are forgotten in it go with it."""

_DOOR = 'ip link set lo up && "$@"; exit $?'  # the shell stays: it reaps what nobody waits for, as process 1 must


class Grader:
    """Asks a lab's checks.

    Args:
        checkout: whose tests are asked.
        live_allowed: whether live checks may run here although this is not our virtual machine.
        control: whether what fails is asked of our own code as well.
        stop_at_first: leave a check at its first failure.
    """

    def __init__(
        self, checkout: Path, live_allowed: bool = False, control: bool = True, stop_at_first: bool = False
    ) -> None:
        self._checkout = checkout
        self._live_allowed = live_allowed or bool(os.environ.get(VM_VARIABLE))
        self._control = control
        self._stop_at_first = stop_at_first
        self._patience = float(os.environ.get(PATIENCE_VARIABLE, "1"))

    def grade(
        self,
        lab: Lab,
        layer: Path,
        kinds: Sequence[str] = (PURE, LIVE),
        tell: Callable[[CheckResult], None] | None = None,
    ) -> LabResult:
        """Judge the files in *layer*.

        Args:
            kinds: which kinds of checks to ask.
            tell: is called with each result as it comes.
        """
        broken = _broken(lab, layer)
        if broken:
            return LabResult(lab.name, (), broken=broken)
        results: list[CheckResult] = []
        for check in lab.checks:
            if check.kind in kinds:
                results.append(self.ask(lab, check, layer))
                if tell is not None:
                    tell(results[-1])
        unwritten = tuple(_unwritten(lab, layer))
        idle: tuple[str, ...] = ()
        if results and all(result.verdict is Verdict.PASS for result in results) and set(kinds) == {PURE, LIVE}:
            ran = {name for result in results for name in result.ran}
            idle = tuple(name for name in lab.functions() if name not in ran and name not in unwritten)
        return LabResult(lab.name, tuple(results), unwritten, idle=idle)

    def ask(self, lab: Lab, check: Check, layer: Path | None) -> CheckResult:
        """Put one check to the code in *layer*; None asks our own."""
        obstacle = self.obstacle(check)
        if obstacle:
            return CheckResult(check.name, check.kind, Verdict.SKIPPED, reason=obstacle)
        began = time.monotonic()
        with scratch() as folder:
            nonce = secrets.token_hex(8)
            sheet = folder / "proof"
            proof.prepare(sheet, nonce, lab.functions())
            environment = _environment(folder, layer, sheet)
            tests = [str(lab.folder / test[2:]) if test.startswith("./") else test for test in check.tests]
            lines, code, output = self._run(check, tests, environment, folder)
            ran = {name: process for name, process in proof.signatures(sheet, nonce).items() if process}
            result = self._judge(check, layer, lines, code, output)
            if result.verdict is Verdict.FAIL and layer is not None and self._control:
                result = self._with_control(lab, check, result)
        return replace(result, seconds=time.monotonic() - began, ran=ran)

    def obstacle(self, check: Check) -> str:
        """Why a check cannot be asked here; empty when it can."""
        if check.kind != LIVE:
            return ""
        if os.geteuid() != 0:
            return (
                "a live check needs root: run it in the virtual machine (vm/run or vagrant up), or as root with --live"
            )
        if not self._live_allowed:
            return (
                "a live check makes real mounts, namespaces and links as root, so it runs in the virtual machine "
                "(vm/run or vagrant up); say --live to run it on this machine"
            )
        return ""

    def _run(
        self, check: Check, tests: Sequence[str], environment: dict[str, str], scratch: Path
    ) -> tuple[list[dict[str, Any]], int | None, str]:
        """Run pytest; its results, its exit code (None when its time was up) and what it printed."""
        argv = [
            sys.executable, "-m", "pytest", "-p", "mini_docker.lab.pytest_plugin", "-p", "no:cacheprovider", "-q",
            "-o", "python_files=test_*.py probe*.py", f"--timeout={check.seconds * self._patience}",
            f"--rootdir={self._checkout}", f"--basetemp={scratch / 'tmp'}",
            *(["-x"] if self._stop_at_first else []), *tests,
        ]  # fmt: skip
        if check.kind == LIVE:
            argv = [*ROOM, "sh", "-c", _DOOR, "sh", *argv]
        with open(scratch / "output", "w+", encoding="utf-8", errors="replace") as output:
            process = subprocess.Popen(
                argv, cwd=self._checkout, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            code: int | None
            try:
                code = process.wait((check.seconds + STARTING_SECONDS) * self._patience)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            output.seek(0)
            text = output.read()
        results = scratch / "results"
        lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
        return lines, code, text

    def _judge(
        self, check: Check, layer: Path | None, lines: list[dict[str, Any]], code: int | None, output: str
    ) -> CheckResult:
        passed = sum(line["outcome"] == "passed" for line in lines)
        failures = tuple(_failure(line, layer) for line in lines if line["outcome"] == "failed")
        skipped = [line["error"] for line in lines if line["outcome"] == "skipped"]
        result = CheckResult(check.name, check.kind, Verdict.PASS, passed, failures)
        if code is None:
            return replace(
                result, verdict=Verdict.TIMEOUT, reason=f"not done after {check.seconds * self._patience:g} s"
            )
        if failures:
            if all(failure.error.startswith("Failed: Timeout") for failure in failures):
                return replace(result, verdict=Verdict.TIMEOUT, reason="a test did not end in its time")
            return replace(result, verdict=Verdict.FAIL)
        if passed:
            return result
        if skipped:
            return replace(result, verdict=Verdict.SKIPPED, reason="; ".join(sorted(set(skipped))))
        reason = "no test ran" if code == NO_TESTS_RAN else output.strip()[-2000:] or f"pytest ended with {code}"
        # Not one line: pytest did not start, or died. Of the learner's code? The control finds out.
        died = layer is not None and code != NO_TESTS_RAN
        return replace(result, verdict=Verdict.FAIL if died else Verdict.ENVIRONMENT, reason=reason)

    def _with_control(self, lab: Lab, check: Check, result: CheckResult) -> CheckResult:
        """Ask our own code what the learner's failed in; what fails there, too, is the environment's."""
        asked = [failure.test for failure in result.failures if failure.test.find("::") > 0] or list(check.tests)
        ours = Grader(self._checkout, live_allowed=True, control=False).ask(
            lab, replace(check, tests=tuple(asked)), None
        )
        there_too = {failure.test for failure in ours.failures}
        if ours.verdict is Verdict.PASS or (result.failures and not {f.test for f in result.failures} <= there_too):
            return replace(result, failures=tuple(f for f in result.failures if f.test not in there_too))
        reason = "our own code fails here as well: " + (ours.failures[0].error if ours.failures else ours.reason)
        return replace(result, verdict=Verdict.ENVIRONMENT, reason=reason)


def _environment(scratch: Path, layer: Path | None, sheet: Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINI_DOCKER_OVERLAY")}
    environment |= {
        "MINI_DOCKER_LAB_RESULTS": str(scratch / "results"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(scratch / "hypothesis"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "120",
    }
    if layer is not None:
        environment |= {
            "MINI_DOCKER_OVERLAY": str(layer),
            "MINI_DOCKER_OVERLAY_BLANKS": "raise",
            proof.VARIABLE: str(sheet),
        }
    return environment


def _failure(line: dict[str, Any], layer: Path | None) -> Failure:
    frames = [Frame(*frame) for frame in line.get("frames", [])]
    return Failure(
        line["test"], line.get("law", ""), line["error"], tuple(line.get("compared", [])), line.get("example", ""),
        tuple(frame for frame in frames if layer is not None and Path(frame.path).is_relative_to(layer)),
        line.get("text", ""),
    )  # fmt: skip


def _broken(lab: Lab, layer: Path) -> str:
    for blank in lab.blanks:
        path = layer / blank.file
        if not path.exists():
            continue
        try:
            ast.parse(path.read_text(encoding="utf-8"), str(path))
        except SyntaxError as error:
            return f"{path}:{error.lineno}: {error.msg}: {(error.text or '').strip()}"
    return ""


def _unwritten(lab: Lab, layer: Path) -> Iterator[str]:
    for blank in lab.blanks:
        path = layer / blank.file
        if path.exists():
            found = dict(functions(ast.parse(path.read_text(encoding="utf-8"))))
            for name in blank.functions:
                if name not in found or is_blank(found[name]):
                    yield f"{blank.module}:{name}"
