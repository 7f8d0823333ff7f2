"""The teachers' own examination: is each lab fair and sharp?

For every lab: the starter fails, and for the stated reason, function by function; our own code passes as a layer over
itself; every wrong solution is found out; every link in the sheet leads somewhere. A lab without wrong solutions is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mini_docker.errors import Invalid
from mini_docker.lab.grade import Grader
from mini_docker.lab.lab import LIVE, PURE, Blank, Lab
from mini_docker.lab.merge import NOT_WRITTEN
from mini_docker.lab.scratch import scratch
from mini_docker.lab.starter import make_starter
from mini_docker.lab.verdict import LabResult, Verdict

SECTIONS = (
    "Predict first", "Why", "In plain shell", "The task", "What red looks like", "What green looks like", "Break it",
    "Where real Docker differs", "Reading",
)  # fmt: skip
"""The sections of a sheet, in their order."""

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class DevCheck:
    """Examines labs.

    Args:
        checkout: whose labs they are.
        live_allowed: see `Grader`.
        say: takes each line of the protocol.
    """

    def __init__(self, checkout: Path, live_allowed: bool, say: Callable[[str], None]) -> None:
        self._checkout = checkout
        self._kinds = (PURE, LIVE) if live_allowed else (PURE,)
        self._reference = Grader(checkout, live_allowed, control=False)
        self._quick = Grader(checkout, live_allowed, control=False, stop_at_first=True)
        self._say = say

    def examine(self, lab: Lab) -> bool:
        """Whether the lab is fair and sharp; says why not."""
        self._say(f"== {lab.name}: {lab.title}")
        faults = [*sheet_faults(lab), *self._reference_faults(lab)]
        if not faults:
            faults += [*self._starter_faults(lab), *self._mutant_faults(lab)]
        for fault in faults:
            self._say(f"  FAULT {fault}")
        self._say(f"  {'refused' if faults else 'good'}")
        return not faults

    def _reference_faults(self, lab: Lab) -> Iterator[str]:
        """Our own code passes as a layer over itself, and every function of the lab runs in some check."""
        with _layer(self._checkout, lab, {}) as layer:
            result = self._reference.grade(lab, layer, self._kinds)
        for check in result.checks:
            self._say(f"  reference: {check.verdict.name.lower()} {check.name} ({check.seconds:.1f} s)")
            if check.verdict is Verdict.SKIPPED:
                yield f"the reference was not asked: {check.name}: {check.reason}"
            elif check.verdict is not Verdict.PASS:
                reason = check.failures[0].text if check.failures else check.reason
                yield f"the reference does not pass: {check.name}: {reason}"
        for name in result.idle:
            yield f"no check makes {name} run"

    def _starter_faults(self, lab: Lab) -> Iterator[str]:
        """Each function, left blank alone, makes a check fail, and what fails says that it is blank."""
        for blank in lab.blanks:
            source = (self._checkout / blank.file).read_text(encoding="utf-8")
            for name in blank.functions:
                with _layer(self._checkout, lab, {blank.module: make_starter(source, [name])}) as layer:
                    result = self._first_failure(lab, layer)
                said = _said(result)
                if f"{NOT_WRITTEN}{name}" in said:
                    self._say(f"  blank {name}: fails for the stated reason")
                elif self._kinds == (PURE,) and LIVE in {check.kind for check in lab.checks} and not said:
                    self._say(f"  blank {name}: only a live check needs it (not asked here)")
                else:
                    yield f"blank {name} does not fail for the stated reason: {said[:400] or 'nothing failed'}"

    def _mutant_faults(self, lab: Lab) -> Iterator[str]:
        mutants = lab.mutants()
        if not mutants:
            yield "a lab without mutants proves nothing: write the wrong solutions that learners will write"
        for mutant in mutants:
            text = mutant.path.read_text(encoding="utf-8")
            with _layer(self._checkout, lab, {mutant.module: text}) as layer:
                result = self._first_failure(lab, layer)
            failed = [check for check in result.checks if check.verdict in (Verdict.FAIL, Verdict.TIMEOUT)]
            if failed:
                self._say(f"  mutant {mutant.path.stem}: found out by {_culprit(result)}")
            elif self._kinds == (PURE,) and LIVE in {check.kind for check in lab.checks}:
                self._say(f"  mutant {mutant.path.stem}: only a live check can find it out (not asked here)")
            else:
                yield f"mutant {mutant.path.stem} passes: nobody notices that it {mutant.mistake}"

    def _first_failure(self, lab: Lab, layer: Path) -> LabResult:
        """Ask the checks one by one until one fails."""
        results = []
        for check in lab.checks:
            if check.kind in self._kinds:
                results.append(self._quick.ask(lab, check, layer))
                if results[-1].verdict is not Verdict.PASS:
                    break
        return LabResult(lab.name, tuple(results))


def sheet_faults(lab: Lab) -> Iterator[str]:
    """What is wrong with the papers: sections missing or out of order, links that lead nowhere, wrong mutants."""
    text = lab.readme.read_text(encoding="utf-8") if lab.readme.exists() else ""
    found = [title for title in re.findall(r"^## (.+)$", text, re.MULTILINE) if title in SECTIONS]
    if found != list(SECTIONS):
        yield f"README.md has the sections {found}, and should have {list(SECTIONS)}"
    for paper in (lab.readme, lab.explanation):
        if not paper.exists():
            yield f"{paper.name} is missing"
            continue
        for target in _LINK.findall(paper.read_text(encoding="utf-8")):
            path = target.partition("#")[0]
            if path and "://" not in path and not (paper.parent / path).exists():
                yield f"{paper.name}: the link {target} leads nowhere"
    try:
        lab.mutants()
    except (Invalid, SyntaxError) as error:
        yield str(error)
    for check in lab.checks:
        for test in check.tests:
            path = test.partition("::")[0]
            base = lab.folder if path.startswith("./") else lab.folder.parents[1]
            if not (base / path).exists():
                yield f"the check {check.name!r} names a test that is gone: {test}"


def _said(result: LabResult) -> str:
    return "\n".join(
        f"{failure.error}\n{failure.text}" for check in result.checks for failure in check.failures
    ) or "\n".join(check.reason for check in result.checks if check.verdict is not Verdict.PASS)


def _culprit(result: LabResult) -> str:
    check = result.checks[-1]
    return (
        check.failures[0].test.rpartition("/")[2] if check.failures else f"{check.name} ({check.verdict.name.lower()})"
    )


@contextmanager
def _layer(checkout: Path, lab: Lab, texts: dict[str, str]) -> Iterator[Path]:
    """A layer that covers all modules of a lab: with the given texts, else with the reference itself."""
    with scratch() as folder:
        for blank in lab.blanks:
            _put(folder, blank, texts.get(blank.module) or (checkout / blank.file).read_text(encoding="utf-8"))
        yield folder


def _put(folder: Path, blank: Blank, text: str) -> None:
    path = folder / blank.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def examine_all(checkout: Path, labs: Sequence[Lab], live_allowed: bool, say: Callable[[str], None]) -> bool:
    """Whether all labs are good."""
    examination = DevCheck(checkout, live_allowed, say)
    verdicts = [examination.examine(lab) for lab in labs]
    return all(verdicts)
