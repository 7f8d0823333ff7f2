"""Flags are read as Docker's users type them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.commands.options import INT, LIST, STRING, SWITCH, Command, Flag, UsageError, parse_flags
from mini_docker.commands.run import COMMANDS

FLAGS = (
    Flag("interactive", "i", SWITCH, ""),
    Flag("tty", "t", SWITCH, ""),
    Flag("publish", "p", LIST, ""),
    Flag("name", "", STRING, "", "none"),
    Flag("count", "c", INT, ""),
)


def parse(*words: str, stop: bool = True) -> tuple[dict[str, object], list[str]]:
    options = parse_flags(FLAGS, words, stop)
    assert options is not None
    return {name: options[name] for name in options.given}, options.args


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-it img", ({"interactive": True, "tty": True}, ["img"])),
        ("-itp 80:80 img", ({"interactive": True, "tty": True, "publish": ["80:80"]}, ["img"])),
        ("-p80:80 -p=81:81 img", ({"publish": ["80:80", "81:81"]}, ["img"])),
        ("--name=x img", ({"name": "x"}, ["img"])),
        ("--name x img", ({"name": "x"}, ["img"])),
        ("--name= img", ({"name": ""}, ["img"])),
        ("--tty=false img", ({"tty": False}, ["img"])),
        ("-t=0 img", ({"tty": False}, ["img"])),
        ("img -it --name x", ({}, ["img", "-it", "--name", "x"])),
        ("-i -- -t", ({"interactive": True}, ["-t"])),
        ("- x", ({}, ["-", "x"])),
        ("-c -5 img", ({"count": -5}, ["img"])),
    ],
)
def test_forms(words: str, expected: object) -> None:
    """Each way of writing a flag that Docker's documentation shows."""
    assert parse(*words.split()) == expected


def test_flags_may_stand_after_arguments_where_no_command_line_follows() -> None:
    """``mini-docker rm web -f`` works, since what follows ``rm`` is not someone else's command line."""
    assert parse("web", "-i", "db", stop=False) == ({"interactive": True}, ["web", "db"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--nosuch", "unknown flag: --nosuch"),
        ("-x img", "unknown shorthand flag: 'x' in -x"),
        ("-ix img", "unknown shorthand flag: 'x' in -ix"),
        ("--name", "flag needs an argument: --name"),
        ("-p", "flag needs an argument: 'p' in -p"),
        ("--tty=maybe", 'invalid argument "maybe" for "-t, --tty" flag'),
        ("-c x", 'invalid argument "x" for "-c, --count" flag: "x" is not a whole number'),
        ("--=x", "bad flag syntax: --=x"),
    ],
)
def test_mistakes_are_named(words: str, sentence: str) -> None:
    """The sentence says which word was wrong, as Docker's does."""
    with pytest.raises(ValueError) as caught:
        parse(*words.split())
    assert str(caught.value).startswith(sentence)


def test_help_is_asked_for() -> None:
    """``--help`` and ``-h`` ask for help, but -h is the host name where the table says so."""
    assert parse_flags(FLAGS, ["--help"], True) is None
    assert parse_flags(FLAGS, ["-h"], True) is None
    options = COMMANDS["run"].parse(["-h", "box", "img"])
    assert options is not None and options["hostname"] == "box"


values = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8)


@given(st.lists(st.sampled_from(FLAGS), max_size=6), st.lists(values, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_every_way_of_writing_a_flag_means_the_same(flags: list[Flag], rest: list[str], random: object) -> None:
    """``-p x``, ``-px``, ``--publish x``, ``--publish=x``: one meaning, in any mixture, with any words behind."""
    words: list[str] = []
    expected: dict[str, object] = {}
    for flag in flags:
        if flag.kind is SWITCH:
            words.append(random.choice([f"-{flag.short}", f"--{flag.long}", f"--{flag.long}=true"]))  # type: ignore[attr-defined]
            expected[flag.long] = True
            continue
        value = str(random.randrange(100))  # type: ignore[attr-defined]
        forms = [[f"--{flag.long}", value], [f"--{flag.long}={value}"]]
        if flag.short:
            forms += [[f"-{flag.short}", value], [f"-{flag.short}{value}"], [f"-{flag.short}={value}"]]
        words += random.choice(forms)  # type: ignore[attr-defined]
        typed = int(value) if flag.kind is INT else value
        expected[flag.long] = [*expected.get(flag.long, []), typed] if flag.kind is LIST else typed  # type: ignore[misc]
    assert parse(*words, "--", *rest) == (expected, rest)


def test_wrong_number_of_arguments() -> None:
    """The number of arguments is checked from the table, in Docker's words, with exit code 1; a flag's is 125."""
    for limits, count, words in (
        ((1, None), 0, "requires at least 1 argument\n"),
        ((2, 2), 1, "requires 2 arguments\n"),
        ((0, 0), 1, "accepts no arguments\n"),
        ((0, 1), 2, "requires at most 1 argument\n"),
    ):
        command = Command("x", "", "", lambda client, options: 0, (), limits)
        with pytest.raises(UsageError) as caught:
            command.parse(["a"] * count)
        assert f"mini-docker: 'mini-docker x' {words}" in str(caught.value)
        assert caught.value.exit_code == 1
    with pytest.raises(UsageError) as caught:
        COMMANDS["run"].parse(["--nosuch"])
    assert caught.value.exit_code == 125
    assert str(caught.value).endswith("Run 'mini-docker run --help' for more information")


def test_no_table_has_a_name_twice() -> None:
    """A flag's name or letter that stood twice in a table would silently lose one meaning."""
    from importlib import import_module

    from mini_docker.client import MODULES

    for module, names in MODULES.items():
        commands = import_module(f"mini_docker.commands.{module}").COMMANDS
        assert set(commands) == set(names), f"client.py's table and {module} disagree"
        for name, command in commands.items():
            longs = [flag.long for flag in command.flags]
            shorts = [flag.short for flag in command.flags if flag.short]
            assert len(set(longs)) == len(longs) and len(set(shorts)) == len(shorts), name
            assert command.name == name
            assert all(f"--{flag.long}" in command.help() for flag in command.flags)
