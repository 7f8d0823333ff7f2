"""The report: findings as lines for a reader, or as JSON for a script. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from mini_docker.doctor.finding import Finding, Verdict


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when nothing that is needed is missing, else 1. What could not be looked at is not missing."""
    return int(any(finding.verdict is Verdict.MISSING for finding in findings))


def as_text(findings: Sequence[Finding]) -> str:
    """A line a finding under the heading of its area, and what to do below those that want something done."""
    lines: list[str] = []
    area = ""
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        if finding.area != area:
            area = finding.area
            lines += ["", area] if lines else [area]
        lines.append(f"  {finding.verdict.value:<8} {finding.name:<{width}}  {finding.detail}".rstrip())
        if finding.advice:
            lines.append(f"  {'':<8} {'':<{width}}  → {finding.advice}")
    return "\n".join([*lines, "", _conclusion(findings)]) + "\n"


def _conclusion(findings: Sequence[Finding]) -> str:
    count = Counter(finding.verdict for finding in findings)
    if count[Verdict.MISSING]:
        return f"{count[Verdict.MISSING]} needed thing(s) missing: containers cannot run here yet."
    if count[Verdict.UNKNOWN]:
        return f"Nothing needed is missing, but {count[Verdict.UNKNOWN]} thing(s) could not be looked at."
    return "All that is needed is there."


def as_json(findings: Sequence[Finding]) -> str:
    """One object: ``ok``, and ``findings`` with the fields of `Finding`; verdicts in lower case."""
    return json.dumps(
        {
            "ok": not exit_code(findings),
            "findings": [
                {
                    "area": finding.area,
                    "name": finding.name,
                    "verdict": finding.verdict.name.lower(),
                    "detail": finding.detail,
                    "advice": finding.advice,
                }
                for finding in findings
            ],
        },
        indent=2,
    )
