"""mini-runc's words, and the tables it prints."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from mini_docker.errors import Invalid, Unsupported
from mini_docker.runc.command_line import parse
from mini_docker.runc.commands import carry_out, signal_number
from mini_docker.runc.listing import list_containers
from mini_docker.runc.state_folder import StateFolder


def test_flags_in_all_their_forms() -> None:
    """As engines write them: with an equals sign, without, with one dash, before and after the command."""
    line = parse(
        [
            "--root=/r",
            "-log",
            "/l",
            "--systemd-cgroup=false",
            "exec",
            "-t",
            "-e",
            "A=1",
            "--env",
            "B=2",
            "box",
            "ls",
            "-l",
        ]
    )
    assert (line.flags.text("root"), line.flags.text("log"), line.flags.on("systemd-cgroup")) == ("/r", "/l", False)
    assert line.command == "exec"
    assert line.command_flags.on("tty")
    assert line.command_flags.texts("env") == ["A=1", "B=2"]
    assert line.arguments == ["box", "ls", "-l"]  # what follows the first word is the command's own


def test_f_is_force_or_format() -> None:
    """As the command has it."""
    assert parse(["delete", "-f", "box"]).command_flags.on("force")
    assert parse(["list", "-f", "json"]).command_flags.text("format") == "json"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fly"], "no command 'fly'"),
        (["run", "--wings", "box"], "not defined: --wings"),
        (["run", "--bundle"], "needs an argument"),
        (["--systemd-cgroup=maybe", "list"], "on or off"),
    ],
)
def test_wrong_words(words: list[str], message: str) -> None:
    """Are told apart from wrong containers."""
    with pytest.raises(Invalid, match=message):
        parse(words)


@pytest.mark.parametrize("words", [["--systemd-cgroup", "list"], ["run", "--no-pivot", "box"]])
def test_what_mini_runc_does_not_do(words: list[str], tmp_path: Path) -> None:
    """Is said, not silently left out."""
    with pytest.raises(Unsupported):
        carry_out(parse(["--root", str(tmp_path), *words]), print)


@pytest.mark.parametrize("word", ["9", "KILL", "SIGKILL", "sigkill"])
def test_signals_by_name_and_number(word: str) -> None:
    """All spellings that engines use."""
    assert signal_number(word) == signal.SIGKILL


@pytest.mark.parametrize("id_", ["", ".", "..", "a/b", "../x", "a b", "ä", "x" * 1025])
def test_ids_cannot_leave_the_root(tmp_path: Path, id_: str) -> None:
    """An id becomes the name of a folder."""
    with pytest.raises(Invalid, match="invalid container ID"):
        StateFolder(str(tmp_path), id_)


def test_the_table_of_containers() -> None:
    """Ids alone, JSON, or columns."""
    state = {"id": "box", "pid": 5, "status": "running", "bundle": "/b", "created": "now", "owner": ""}
    assert list_containers([state], True, "") == "box\n"
    assert json.loads(list_containers([state], False, "json")) == [state]
    title, row = list_containers([state], False, "table").splitlines()
    assert title.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert row.split() == ["box", "5", "running", "/b", "now"]


def test_spec_writes_a_config_once(tmp_path: Path) -> None:
    """And never over another."""
    words = ["spec", "--bundle", str(tmp_path)]
    assert carry_out(parse(words), print) == 0
    assert json.loads((tmp_path / "config.json").read_text())["process"]["args"] == ["sh"]
    assert os.stat(tmp_path / "config.json").st_size > 1000
    with pytest.raises(Exception, match="exists"):
        carry_out(parse(words), print)
