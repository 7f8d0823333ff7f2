"""Endings: what a supervisor notes for a daemon that was not there, and that the next one finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from mini_docker.supervisor.endings import Endings

EVENT = {"event": "exited", "container": "abc", "exit_code": 9}


def test_a_note_is_found_by_the_next_supervisor(tmp_path: Path) -> None:
    """The one that wrote it may be dead by then."""
    Endings(tmp_path).note("abc", EVENT)
    assert Endings(tmp_path).earlier == {"abc": EVENT}


def test_what_the_daemon_knows_is_forgotten(tmp_path: Path) -> None:
    """Else an old ending would come back with every new supervisor."""
    endings = Endings(tmp_path)
    endings.note("abc", EVENT)
    endings.forget("abc")
    endings.forget("abc")
    assert Endings(tmp_path).earlier == {}


def test_a_torn_note_is_none(tmp_path: Path) -> None:
    """A crash in the middle of a write."""
    (tmp_path / "abc").write_text('{"event": "exi')
    assert Endings(tmp_path).earlier == {}
    assert list(tmp_path.iterdir()) == []


def test_a_full_run_folder_lets_nobody_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor lives on: it has other containers to hold."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    endings = Endings(tmp_path)
    monkeypatch.setattr(Path, "write_text", full)
    endings.note("abc", EVENT)
