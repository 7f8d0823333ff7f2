"""Streams: output fans out, input has one source, a tail remembers the last lines."""

from __future__ import annotations

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.engine import Buffer, Input, Output, Tail

pieces = st.lists(st.binary(max_size=40), max_size=20)


class Broken:
    """A destination whose reader went away."""

    def write(self, data: bytes) -> None:
        raise BrokenPipeError(32, "Broken pipe")


@given(pieces, pieces)
def test_every_destination_sees_a_suffix_of_what_was_written(before: list[bytes], after: list[bytes]) -> None:
    """Who joins later misses what was written earlier, and nothing else."""
    output = Output()
    first = output.add_buffer()
    for piece in before:
        output.write(piece)
    second = output.add_buffer()
    for piece in after:
        output.write(piece)
    assert first.getvalue() == b"".join(before + after)
    assert second.getvalue() == b"".join(after)


def test_one_broken_destination_does_not_harm_the_others() -> None:
    """A client that hangs up must not cut the log off."""
    output = Output()
    output.add(Broken())
    healthy = output.add_buffer()
    output.write(b"a")
    output.write(b"b")
    assert healthy.getvalue() == b"ab"


def test_the_writer_learns_when_the_last_reader_is_gone() -> None:
    """As EPIPE tells a process in a pipeline."""
    output = Output()
    output.add(Broken())
    with pytest.raises(BrokenPipeError):
        output.write(b"a")


def test_output_without_destinations_vanishes() -> None:
    """As into /dev/null: a job need not know whether anyone listens."""
    assert Output().write(b"abc") == 3


def test_a_closed_output_takes_nothing() -> None:
    """A write after the end is a mistake in the handler, and is not swallowed."""
    output = Output()
    output.close()
    with pytest.raises(ValueError, match="closed"):
        output.write(b"a")


def test_writes_of_many_threads_are_never_torn() -> None:
    """All destinations agree on one order, and no write is cut by another."""
    output = Output()
    one, two = output.add_buffer(), output.add_buffer()
    lines = [bytes([letter]) * 50 + b"\n" for letter in range(ord("a"), ord("i"))]
    threads = [threading.Thread(target=lambda line=line: [output.write(line) for _ in range(50)]) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.getvalue() == two.getvalue()
    assert sorted(one.getvalue().splitlines(keepends=True)) == sorted(lines * 50)


@given(pieces, st.integers(min_value=1, max_value=5))
def test_a_tail_keeps_the_last_lines(written: list[bytes], count: int) -> None:
    """However the bytes were cut into writes, the tail is the last lines of the whole."""
    tail = Tail(count)
    for piece in written:
        tail.write(piece)
    whole = b"".join(written)
    lines = whole.split(b"\n")
    lines = lines if lines[-1] else lines[:-1]
    assert tail.lines() == [line.decode(errors="replace") for line in lines[-count:]]


def test_a_tail_is_bounded() -> None:
    """A job that writes one endless line must not eat the daemon's memory."""
    tail = Tail(lines=1, line_limit=10)
    for _ in range(1000):
        tail.write(b"x" * 1000)
    assert tail.lines() == ["x" * 10]


def test_an_input_has_exactly_one_source() -> None:
    """Two sources would have no order; a process, too, has one standard input."""
    stream = Input()
    stream.set(io.BytesIO(b"abc"))
    with pytest.raises(ValueError, match="one source"):
        stream.set(io.BytesIO(b""))
    assert stream.read(2) + stream.read() == b"abc"


def test_an_input_without_source_is_at_its_end() -> None:
    """As with </dev/null."""
    assert Input().read() == b""
    assert not Input().connected


def test_set_replaces_all_destinations() -> None:
    """A hijacked connection takes the stream for itself."""
    output = Output()
    old = output.add_buffer()
    new = Buffer()
    output.set(new)
    output.write(b"x")
    assert (old.getvalue(), new.getvalue()) == (b"", b"x")
