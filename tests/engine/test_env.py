"""Env: words by name, decoded once at a handler's border."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.engine import Env
from mini_docker.errors import Invalid

names = st.text(min_size=1).filter(lambda text: "=" not in text and "\0" not in text)
words = st.dictionaries(names, st.text())


@given(words)
def test_encode_and_decode_are_inverse(values: dict[str, str]) -> None:
    """An environment crosses a border as bytes and comes back unchanged."""
    assert dict(Env.decode(Env(values).encode())) == values


@given(names, st.integers())
def test_an_integer_comes_back(name: str, number: int) -> None:
    """What set_int stored, get_int reads."""
    env = Env()
    env.set_int(name, number)
    assert env.get_int(name) == number


@given(names, st.booleans())
def test_a_truth_comes_back(name: str, truth: bool) -> None:
    """What set_bool stored, get_bool reads, whatever the default."""
    env = Env()
    env.set_bool(name, truth)
    assert env.get_bool(name, default=not truth) is truth


@given(names, st.lists(st.text()))
def test_a_list_comes_back(name: str, items: list[str]) -> None:
    """A list of strings survives, empty strings and brackets included."""
    env = Env()
    env.set_list(name, items)
    assert env.get_list(name) == items


@pytest.mark.parametrize("word", ["1", "true", "True", "YES", "on", "t"])
def test_words_for_true(word: str) -> None:
    """Clients say true in several ways (Docker's GetBool takes them all)."""
    assert Env({"x": word}).get_bool("x")


@pytest.mark.parametrize("word", ["", "0", "false", "False", "no", "none", "off"])
def test_words_for_false(word: str) -> None:
    """And false in as many."""
    assert not Env({"x": word}).get_bool("x", default=True)


def test_defaults_hold_only_for_what_is_absent() -> None:
    """A default never hides what was said."""
    assert Env().get_int("t", 10) == 10
    assert Env({"t": "0"}).get_int("t", 10) == 0
    assert Env().get_bool("x", default=True)


@pytest.mark.parametrize(
    ("read", "text"),
    [("get_int", "ten"), ("get_bool", "perhaps"), ("get_json", "{"), ("get_list", "[1]"), ("get_list", "[")],
)
def test_nonsense_is_named(read: str, text: str) -> None:
    """A bad word is the caller's mistake: the error says which word, and what it was."""
    with pytest.raises(Invalid, match=r"bad value for wait"):
        getattr(Env({"wait": text}), read)("wait")


@pytest.mark.parametrize("name", ["", "a=b", "a\0b"])
def test_names_that_no_process_could_have(name: str) -> None:
    """execve could not pass such a name on, so an Env refuses it."""
    with pytest.raises(Invalid):
        Env()[name] = "x"


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": 1}', b"\xff"])
def test_bytes_that_are_no_environment(data: bytes) -> None:
    """decode takes an object of strings and nothing else."""
    with pytest.raises(Invalid):
        Env.decode(data)
