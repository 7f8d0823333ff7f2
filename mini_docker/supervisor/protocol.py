"""How daemon and supervisor speak: length-prefixed JSON over a unix stream socket, with descriptors.

A connection is lock-step: one request, one reply. One that said ``subscribe`` turns into a
one-way stream of events. The version is in the socket's name: a daemon of another version
does not even connect.

It knows frames, not what is asked.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

from mini_docker.errors import CannotExecute, MiniDockerError, error_of_kind
from mini_docker.linux.descriptors import receive

VERSION = 3
SOCKET_NAME = f"supervisor-{VERSION}.sock"
MAX_FRAME_BYTES = 16 << 20
MAX_DESCRIPTORS = 8
_LENGTH = struct.Struct(">I")

Frame = dict[str, Any]


class FrameReader:
    """Puts frames together from whatever pieces arrive, and collects the descriptors that came along."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.descriptors: list[int] = []

    def feed(self, channel: socket.socket) -> bool:
        """Read what is there; False at the end of the stream.

        Raises:
            BlockingIOError: nothing is there now.
        """
        data, descriptors = receive(channel, 1 << 16, MAX_DESCRIPTORS)
        self.descriptors += descriptors
        self._data += data
        return bool(data)

    def frame(self) -> Frame | None:
        """The next whole frame, or None when more must be read.

        Raises:
            ValueError: the peer speaks nonsense; the connection is to be closed.
        """
        if len(self._data) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._data)
        if length > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {length} bytes")
        end = _LENGTH.size + length
        if len(self._data) < end:
            return None
        frame = json.loads(self._data[_LENGTH.size : end])
        del self._data[:end]
        if not isinstance(frame, dict):
            raise ValueError("a frame that is no object")
        return frame

    def take_descriptors(self) -> list[int]:
        """The descriptors that came with the frame; from now on the caller's."""
        taken, self.descriptors = self.descriptors, []
        return taken

    def close(self) -> None:
        """Close descriptors that nobody took."""
        for descriptor in self.take_descriptors():
            os.close(descriptor)


def encode(frame: Frame) -> bytes:
    """A frame as bytes."""
    data = json.dumps(frame, separators=(",", ":")).encode()
    return _LENGTH.pack(len(data)) + data


def send(channel: socket.socket, frame: Frame, descriptors: list[int]) -> None:
    """Send a whole frame on a blocking socket, descriptors with its first bytes."""
    data = encode(frame)
    sent = socket.send_fds(channel, [data], descriptors) if descriptors else channel.send(data)
    if sent < len(data):
        channel.sendall(data[sent:])


def error_frame(error: MiniDockerError) -> Frame:
    """A failure as a reply."""
    return {
        "error": str(error),
        "kind": type(error).__name__,
        "exit_code": error.exit_code if isinstance(error, CannotExecute) else 0,
    }


def raise_error(reply: Frame) -> None:
    """Raise the failure that *reply* carries, if it does."""
    if "error" not in reply:
        return
    if reply["exit_code"]:
        raise CannotExecute(reply["error"], reply["exit_code"])
    raise error_of_kind(reply["kind"], reply["error"])
