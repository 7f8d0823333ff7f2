"""Scratch folders: a check that runs keeps its own, a killed one's can be cleaned away."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mini_docker.lab import scratch

WORKER = """
import sys, time
from mini_docker.lab.scratch import scratch
with scratch() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_one_in_use_is_spared_and_gone_at_the_end() -> None:
    """`clean` beside a running check takes nothing from under it."""
    with scratch.scratch() as folder:
        assert folder.is_dir()
        assert list(scratch.left_behind()) == []
    assert not folder.exists()


def test_one_whose_check_was_killed_is_left_behind() -> None:
    """The lock goes with the process, however it ends."""
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with worker:
        assert worker.stdout is not None
        folder = Path(worker.stdout.readline().strip())
        assert list(scratch.left_behind()) == []
        worker.kill()
    assert list(scratch.left_behind()) == [folder]
