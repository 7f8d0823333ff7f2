"""A process's stdio as the supervisor holds it: two pipes and a half, or a terminal, and who is attached.

Output goes to the json log and to every attacher, input comes from attachers. Each has a bounded
backlog; where one is full the reading stops, so that back-pressure reaches the process that
writes, and nobody else. It knows bytes and frames, not containers.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from mini_docker.remote_api import STDERR, STDOUT, frame_header
from mini_docker.supervisor.log_writer import LogWriter
from mini_docker.supervisor.loop import HANGUP, READ, WRITE, Loop, Timer

TURN_BYTES = 1 << 16
"""How much of one stream is moved in one turn of the loop."""
LOGGED_TURN_BYTES = 1 << 13
"""The same where each line becomes an entry of a log, which takes ten times as long as moving it: so that a
chatty container's turn is about 0.3 ms, and others start quickly beside it."""
BACKLOG_BYTES = 1 << 20
"""How much an attacher may lag behind before the process has to wait for it."""
LOG_RETRY_SECONDS = 0.25


class Attacher:
    """One client's end of a process's stdio.

    Args:
        channel: a connected stream socket, from now on ours.
        takes_input: whether what it sends is standard input.
    """

    def __init__(self, loop: Loop, channel: socket.socket, takes_input: bool, owner: ProcessStdio) -> None:
        self._loop = loop
        self._channel = channel
        self._owner = owner
        self._takes_input = takes_input
        self._backlog = bytearray()
        self._reading = True
        self._ended = False
        self._closing = False
        channel.setblocking(False)
        loop.watch(channel.fileno(), READ, self._ready)

    @property
    def lagging(self) -> bool:
        """Whether the process must wait for this one."""
        return len(self._backlog) >= BACKLOG_BYTES

    def send(self, data: bytes) -> None:
        """Queue output."""
        self._backlog += data
        self._flush()

    def finish(self) -> None:
        """No more output will come: close once the backlog is delivered."""
        self._closing = True
        self._flush()

    def pause(self, paused: bool) -> None:
        """Stop or go on taking input."""
        if not self._ended and self._reading == paused:
            self._reading = not paused
            self._interest()

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & READ and self._channel.fileno() >= 0:
            self._receive()
        # A half-close says "no more input" and shows as the end of the stream; a hang-up says that
        # nobody listens any more.
        if events & HANGUP and (self._ended or not events & READ):
            self.close()

    def _receive(self) -> None:
        try:
            data = self._channel.recv(TURN_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if data:
            if self._takes_input:
                self._owner.input(data)
            return
        self._ended = True
        self._reading = False
        self._interest()
        if self._takes_input:
            self._owner.input_ended()

    def _flush(self) -> None:
        try:
            while self._backlog:
                sent = self._channel.send(self._backlog[:TURN_BYTES])
                del self._backlog[:sent]
        except BlockingIOError:
            self._interest()
            return
        except OSError:
            self.close()
            return
        if self._closing:
            self.close()
            return
        self._interest()
        self._owner.attacher_caught_up()

    def _interest(self) -> None:
        self._loop.change(self._channel.fileno(), (READ if self._reading else 0) | (WRITE if self._backlog else 0))

    def close(self) -> None:
        """Let the client go."""
        if self._channel.fileno() < 0:
            return
        self._loop.forget(self._channel.fileno())
        self._channel.close()
        self._backlog.clear()
        self._owner.attacher_left(self)


class ProcessStdio:
    """The outer ends of one process's streams.

    Args:
        log: where output is logged; None for nowhere. Owned.
        stdin_once: the first attacher that ends its input ends the process's.
        on_logged: called whenever the log grew.
    """

    def __init__(
        self, loop: Loop, log: LogWriter | None, stdin_once: bool, on_logged: Callable[[], None] = lambda: None
    ) -> None:
        self._loop = loop
        self._log = log
        self._stdin_once = stdin_once
        self._on_logged = on_logged
        self._outputs: dict[int, int] = {}  # descriptor → stream
        self._stdin = -1
        self._input = bytearray()
        self._input_closing = False
        self._attachers: list[Attacher] = []
        self._reading = True
        self._log_blocked: Timer | None = None
        self._terminal = False
        self._finished = False

    def set_pipes(self, stdin: int, stdout: int, stderr: int) -> None:
        """Take over our ends of the pipes; *stdin* is -1 for a process without open input."""
        self._stdin = stdin
        for descriptor, stream in ((stdout, STDOUT), (stderr, STDERR)):
            self._add_output(descriptor, stream)
        if stdin >= 0:
            os.set_blocking(stdin, False)
            self._loop.watch(stdin, 0, self._stdin_ready)

    def set_terminal(self, master: int) -> None:
        """Take over the master of the process's terminal."""
        self._terminal = True
        self._stdin = master
        self._outputs[master] = STDOUT
        os.set_blocking(master, False)
        self._loop.watch(master, READ, self._terminal_ready)

    @property
    def terminal(self) -> int:
        """The master's descriptor, or -1."""
        return self._stdin if self._terminal else -1

    def attach(self, channel: socket.socket, takes_input: bool) -> None:
        """Add a client."""
        attacher = Attacher(self._loop, channel, takes_input, self)
        self._attachers.append(attacher)
        if self._finished:
            attacher.finish()

    def input(self, data: bytes) -> None:
        """Pass input on to the process."""
        if self._stdin < 0 or self._input_closing:
            return
        self._input += data
        self._feed()

    def input_ended(self) -> None:
        """An attacher has no more input."""
        if self._stdin_once and not self._terminal:
            self._input_closing = True
            self._feed()

    def attacher_left(self, attacher: Attacher) -> None:
        """An attacher closed."""
        if attacher in self._attachers:
            self._attachers.remove(attacher)
        self.attacher_caught_up()

    def attacher_caught_up(self) -> None:
        """Some backlog became smaller: perhaps output may be read again."""
        self._update_reading()

    def finish(self) -> None:
        """The process ended: move what is still in the pipes, then let all go.

        Whatever a process wrote before its end is there to be read now; a grandchild that kept the
        pipe open may not hold the end up.
        """
        for descriptor in list(self._outputs):
            while self._move_output(descriptor, patient=False):
                pass
            self._drop_output(descriptor)
        if self._stdin >= 0 and not self._terminal:
            self._close_stdin()
        self._finished = True
        if self._log is not None and self._log_blocked is None:
            self._finish_log()
        for attacher in list(self._attachers):
            attacher.finish()

    def close(self) -> None:
        """Release everything, backlogs included."""
        for descriptor in list(self._outputs):
            self._drop_output(descriptor)
        if self._stdin >= 0 and not self._terminal:
            self._close_stdin()
        for attacher in list(self._attachers):
            attacher.close()
        if self._log_blocked is not None:
            self._log_blocked.cancel()
            self._log_blocked = None
        if self._log is not None:
            self._finish_log()

    def _add_output(self, descriptor: int, stream: int) -> None:
        self._outputs[descriptor] = stream
        os.set_blocking(descriptor, False)
        self._loop.watch(descriptor, READ, lambda events: self._take_turn(descriptor))

    def _take_turn(self, descriptor: int) -> None:
        self._move_output(descriptor, patient=True)

    def _terminal_ready(self, events: int) -> None:
        if events & WRITE:
            self._feed()
        if self._stdin in self._outputs and events & ~WRITE:
            self._take_turn(self._stdin)

    def _move_output(self, descriptor: int, patient: bool) -> bool:
        """Move a share of output; False when there is none now (or, for good, at its end)."""
        if descriptor not in self._outputs:
            return False
        try:
            data = os.read(descriptor, TURN_BYTES if self._log is None else LOGGED_TURN_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the terminal's last holder closed it
            data = b""
        if not data:
            # The end. A terminal may be opened again as long as the process lives; its end of
            # file is the process's end.
            if patient and not self._terminal:
                self._drop_output(descriptor)
            elif patient:
                self._loop.change(descriptor, 0)
            return False
        stream = self._outputs[descriptor]
        if self._log is not None:
            if not self._log.write(stream, data):
                self._wait_for_disk()
            self._on_logged()
        if self._attachers:
            piece = data if self._terminal else frame_header(stream, len(data)) + data
            for attacher in list(self._attachers):
                attacher.send(piece)
        if patient:
            self._update_reading()
        return True

    def _drop_output(self, descriptor: int) -> None:
        del self._outputs[descriptor]
        self._loop.forget(descriptor)
        os.close(descriptor)
        if descriptor == self._stdin:
            self._stdin = -1

    def _update_reading(self) -> None:
        wanted = self._log_blocked is None and not any(attacher.lagging for attacher in self._attachers)
        if wanted == self._reading:
            return
        self._reading = wanted
        for descriptor in self._outputs:
            pending = WRITE if self._terminal and self._input else 0
            self._loop.change(descriptor, (READ if wanted else 0) | pending)

    def _wait_for_disk(self) -> None:
        if self._log_blocked is None:
            self._log_blocked = self._loop.later(LOG_RETRY_SECONDS, self._retry_log)

    def _retry_log(self) -> None:
        self._log_blocked = None
        if self._log is None:
            return
        if not self._log.retry():
            self._wait_for_disk()
        elif self._finished:
            self._finish_log()
        self._update_reading()

    def _finish_log(self) -> None:
        assert self._log is not None
        if not self._log.finish() and not self._log.retry():
            if self._finished:
                self._wait_for_disk()
            return
        self._log.close()
        self._log = None
        self._on_logged()

    def _stdin_ready(self, events: int) -> None:
        if events & ~WRITE:
            self._close_stdin()  # nobody reads it any more
        else:
            self._feed()

    def _feed(self) -> None:
        """Give the process as much input as it takes now."""
        if self._stdin < 0:
            return
        try:
            while self._input:
                written = os.write(self._stdin, self._input[:TURN_BYTES])
                del self._input[:written]
        except BlockingIOError:
            pass
        except OSError:
            self._input.clear()
            if not self._terminal:
                self._close_stdin()
            return
        if self._input_closing and not self._input:
            self._close_stdin()
            return
        reading = READ if self._terminal and self._reading else 0
        self._loop.change(self._stdin, reading | (WRITE if self._input else 0))
        for attacher in self._attachers:
            attacher.pause(len(self._input) >= BACKLOG_BYTES)

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            self._loop.forget(self._stdin)
            os.close(self._stdin)
            self._stdin = -1
            self._input.clear()
