"""The examiner in the room: a pytest plugin that lays the overlay before all imports, and writes down what happens.

It is loaded with ``-p`` by `mini_docker.lab.grade`. Pytest's own words are for people and change; what the grader reads
are the lines that this module writes, one JSON object a test.
"""

from __future__ import annotations

import inspect
import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from mini_docker.lab import overlay

RESULTS_VARIABLE = "MINI_DOCKER_LAB_RESULTS"
"""Names the file that takes the lines."""

OVERLAY_VARIABLE = "MINI_DOCKER_OVERLAY"


def pytest_configure(config: pytest.Config) -> None:
    """Lay the overlay, and take the results' file."""
    pytest.register_assert_rewrite("tests")  # suites that several tests share compare as clearly as tests do
    if os.environ.get(OVERLAY_VARIABLE):
        overlay.install(os.environ[OVERLAY_VARIABLE])
    config.pluginmanager.register(Protocol(Path(os.environ[RESULTS_VARIABLE])), "mini-docker-lab")


def pytest_sessionstart() -> None:
    """One mistake at a time: of several that hypothesis finds in a test, a learner is shown the first, to its end.

    After the conftest, whose profile this one changes in nothing else; before the tests, which inherit it.
    """
    settings.register_profile("lab", parent=settings.default, report_multiple_bugs=False)
    settings.load_profile("lab")


class Protocol:
    """Writes down each test's outcome."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[Any]:
        """One line for the call; one for set-up and tear-down when they did not pass."""
        report: pytest.TestReport = yield  # type: ignore[assignment]
        if report.when == "call" or not report.passed:
            self._write(
                test=item.nodeid,
                when=report.when,
                outcome=report.outcome,
                law=_law(item),
                **(_skipped(report) if report.skipped else _failure(report, call)),
            )
        return report  # type: ignore[return-value]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot even be imported."""
        if report.failed:
            text = str(report.longrepr)
            self._write(test=report.nodeid, when="collect", outcome="failed", error=_last_line(text), text=text)

    def _write(self, **line: object) -> None:
        with open(self._path, "a", encoding="utf-8") as results:
            results.write(json.dumps(line) + "\n")


def _skipped(report: pytest.TestReport) -> dict[str, object]:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return {"error": reason.removeprefix("Skipped: ")}


def _failure(report: pytest.TestReport, call: pytest.CallInfo[Any]) -> dict[str, object]:
    if call.excinfo is None:
        return {}
    failure = call.excinfo.value
    text = str(report.longrepr)
    return {
        "error": f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__,
        "compared": textwrap.dedent(
            "\n".join(line[1:] for line in text.splitlines() if line.startswith("E "))
        ).splitlines(),
        "example": "\n".join(getattr(failure, "__notes__", [])),
        "frames": [
            [str(entry.path), entry.lineno + 1, entry.name, str(entry.statement).strip()]
            for entry in call.excinfo.traceback
        ],
        "text": text,
    }


def _law(item: pytest.Item) -> str:
    """The first paragraph of the test's docstring; a state machine's is its class's."""
    docstring = (
        inspect.getdoc(getattr(item, "obj", None)) if not _machines(item) else inspect.getdoc(_machines(item)[0])
    )
    return " ".join((docstring or "").split("\n\n")[0].split())


def _machines(item: pytest.Item) -> list[type]:
    """The state machines behind a test: hypothesis makes of one called X a test case called X.TestCase."""
    cls, module = getattr(item, "cls", None), getattr(item, "module", None)
    names = [
        base.__qualname__.removesuffix(".TestCase")
        for base in (cls.__mro__ if cls else ())
        if base.__qualname__.endswith(".TestCase")
    ]
    return [machine for name in names if isinstance(machine := getattr(module, name, None), type)]


def _last_line(text: str) -> str:
    return next((line.removeprefix("E").strip() for line in reversed(text.splitlines()) if line.startswith("E ")), text)
