"""The dialogue: typed words between parent and init, with descriptors."""

from __future__ import annotations

import os

import pytest

from mini_docker.errors import CannotExecute, Invalid, MiniDockerError
from mini_docker.libcontainer import dialogue
from mini_docker.libcontainer.dialogue import Failed, Mapped, Message, Proceed, Ready, Sandboxed, Terminal

WORDS: list[Message] = [
    Mapped(), Sandboxed(), Terminal(), Ready(("no swap",)), Proceed(), Failed("no", 127), Failed("bad", kind="Invalid"),
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_words_arrive_as_they_were_said(word: Message) -> None:
    """Both halves use the same values."""
    one, other = dialogue.pair()
    with one, other:
        dialogue.say(one, word)
        assert dialogue.hear(other) == (word, [])


def test_borders_are_kept() -> None:
    """Two words said in a row are two words."""
    one, other = dialogue.pair()
    with one, other:
        for word in WORDS:
            dialogue.say(one, word)
        assert [dialogue.hear(other)[0] for _ in WORDS] == WORDS


def test_descriptors_travel_and_do_not_leak_into_programs() -> None:
    """What init hands up must not live on in the next exec."""
    one, other = dialogue.pair()
    readable, writable = os.pipe()
    with one, other:
        dialogue.say(one, Terminal(), writable)
        _, (copy,) = dialogue.hear(other)
        os.write(copy, b"x")
        assert os.read(readable, 1) == b"x"
        assert not os.get_inheritable(copy)
    for descriptor in (readable, writable, copy):
        os.close(descriptor)


def test_the_end_is_heard() -> None:
    """A half that dies, or executes the command, closes its end."""
    one, other = dialogue.pair()
    with other:
        one.close()
        assert dialogue.hear(other) == (None, [])


def test_silence_is_not_the_end() -> None:
    """The supervisor's loop never blocks on one container."""
    one, other = dialogue.pair()
    other.setblocking(False)
    with one, other, pytest.raises(BlockingIOError):
        dialogue.hear(other)


def test_a_failure_becomes_the_error_it_was() -> None:
    """The kind crosses the border, so nobody has to read the text."""
    assert isinstance(Failed("x", 127).error(), CannotExecute)
    assert isinstance(Failed("x", kind="Invalid").error(), Invalid)
    assert type(Failed("x", kind="no such kind").error()) is MiniDockerError


def test_a_word_too_long_is_not_cut() -> None:
    """A cut message would be no JSON at the other end; the sender must know."""
    one, other = dialogue.pair()
    with one, other, pytest.raises(ValueError, match="more than the dialogue carries"):
        dialogue.say(one, Failed("x" * dialogue.MAX_MESSAGE_BYTES))


def test_a_last_word_is_heard_even_by_who_was_not_listened_to() -> None:
    """Init may fail before it hears that it may go on: why it failed must not get lost with that."""
    parent, init = dialogue.pair()
    dialogue.say(parent, Proceed())
    dialogue.say(init, Failed("no such user", 126))
    init.close()
    assert dialogue.hear(parent)[0] == Failed("no such user", 126)
    assert dialogue.hear(parent) == (None, [])
    parent.close()
