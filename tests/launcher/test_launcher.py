"""The launcher: every process of ours runs the same code, and nothing of the caller's environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mini_docker
from mini_docker import launcher


def test_a_process_of_ours_runs_the_code_that_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an older one that happens to be installed, and not what PYTHONPATH names."""
    (tmp_path / "mini_docker").mkdir()
    (tmp_path / "mini_docker/__init__.py").write_text("raise SystemExit('the wrong package')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run(
        [*launcher.command("daemon"), "--no-such-flag"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "unknown flag: --no-such-flag" in done.stderr


def test_the_code_is_the_checkouts() -> None:
    """The path that is handed on is the one this very module was loaded from."""
    words = launcher.command("supervisor", "x")
    assert words[1] == "-ISOO"
    folder = str(Path(mini_docker.__file__).parents[1])
    assert words[3].split(":")[0] == folder
    assert words[4:] == ["supervisor", "x"]


def test_nothing_of_the_callers_environment_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in the administrator's shell must not end up in a process that lives for months."""
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv(launcher.OVERLAY_VARIABLE, "/learner")
    assert "SECRET" not in launcher.environment()
    assert launcher.environment()[launcher.OVERLAY_VARIABLE] == "/learner"


def test_every_role_exists() -> None:
    """A role names a module and a function as words: they must be right."""
    program = (
        "import importlib, json, sys; from mini_docker.launcher import ROLES;"
        "print(json.dumps([role for role, (m, f) in ROLES.items() if not hasattr(importlib.import_module(m), f)]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
