"""Two outputs on one connection are told apart, wherever the network cuts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.commands.demultiplexer import BrokenStream, Demultiplexer
from mini_docker.errors import MiniDockerError
from mini_docker.remote_api import STDERR, STDOUT, frame_header


@given(
    st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=30)), max_size=8),
    st.lists(st.integers(0, 400), max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_cuts_do_not_matter(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """A frame, a header even, may come in pieces: each stream's bytes are the same, in the same order."""
    data = b"".join(frame_header(stream, len(payload)) + payload for stream, payload in frames)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    demultiplexer = Demultiplexer()
    got = [piece for a, b in pairwise(places) for piece in demultiplexer.feed(data[a:b])]
    for stream in (STDOUT, STDERR):
        assert b"".join(payload for number, payload in got if number == stream) == b"".join(
            payload for number, payload in frames if number == stream
        )


def test_output_is_given_as_it_comes() -> None:
    """A prompt without its newline must not wait for the frame's end."""
    demultiplexer = Demultiplexer()
    assert list(demultiplexer.feed(frame_header(STDOUT, 100) + b"$ ")) == [(STDOUT, b"$ ")]


def test_raw_bytes_are_not_taken_for_frames() -> None:
    """When one end thinks there is a terminal and the other not, say so instead of hanging on a huge length."""
    with pytest.raises(BrokenStream, match="unrecognized stream"):
        list(Demultiplexer().feed(b"hello world"))


def test_the_daemons_own_failure() -> None:
    """Stream 3 carries the daemon's sentence."""
    with pytest.raises(MiniDockerError, match="disk full"):
        list(Demultiplexer().feed(frame_header(3, 9) + b"disk full"))
