"""The Dockerfile's grammar: what a script says, and where it is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.builder.dockerfile import Instruction, expand, parse
from mini_docker.errors import Invalid


def words_of(text: str) -> list[tuple[str, str]]:
    return [(instruction.word, instruction.rest) for instruction in parse(text)]


def test_lines_are_joined_and_comments_left_out() -> None:
    """Also a comment in the middle of a continued line, as in Docker."""
    text = "# syntax\nfrom busybox\nRUN echo a \\\n  # why\n  && echo b\n\nCMD x\n"
    assert words_of(text) == [("FROM", "busybox"), ("RUN", "echo a && echo b"), ("CMD", "x")]


def test_another_escape_character() -> None:
    """For paths with backslashes."""
    assert words_of("# escape=`\nFROM x\nRUN a `\nb\n")[1] == ("RUN", "a b")


def test_flags_are_apart_from_arguments() -> None:
    """``--from`` and ``--chown``."""
    copy = parse("FROM x\nCOPY --from=one --chown=1:2 a b /c/\n")[1]
    assert (copy.flags, copy.words()) == ({"from": "one", "chown": "1:2"}, ["a", "b", "/c/"])
    assert str(copy) == "COPY --from=one --chown=1:2 a b /c/"


@pytest.mark.parametrize(
    ("rest", "words", "is_json"),
    [('["a b", "c"]', ["a b", "c"], True), ('"a b" c', ["a b", "c"], False), ("[not json", ["[not", "json"], False)],
)
def test_both_forms_of_arguments(rest: str, words: list[str], is_json: bool) -> None:
    """The exec form is a JSON list; what only looks like one is taken as words."""
    instruction = Instruction("COPY", {}, rest, 1)
    assert instruction.words() == words
    assert (instruction.json_form() is not None) == is_json


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be empty"),
        ("# nothing\n", "cannot be empty"),
        ("FROM x\nFROB y\n", "line 2: unknown instruction: FROB"),
        ("FROM x\nRUN\n", "line 2: RUN requires at least one argument"),
        ("RUN x\n", "line 1 comes before any FROM"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, reason: str) -> None:
    """Before anything is built."""
    with pytest.raises(Invalid, match=reason):
        parse(text)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A/${A}x", "1/1x"), ("${B:-two}", "two"), ("${A:-two}", "1"), ("${A:+yes}${B:+no}", "yes"), (r"\$A", "$A"),
        ("$B", ""), ("100%", "100%"),
    ],
)  # fmt: skip
def test_variables(text: str, result: str) -> None:
    """As in a shell, and no more than that."""
    assert expand(text, {"A": "1"}) == result


@given(st.text(max_size=80))
def test_no_script_crashes_the_parser(text: str) -> None:
    """The answer is instructions or an error that says why."""
    try:
        instructions = parse(text)
    except Invalid:
        return
    assert all(instruction.rest for instruction in instructions)
