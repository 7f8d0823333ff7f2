"""A finding: one line of the doctor's report. A value, no logic."""

from __future__ import annotations

from enum import Enum

from mini_docker.dataclasses import dataclass


class Verdict(Enum):
    """What a finding means for whoever wants to run containers here."""

    GOOD = "yes"
    """It is there."""
    LACKING = "no"
    """It is not there, and the house stands without it: something is slower, or one feature is missing."""
    MISSING = "MISSING"
    """It is not there, and without it no container runs."""
    UNKNOWN = "unknown"
    """It could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: the heading it stands under: machine, kernel, cgroups, drivers, tools.
        name: what was looked at.
        verdict: the short answer.
        detail: what was seen.
        advice: what to do, one sentence; empty when nothing is to be done.
    """

    area: str
    name: str
    verdict: Verdict
    detail: str = ""
    advice: str = ""
