"""Finding the command, with the errors and exit codes that users know from their shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from mini_docker.errors import CannotExecute, Invalid
from mini_docker.libcontainer import executable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "data").write_text("x")
    (tmp_path / "sub").mkdir()
    return tmp_path


def test_path_is_searched_in_order(folder: Path) -> None:
    """The container's PATH, not ours."""
    assert executable.find(["tool"], [f"PATH=/nowhere:{folder}"]) == str(folder / "tool")


def test_a_name_with_a_slash_is_taken_as_it_is(folder: Path) -> None:
    """As execvp(3) does."""
    assert executable.find([str(folder / "tool")], []) == str(folder / "tool")


@pytest.mark.parametrize(
    ("name", "words", "code"),
    [
        ("nope", "executable file not found in $PATH", 127),
        ("{folder}/nope", "no such file or directory", 127),
        ("{folder}/data", "permission denied", 126),
        ("{folder}/sub", "is a directory", 126),
        ("data", "permission denied", 126),
    ],
)
def test_why_it_cannot_be_executed(folder: Path, name: str, words: str, code: int) -> None:
    """127 is "not found", 126 "found, but not executable": scripts tell them apart."""
    with pytest.raises(CannotExecute) as caught:
        executable.find([name.format(folder=folder)], [f"PATH={folder}"])
    assert words in str(caught.value)
    assert caught.value.exit_code == code


@pytest.mark.parametrize("args", [[], [""]])
def test_no_command(args: list[str]) -> None:
    """An image without a command and a user who gave none."""
    with pytest.raises(Invalid, match="no command specified"):
        executable.find(args, [])


def test_a_failed_exec_is_explained() -> None:
    """A file that is no program (ENOEXEC) was found: 126."""
    assert executable.explain("x", 8).exit_code == 126
    assert executable.explain("x", 2).exit_code == 127
