"""The runner from start to report, on a real lab and a desk of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mini_docker.lab.dev import sheet_faults
from mini_docker.lab.grade import Grader
from mini_docker.lab.lab import Check, Lab, all_labs, checkout, find
from mini_docker.lab.verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]


class Desk:
    """A learner at a desk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lab(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Type ``mini-docker lab …``."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MINI_DOCKER")}
        argv = [sys.executable, "-m", "mini_docker", "lab", "--workspace", str(self.folder), *words]
        return subprocess.run(
            argv, cwd=ROOT, env=environment | variables, capture_output=True, text=True, timeout=100, check=False
        )

    def file(self, name: str) -> Path:
        """A file of lab 01."""
        return self.folder / "01_engine_and_job/mini_docker/engine" / name


def own_layer(folder: Path) -> Path:
    """A module of ours, as a layer over itself."""
    path = folder / "layer/mini_docker/engine/job.py"
    path.parent.mkdir(parents=True)
    path.write_text((ROOT / "mini_docker/engine/job.py").read_text())
    return folder / "layer"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


@pytest.fixture
def lab() -> Lab:
    return find(all_labs(ROOT), "01")


@pytest.mark.parametrize("lab", all_labs(ROOT), ids=lambda lab: lab.name)
def test_every_labs_papers_are_whole(lab: Lab) -> None:
    """Sections in order, links that lead somewhere, tests that exist, mutants that name their mistake."""
    assert list(sheet_faults(lab)) == []
    assert len(lab.mutants()) >= 5


def test_a_lab_from_start_to_report(desk: Desk) -> None:
    """Red for the stated reason, green with our own code, and each step in the diary."""
    assert desk.lab("check", "01").returncode == 2  # not started
    assert desk.lab("start", "01").returncode == 0
    red = desk.lab("check", "01", "--json")
    assert red.returncode == 1
    result = json.loads(red.stdout)
    assert result["verdict"] == "fail" and "mini_docker.engine.job:Job.run" in result["unwritten"]
    assert all("not written yet" in check["failures"][0]["error"] for check in result["checks"])
    assert "hint 1 of 4" in desk.lab("hint", "01", "Job.run").stdout
    assert desk.lab("explain", "01").returncode == 1
    for name in ("engine.py", "job.py"):
        desk.file(name).write_text((ROOT / "mini_docker/engine" / name).read_text())
    green = desk.lab("check", "01", "--json")
    assert green.returncode == 0, green.stdout
    assert all(check["ran"] for check in json.loads(green.stdout)["checks"])
    assert "The quiz" in desk.lab("explain", "01").stdout
    assert "Job.run: the same" in desk.lab("diff", "01").stdout
    report = json.loads(desk.lab("report", "--json").stdout)["01_engine_and_job"]
    assert report == {"standing": "passed", "failed_checks": 1, "hints": 1, "saw_solution": False}


def test_only_reset_touches_a_learners_file_and_keeps_a_backup(desk: Desk) -> None:
    """Whatever else is typed, what was written stays as it was written."""
    desk.lab("start", "01")
    desk.file("job.py").write_text("# mine\n")
    for words in (("start", "01"), ("check", "01"), ("solve", "01"), ("skip", "01"), ("clean",), ("hint", "01")):
        desk.lab(*words)
        assert desk.file("job.py").read_text() == "# mine\n", words
    assert desk.lab("reset", "01").returncode == 0
    assert "not written yet" in desk.file("job.py").read_text()
    backups = list((desk.folder / "backups").rglob("job.py"))
    assert [path.read_text() for path in backups] == ["# mine\n"]


def test_a_file_that_is_no_python_is_told_by_its_line(desk: Desk) -> None:
    """Before any test runs."""
    desk.lab("start", "01")
    desk.file("job.py").write_text("def run(:\n")
    told = desk.lab("check", "01")
    assert told.returncode == 1
    assert "job.py:1: invalid syntax" in told.stdout


def test_live_checks_wait_for_a_word(desk: Desk) -> None:
    """A laptop is not harmed by who forgets where they are: skipped, and the reason says what to do."""
    desk.lab("start", "02")
    for name in ("namespaces.py", "parent.py"):
        path = desk.folder / "02_namespaces/mini_docker/libcontainer" / name
        path.write_text((ROOT / "mini_docker/libcontainer" / name).read_text())
    told = desk.lab("check", "02")
    assert told.returncode == 3, told.stdout
    assert "vm/run" in told.stdout and "[pass]" in told.stdout


def test_a_failure_that_our_own_code_shares_is_the_environments(lab: Lab, tmp_path: Path) -> None:
    """The same question is put to our code: what fails there, too, is nobody's fault here."""
    probe = tmp_path / "probe_sick.py"
    probe.write_text("def test_sick():\n    '''A law.'''\n    assert False, 'this machine is sick'\n")
    result = Grader(ROOT).ask(lab, Check("sick", "pure", (str(probe),), 60), own_layer(tmp_path))
    assert result.verdict is Verdict.ENVIRONMENT
    assert "this machine is sick" in result.reason


def test_a_loop_without_an_end_is_a_timeout(lab: Lab, tmp_path: Path) -> None:
    """And the next check is not kept waiting by it."""
    probe = tmp_path / "probe_slow.py"
    probe.write_text("import threading\ndef test_slow():\n    '''A law.'''\n    threading.Event().wait()\n")
    result = Grader(ROOT).ask(lab, Check("slow", "pure", (str(probe),), 3), own_layer(tmp_path))
    assert result.verdict is Verdict.TIMEOUT


def test_a_checkout_is_found_from_inside_and_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Labs and tests are not installed with the package: they are looked for."""
    assert checkout() == ROOT
    monkeypatch.setenv("MINI_DOCKER_CHECKOUT", str(tmp_path))
    from mini_docker.errors import NotFound

    with pytest.raises(NotFound, match="MINI_DOCKER_CHECKOUT"):
        checkout()
