"""The supervisor's protocol: frames however they are cut, descriptors, errors that keep their kind."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.errors import CannotExecute, Conflict, MiniDockerError, NotFound
from mini_docker.supervisor import protocol
from mini_docker.supervisor.protocol import FrameReader

frames = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=4), max_size=5)


@given(frames, st.integers(1, 50))
def test_frames_survive_any_cut(sent: list[dict[str, object]], step: int) -> None:
    """A stream has no borders: the reader finds them."""
    data = b"".join(protocol.encode(frame) for frame in sent)
    one, other = socket.socketpair()
    reader = FrameReader()
    received = []
    with one, other:
        for start in range(0, len(data), step):
            one.sendall(data[start : start + step])
            assert reader.feed(other)
            while (frame := reader.frame()) is not None:
                received.append(frame)
    assert received == sent


def test_descriptors_come_with_their_frame() -> None:
    """And are close-on-exec from the first moment."""
    one, other = socket.socketpair()
    readable, writable = os.pipe()
    reader = FrameReader()
    with one, other:
        protocol.send(one, {"verb": "attach"}, [writable])
        reader.feed(other)
        assert reader.frame() == {"verb": "attach"}
        (copy,) = reader.take_descriptors()
        assert not os.get_inheritable(copy)
    for descriptor in (readable, writable, copy):
        os.close(descriptor)


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\x02[]", b"\0\0\0\x01x"])
def test_nonsense_is_refused(data: bytes) -> None:
    """A peer that speaks something else is cut off, not guessed at."""
    one, other = socket.socketpair()
    reader = FrameReader()
    with one, other:
        one.sendall(data)
        reader.feed(other)
        with pytest.raises(ValueError, match=r"frame|JSON|Expecting"):
            reader.frame()


@pytest.mark.parametrize("error", [NotFound("x"), Conflict("y"), CannotExecute("z", 126), MiniDockerError("w")])
def test_errors_keep_their_kind(error: MiniDockerError) -> None:
    """The daemon raises what the supervisor raised."""
    with pytest.raises(type(error)) as caught:
        protocol.raise_error(protocol.error_frame(error))
    assert str(caught.value) == str(error)
    if isinstance(error, CannotExecute):
        assert isinstance(caught.value, CannotExecute)
        assert caught.value.exit_code == error.exit_code
