"""The detach keys, and raw mode that is always undone."""

from __future__ import annotations

import os
import pty
import termios

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.commands import terminal
from mini_docker.errors import Invalid


def test_key_names() -> None:
    """``ctrl-p,ctrl-q`` and its relatives, as the bytes that a keyboard sends."""
    assert terminal.parse_detach_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert terminal.parse_detach_keys("a,ctrl-@,ctrl-[") == b"a\x00\x1b"
    for bad in ("", "ctrl-", "ctrl-1", "ab", "ctrl-p,"):
        with pytest.raises(Invalid, match="invalid detach keys"):
            terminal.parse_detach_keys(bad)


@given(st.lists(st.binary(max_size=6), max_size=8))
@settings(max_examples=200, deadline=None)
def test_other_keys_pass(pieces: list[bytes]) -> None:
    """Without the sequence nothing is lost or doubled; at most the sequence's beginning is held back."""
    data = b"".join(pieces)
    keys = terminal.DetachKeys(b"\x10\x11")
    passed = b"".join(keys.feed(piece) for piece in pieces)
    if b"\x10\x11" in data:
        assert keys.detached
    else:
        assert not keys.detached
        assert passed + (b"\x10" if data.endswith(b"\x10") else b"") == data


def test_the_sequence_over_two_reads() -> None:
    """Two key presses come in two reads; what stood before them is sent, they are not."""
    keys = terminal.DetachKeys(b"\x10\x11")
    assert keys.feed(b"ls\x10") == b"ls"
    assert keys.feed(b"\x11never") == b""
    assert keys.detached


def test_raw_mode_is_undone_on_an_error() -> None:
    """A person whose terminal stays raw cannot type any more: every way out restores it."""
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        with pytest.raises(RuntimeError), terminal.RawMode(slave):
            assert not termios.tcgetattr(slave)[3] & termios.ECHO
            raise RuntimeError
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_size_of_what_is_no_terminal() -> None:
    """A pipe has no size."""
    read_end, write_end = os.pipe()
    assert terminal.size(read_end) is None
    os.close(read_end)
    os.close(write_end)
