"""Raw mode is always undone; the size of a terminal."""

from __future__ import annotations

import os
import pty
import termios

import pytest

from mini_docker.commands import terminal


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
