"""A session: this terminal and one process in a container, joined by a hijacked connection.

One thread and one poll(2) loop carry bytes both ways, so that neither way can block the other. It
knows nothing of what made the connection (run, attach, exec).

``_signal`` is the C half of ``signal``, whose enums would cost each attached run 3 ms.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select
import sys

from mini_docker.commands import terminal
from mini_docker.commands.demultiplexer import Demultiplexer
from mini_docker.commands.descriptors import write_all
from mini_docker.commands.failure import CommandFailed
from mini_docker.detach_keys import DetachKeys, parse_keys
from mini_docker.errors import MiniDockerError
from mini_docker.remote_api import STDERR, STDIN, STDOUT

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from mini_docker.client import Client
    from mini_docker.http.client import Response

CHUNK = 32 * 1024

PROXIED_SIGNALS = ("HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "CONT", "ALRM")
"""Signals to this process that are meant for the container's."""


class Detached(Exception):
    """The person pressed the detach keys."""


def check_terminal(tty: bool, stdin: bool) -> None:
    """Refuse ``-it`` when standard input is no terminal, as Docker does.

    Raises:
        CommandFailed: it is refused.
    """
    if tty and stdin and not os.isatty(STDIN):
        raise CommandFailed("the input device is not a TTY")


class Session:
    """Carries bytes between the standard streams and a hijacked connection.

    Args:
        response: of a hijack.
        tty: the process has a terminal: one stream of raw bytes comes; else frames come.
        stdin: send our standard input.
        detach_keys: as the user wrote them; watched for only with a terminal and stdin.
        stdout, stderr: whether that output is shown.
    """

    def __init__(
        self,
        response: Response,
        tty: bool,
        stdin: bool,
        detach_keys: str = "",
        stdout: bool = True,
        stderr: bool = True,
    ) -> None:
        self._tty = tty
        self._stdin = stdin
        self._shown = {STDOUT: stdout, STDERR: stderr}
        keys = parse_keys(detach_keys)
        self._keys = DetachKeys(keys) if tty and stdin else None
        self._demultiplexer = Demultiplexer()
        self._socket, self._early = response.hijack()

    def run(self) -> None:
        """Carry bytes until the other end closes. With a terminal of ours, it is raw meanwhile.

        Raises:
            Detached: the detach keys were pressed.
        """
        if self._tty and self._stdin and os.isatty(STDIN):
            with terminal.RawMode(STDIN):
                self._carry()
        else:
            self._carry()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _carry(self) -> None:
        poll = select.poll()
        self._socket.setblocking(False)
        pending = b""  # read from our stdin, not yet taken by the socket
        if self._stdin:
            poll.register(STDIN, select.POLLIN)
        else:
            self._end_input()
        poll.register(self._socket, select.POLLIN)
        self._show(self._early)
        while True:
            for descriptor, events in poll.poll():
                if descriptor == STDIN:
                    pending = self._read_input()
                    # One piece at a time: while it waits, stdin waits too, and memory stays bounded.
                    poll.unregister(STDIN)
                    if pending:
                        poll.modify(self._socket, select.POLLIN | select.POLLOUT)
                    elif self._keys is not None and os.isatty(STDIN):
                        poll.register(STDIN, select.POLLIN)  # only keys held back so far
                    else:
                        self._end_input()
                    continue
                if events & select.POLLOUT and pending:
                    pending = pending[self._send(pending) :]
                    if not pending:
                        poll.modify(self._socket, select.POLLIN)
                        poll.register(STDIN, select.POLLIN)
                if events & ~select.POLLOUT:
                    data = self._receive()
                    if data is None:
                        continue
                    if not data:
                        return
                    self._show(data)

    def _read_input(self) -> bytes:
        try:
            data = os.read(STDIN, CHUNK)
        except OSError:  # EIO: the terminal has hung up, which is an end too
            data = b""
        if self._keys is None:
            return data
        if not data:
            return self._keys.flush()  # the terminal is gone: what was held back was no knock
        passed = self._keys.feed(data)
        if self._keys.detached:
            self._send(passed)  # what was typed before the sequence is still the container's
            raise Detached
        return passed

    def _end_input(self) -> None:
        """Half-close: "no more input", while output still comes."""
        try:
            self._socket.shutdown(1)  # SHUT_WR
        except OSError:
            pass  # the other end was faster and has closed already

    def _send(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)  # nobody reads it any more; the end comes as an empty read

    def _receive(self) -> bytes | None:
        """What came; empty at the end, None when it was a false alarm."""
        try:
            return self._socket.recv(CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _show(self, data: bytes) -> None:
        if self._tty:
            write_all(STDOUT, data)
            return
        for stream, payload in self._demultiplexer.feed(data):
            if self._shown[stream]:
                write_all(stream, payload)


class SignalProxy:
    """While the block runs, signals to this process do what the table says instead.

    Args:
        actions: what to do, by a signal's name without SIG. One that the daemon refuses (the process has
            just ended) is dropped.
    """

    def __init__(self, actions: Mapping[str, Callable[[], object]]) -> None:
        self._actions = {int(getattr(_signal, f"SIG{name}")): act for name, act in actions.items()}

    def __enter__(self) -> None:
        self._before = {number: _signal.signal(number, self._caught) for number in self._actions}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            _signal.signal(number, handler)

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        try:
            self._actions[number]()
        except MiniDockerError:
            pass


def kills(client: Client, container: str) -> dict[str, Callable[[], object]]:
    """For a `SignalProxy`: each signal that is meant for the container is sent to it."""

    def sender(name: str) -> Callable[[], object]:
        return lambda: client.post(f"/containers/{container}/kill", {"signal": name})

    return {name: sender(name) for name in PROXIED_SIGNALS}


def resizes(client: Client, path: str) -> dict[str, Callable[[], object]]:
    """For a `SignalProxy`: a change of our window is told to the daemon, by POST to *path*."""
    return {"WINCH": resizer(client, path)}


def resizer(client: Client, path: str) -> Callable[[], None]:
    """A function that tells the daemon our terminal's size, by POST to *path*."""

    def resize() -> None:
        now = terminal.size(STDOUT) or terminal.size(STDIN)
        if now is not None:
            try:
                client.post(path, {"h": now[0], "w": now[1]})
            except MiniDockerError as error:
                if client.debug:
                    print(f"resize: {error}", file=sys.stderr)

    return resize
