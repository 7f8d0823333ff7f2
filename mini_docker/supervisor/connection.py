"""One daemon's connection: requests in, replies and events out, never blocking.

It knows the protocol's frames; what a request means is the supervisor's to know.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from mini_docker.supervisor.loop import HANGUP, READ, WRITE, Loop
from mini_docker.supervisor.protocol import Frame, FrameReader, encode

Answer = Callable[["Connection", Frame, list[int]], None]
"""Takes a request and its descriptors (to keep or to close); sees to it that a reply is sent, once, sometime."""

EVENT_BACKLOG_BYTES = 8 << 20
"""A daemon that does not read its events for so long is as good as gone."""


class Connection:
    """Lock-step requests, or a stream of events once it subscribed."""

    def __init__(
        self, loop: Loop, channel: socket.socket, answer: Answer, on_closed: Callable[[Connection], None]
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._answer = answer
        self._on_closed = on_closed
        self._reader = FrameReader()
        self._backlog = bytearray()
        self._descriptors: list[int] = []  # to go out with the backlog's first bytes
        channel.setblocking(False)
        loop.watch(channel.fileno(), READ, self._ready)

    def reply(self, frame: Frame, descriptors: tuple[int, ...] = ()) -> None:
        """Send a reply or an event, with copies of *descriptors*."""
        if self._channel.fileno() < 0:
            return
        self._backlog += encode(frame)
        self._descriptors += [os.dup(descriptor) for descriptor in descriptors]
        self._flush()
        if len(self._backlog) > EVENT_BACKLOG_BYTES:
            self.close()

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & READ:
            self._receive()
        elif events & HANGUP:
            self.close()

    def _receive(self) -> None:
        try:
            if not self._reader.feed(self._channel):
                self.close()
                return
            frame = self._reader.frame()
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self.close()
            return
        if frame is not None:
            self._answer(self, frame, self._reader.take_descriptors())

    def _flush(self) -> None:
        try:
            while self._backlog:
                if self._descriptors:
                    sent = socket.send_fds(self._channel, [self._backlog], self._descriptors)
                    self._close_descriptors()
                else:
                    sent = self._channel.send(self._backlog)
                del self._backlog[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._loop.change(self._channel.fileno(), READ | (WRITE if self._backlog else 0))

    def _close_descriptors(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def close(self) -> None:
        """Let the daemon go."""
        if self._channel.fileno() < 0:
            return
        self._loop.forget(self._channel.fileno())
        self._channel.close()
        self._reader.close()
        self._close_descriptors()
        self._on_closed(self)
