"""The knock: ctrl-p ctrl-q, and any other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.daemon.jobs.conversation import FrameSieve
from mini_docker.detach_keys import DEFAULT_KEYS, DetachKeys, parse_keys
from mini_docker.errors import Invalid
from mini_docker.remote_api import STDERR, STDOUT, frame_header

KEYS = st.binary(min_size=1, max_size=3).map(lambda data: bytes(byte % 3 for byte in data))


@settings(max_examples=200)
@given(KEYS, st.lists(st.binary(max_size=4).map(lambda data: bytes(byte % 3 for byte in data)), max_size=6))
def test_law_of_the_knock(keys: bytes, pieces: list[bytes]) -> None:
    """What passes is what was typed up to the first knock, however the bytes are cut; after it nothing passes."""
    watcher, typed = DetachKeys(keys), b"".join(pieces)
    passed = b"".join(watcher.feed(piece) for piece in pieces) + watcher.flush()
    knock = typed.find(keys)
    assert watcher.detached == (knock >= 0)
    assert passed == (typed if knock < 0 else typed[:knock])


def test_a_knock_within_its_own_beginning() -> None:
    """``aaab`` ends with ``aab``: what comes in vain begins anew with its longest end that may still be one."""
    keys = DetachKeys(b"aab")
    assert keys.feed(b"aaab") == b"a"
    assert keys.detached


def test_the_knock_over_two_reads() -> None:
    """Two key presses come in two reads; what stood before them is sent, they and what follows are not."""
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"ls\x10") == b"ls"
    assert keys.feed(b"\x11never") == b"" == keys.feed(b"more")
    assert keys.detached


def test_without_keys_nothing_detaches() -> None:
    """An empty knock is never heard."""
    assert DetachKeys(b"").feed(b"\x10\x11") == b"\x10\x11"


def test_key_names() -> None:
    """ctrl-letters, ctrl-signs and plain letters; others are refused."""
    assert parse_keys("") == DEFAULT_KEYS == parse_keys("ctrl-p,ctrl-q")
    assert parse_keys("a,ctrl-[,ctrl-@,CTRL-Z") == b"a\x1b\x00\x1a"
    for text in ("ctrl-", "ctrl-ab", "ab", "ctrl-1", ","):
        with pytest.raises(Invalid, match="Invalid detach keys"):
            parse_keys(text)


FRAMES = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=5)), max_size=6)


@settings(max_examples=100)
@given(FRAMES, st.integers(1, 7))
def test_frame_sieve(frames: list[tuple[int, bytes]], cut: int) -> None:
    """The frames of one stream pass whole and in order, however the bytes are cut."""
    sieve = FrameSieve(frozenset([STDERR]))
    data = b"".join(frame_header(stream, len(text)) + text for stream, text in frames)
    passed = b"".join(sieve.feed(data[start : start + cut]) for start in range(0, len(data), cut))
    assert passed == b"".join(frame_header(stream, len(text)) + text for stream, text in frames if stream == STDERR)
