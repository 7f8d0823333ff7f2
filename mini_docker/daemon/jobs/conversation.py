"""A conversation: a client on one end, a process's stdio on the other, and two threads that carry bytes.

The client's end of input is passed on as such (half-close) and the output goes on; the conversation is
over when the process has ended and all its output is delivered, when the client knocks to leave, or
when it is gone. It knows sockets and jobs, and nothing of containers.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from mini_docker.dataclasses import dataclass
from mini_docker.detach_keys import DetachKeys
from mini_docker.engine import Job
from mini_docker.remote_api import FRAME_HEADER_SIZE, STDERR, STDOUT, parse_frame_header

CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Talk:
    """Which streams the client wants.

    Attributes:
        terminal: raw bytes both ways, and the detach keys are heard.
        detach_keys: the knock.
    """

    stdin: bool
    stdout: bool
    stderr: bool
    terminal: bool
    detach_keys: bytes


def converse(job: Job, stream: socket.socket, talk: Talk) -> bool:
    """Carry bytes between *job*'s streams and *stream* until one side is done; closes *stream*.

    Returns:
        whether the client knocked to leave.
    """
    keys = DetachKeys(talk.detach_keys)
    with stream, job.on_cancel(lambda: _hang_up(stream)):
        if talk.stdin:
            # It may sit in a read of the client's until the server closes the connection: nobody waits for it.
            carrier = threading.Thread(
                target=_carry_input, args=(job, stream, keys if talk.terminal else None), daemon=True,
                name=f"stdin of {job}",
            )  # fmt: skip
            carrier.start()
        try:
            _carry_output(job, stream, talk)
        except (OSError, ValueError):
            pass  # the client has gone; the process goes on
    return keys.detached


def _carry_output(job: Job, stream: socket.socket, talk: Talk) -> None:
    if talk.terminal or (talk.stdout and talk.stderr):
        pass_on: Callable[[bytes], bytes] = bytes
    else:
        pass_on = FrameSieve(frozenset([STDOUT] * talk.stdout + [STDERR] * talk.stderr)).feed
    muted = talk.terminal and not talk.stdout
    while data := stream.recv(CHUNK):
        wanted = pass_on(data)
        if wanted and not muted:
            job.stdout.write(wanted)


def _carry_input(job: Job, stream: socket.socket, keys: DetachKeys | None) -> None:
    try:
        while data := job.stdin.read(CHUNK):
            if keys is not None:
                data = keys.feed(data)
            stream.sendall(data)
            if keys is not None and keys.detached:
                _hang_up(stream)
                return
        if keys is not None:
            stream.sendall(keys.flush())
        stream.shutdown(socket.SHUT_WR)
    except (OSError, ValueError):
        pass  # the process, or the client, has gone


def _hang_up(stream: socket.socket) -> None:
    """Wake whoever reads or writes the stream."""
    try:
        stream.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # hung up already


class FrameSieve:
    """Lets only the frames of some streams through, however the bytes are cut.

    Args:
        streams: STDOUT, STDERR or both.
    """

    def __init__(self, streams: frozenset[int]) -> None:
        self._streams = streams
        self._header = b""
        self._left = 0  # bytes of the open frame still to come
        self._passing = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; returns those that pass."""
        passed = bytearray()
        position = 0
        while position < len(data):
            if self._left == 0:
                piece = data[position : position + FRAME_HEADER_SIZE - len(self._header)]
                position += len(piece)
                self._header += piece
                if len(self._header) < FRAME_HEADER_SIZE:
                    break
                stream, self._left = parse_frame_header(self._header)
                self._passing = stream in self._streams
                if self._passing:
                    passed += self._header
                self._header = b""
                continue
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            if self._passing:
                passed += piece
        return bytes(passed)
