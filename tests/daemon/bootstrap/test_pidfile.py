"""One daemon a root folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mini_docker.daemon.pidfile import hold_root, pidfile
from mini_docker.errors import Conflict


def test_a_root_folder_is_held_by_one(tmp_path: Path) -> None:
    """Two daemons on one store would be two truths."""
    with hold_root(tmp_path), pytest.raises(Conflict, match=str(tmp_path)), hold_root(tmp_path):
        raise AssertionError("held twice")
    with hold_root(tmp_path):
        pass


def test_the_pidfile_lives_as_long_as_the_daemon(tmp_path: Path) -> None:
    """Whoever wants to send a signal finds the right process, or no file."""
    path = tmp_path / "run" / "pid"
    with pidfile(path):
        assert int(path.read_text()) == os.getpid()
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "nonsense", "999999999"])
def test_a_leftover_is_replaced(tmp_path: Path, content: str) -> None:
    """A daemon that was killed leaves its file; that must not keep the next one out."""
    path = tmp_path / "pid"
    path.write_text(content)
    with pidfile(path):
        assert int(path.read_text()) == os.getpid()


def test_a_living_process_keeps_its_file(tmp_path: Path) -> None:
    """It may be another daemon."""
    path = tmp_path / "pid"
    with subprocess.Popen(["sleep", "1000"]) as process:
        path.write_text(str(process.pid))
        with pytest.raises(Conflict, match=str(process.pid)), pidfile(path):
            raise AssertionError("taken over")
        process.kill()


def test_a_zombie_is_no_living_process(tmp_path: Path) -> None:
    """A daemon that was killed and that its parent has not reaped yet is dead all the same."""
    path = tmp_path / "pid"
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    path.write_text(str(process.pid))
    with pidfile(path):
        assert int(path.read_text()) == os.getpid()
    process.wait()
