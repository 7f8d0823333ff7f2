"""Verdicts: what grading found, as values, and the exit code that they come to.

Three things are kept apart that are easily mixed up: the learner's *code* is wrong, the *environment* cannot do it,
or the *time* ran out.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

from mini_docker.dataclasses import dataclass, field


class Verdict(Enum):
    """How a check ended, and the exit code of its own."""

    PASS = 0
    FAIL = 1
    ENVIRONMENT = 2
    SKIPPED = 3
    TIMEOUT = 124


SEVERITY = (Verdict.FAIL, Verdict.TIMEOUT, Verdict.ENVIRONMENT, Verdict.SKIPPED, Verdict.PASS)


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a traceback."""

    path: str
    line: int
    function: str
    code: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One test that did not pass.

    Attributes:
        law: what the test demands, in its own words.
        error: the exception.
        compared: pytest's comparison of what was wanted with what was found, line by line.
        example: the smallest example that hypothesis found, as Python; empty when there is none.
        frames: the traceback's lines in the learner's own files.
        text: all of it, for who wants all of it.
    """

    test: str
    law: str
    error: str
    compared: tuple[str, ...] = ()
    example: str = ""
    frames: tuple[Frame, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check ended.

    Attributes:
        passed: how many of its tests passed.
        reason: why it did not pass, in a sentence, where no failure says it.
        ran: functions of the learner's that ran: ``module:name`` → id of the process.
    """

    name: str
    kind: str
    verdict: Verdict
    passed: int = 0
    failures: tuple[Failure, ...] = ()
    reason: str = ""
    seconds: float = 0.0
    ran: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For ``check --json``."""
        return {
            "name": self.name, "kind": self.kind, "verdict": self.verdict.name.lower(), "passed": self.passed,
            "reason": self.reason, "seconds": round(self.seconds, 2), "ran": self.ran,
            "failures": [
                {
                    "test": failure.test, "law": failure.law, "error": failure.error,
                    "compared": list(failure.compared), "example": failure.example,
                    "your_lines": [[frame.path, frame.line, frame.function, frame.code] for frame in failure.frames],
                }
                for failure in self.failures
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class LabResult:
    """How a lab's checks ended together.

    Attributes:
        unwritten: functions that are blank or missing in the learner's file.
        broken: what keeps the learner's file from being Python; empty when nothing does.
        idle: functions that no check saw running although all passed.
    """

    lab: str
    checks: tuple[CheckResult, ...]
    unwritten: tuple[str, ...] = ()
    broken: str = ""
    idle: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The gravest of all."""
        if self.broken or self.unwritten or self.idle:
            return Verdict.FAIL
        return gravest(check.verdict for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """For ``check --json``."""
        return {
            "lab": self.lab, "verdict": self.verdict.name.lower(), "exit_code": self.verdict.value,
            "unwritten": list(self.unwritten), "broken": self.broken, "never_ran": list(self.idle),
            "checks": [check.to_json() for check in self.checks],
        }  # fmt: skip


def gravest(verdicts: Iterable[Verdict]) -> Verdict:
    """The one that decides: wrong code before a lack of time, before the environment, before what was not tried."""
    return min(verdicts, key=SEVERITY.index, default=Verdict.PASS)
