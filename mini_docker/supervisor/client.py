"""The daemon's way to the supervisor: starts one if there is none, asks, and listens for events.

It knows the protocol's verbs; what the answers mean for containers is the exec driver's.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mini_docker import launcher
from mini_docker.dataclasses import dataclass
from mini_docker.errors import MiniDockerError, Unavailable
from mini_docker.supervisor import protocol
from mini_docker.supervisor.blueprint import Blueprint
from mini_docker.supervisor.protocol import Frame, FrameReader

RETRY_SECONDS = 1.0
"""Between two tries to find or start a supervisor, when the last one died and no new one starts."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and the descriptors that came with it (the caller's to close)."""

    frame: Frame
    descriptors: list[int]


class SupervisorClient:
    """Asks on as many connections as there are askers at once; events arrive in a thread of their own.

    *Guarded by the lock*: idle connections, and that it closes once.

    Args:
        run: the run folder that the supervisor's socket is in.
        on_event: called in the event thread for each event.
        on_lost: called in the event thread when the supervisor died; by then a new one runs.
    """

    def __init__(self, run: Path, on_event: Callable[[Frame], None], on_lost: Callable[[], None]) -> None:
        self._run = run
        self._on_event = on_event
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._idle: list[_Channel] = []
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._events: _Channel | None = None

    def connect(self) -> None:
        """Find the supervisor or start one, and listen for its events from now on.

        Raises:
            Unavailable: it does not start; the reason is in its log.
        """
        events = self._connect_or_start()
        events.ask({"verb": "subscribe"})
        self._events = events
        threading.Thread(target=self._listen, args=(events,), name="supervisor-events", daemon=True).start()

    def ask(self, verb: str, descriptors: Sequence[int] = (), **fields: Any) -> Reply:
        """Ask and wait for the answer.

        Raises:
            Unavailable: the supervisor is gone.
            MiniDockerError: what it answered.
        """
        with self._channel() as channel:
            reply = channel.ask({"verb": verb, **fields}, list(descriptors))
        protocol.raise_error(reply.frame)
        return reply

    @contextlib.contextmanager
    def talk(self) -> Iterator[Talk]:
        """Say several things on one connection. A block that fails hangs up, and the supervisor takes back what it can.

        Raises:
            Unavailable: the supervisor is gone.
        """
        with self._channel() as channel:
            yield Talk(channel)

    def close(self) -> None:
        """Let go; the supervisor keeps its containers, or ends at once when it has none."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
        if self._events is not None:
            with contextlib.suppress(Unavailable):
                self.ask("leave")
            self._events.close()
        with self._lock:
            idle, self._idle = self._idle, []
        for channel in idle:
            channel.close()

    @contextlib.contextmanager
    def _channel(self) -> Iterator[_Channel]:
        with self._lock:
            channel = self._idle.pop() if self._idle else None
        channel = channel or self._connect()
        try:
            yield channel
        except BaseException:
            channel.close()
            raise
        with self._lock:
            if not self._closing.is_set():
                self._idle.append(channel)
                return
        channel.close()

    def _connect(self) -> _Channel:
        channel = socket.socket(socket.AF_UNIX)
        try:
            channel.connect(str(self._run / protocol.SOCKET_NAME))
        except OSError as error:
            channel.close()
            raise Unavailable(f"no supervisor answers in {self._run}: {error}") from None
        return _Channel(channel)

    def _connect_or_start(self) -> _Channel:
        try:
            return self._connect()
        except Unavailable:
            self._start()
            return self._connect()

    def _start(self) -> None:
        self._run.mkdir(parents=True, exist_ok=True, mode=0o711)
        log = self._run / "supervisor.log"
        readable, writable = os.pipe2(os.O_CLOEXEC)
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    launcher.command("supervisor", str(self._run), str(writable)),
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(writable,),
                    start_new_session=True, cwd="/", env=launcher.environment(),
                )  # fmt: skip
            os.close(writable)
            writable = -1
            if not os.read(readable, 1):
                last = log.read_text(errors="replace").strip().rpartition("\n")[2]
                raise Unavailable(f"the supervisor did not start: {last or 'it said nothing'} (log: {log})")
        finally:
            os.close(readable)
            if writable >= 0:
                os.close(writable)

    def _listen(self, events: _Channel) -> None:
        while True:
            frame = events.read_event()
            if frame is not None:
                self._tell(self._on_event, frame)
                continue
            events.close()
            successor = self._reconnect()
            if successor is None:
                return
            self._events = events = successor
            self._tell(self._on_lost)

    def _reconnect(self) -> _Channel | None:
        """A supervisor's events again, as soon as there is one; None when the daemon lets go."""
        with self._lock:
            stale, self._idle = self._idle, []
        for channel in stale:
            channel.close()
        if self._process is not None:
            self._process.wait()
        while not self._closing.is_set():
            try:
                events = self._connect_or_start()
                events.ask({"verb": "subscribe"})
                return events
            except MiniDockerError as error:
                log.error("no supervisor, no containers: %s", error)
                self._closing.wait(RETRY_SECONDS)
        return None

    @staticmethod
    def _tell(listener: Callable[..., None], *words: Frame) -> None:
        """A listener's mistake must not make the daemon deaf for all that comes after."""
        try:
            listener(*words)
        except Exception:
            log.exception("a listener of the supervisor's events failed")


class Talk:
    """Questions and answers by turns, in which the one who asks may do something else before he hears the answer."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel

    @property
    def known(self) -> Blueprint | None:
        """The last blueprint that went over this connection and was understood."""
        return self._channel.known

    @known.setter
    def known(self, blueprint: Blueprint) -> None:
        self._channel.known = blueprint

    def say(self, verb: str, descriptors: Sequence[int] = (), **fields: Any) -> None:
        """Ask.

        Raises:
            Unavailable: the supervisor is gone.
        """
        self._channel.say({"verb": verb, **fields}, list(descriptors))

    def hear(self) -> Reply:
        """The answer to what was asked last.

        Raises:
            Unavailable: the supervisor is gone.
            MiniDockerError: what it answered.
        """
        reply = self._channel.hear()
        protocol.raise_error(reply.frame)
        return reply


class _Channel:
    """One blocking connection."""

    def __init__(self, channel: socket.socket) -> None:
        self._socket = channel
        self._reader = FrameReader()
        self.known: Blueprint | None = None

    def ask(self, request: Frame, descriptors: list[int] | None = None) -> Reply:
        self.say(request, descriptors)
        return self.hear()

    def say(self, request: Frame, descriptors: list[int] | None = None) -> None:
        try:
            protocol.send(self._socket, request, descriptors or [])
        except OSError as error:
            raise Unavailable(f"the supervisor does not listen: {error}") from None

    def hear(self) -> Reply:
        try:
            while (frame := self._reader.frame()) is None:
                if not self._reader.feed(self._socket):
                    raise Unavailable("the supervisor ended while it was asked")
        except OSError as error:
            raise Unavailable(f"the supervisor does not answer: {error}") from None
        return Reply(frame, self._reader.take_descriptors())

    def read_event(self) -> Frame | None:
        """The next event; None when there will be no more."""
        try:
            while (frame := self._reader.frame()) is None:
                if not self._reader.feed(self._socket):
                    return None
        except (OSError, ValueError):
            return None
        return frame

    def close(self) -> None:
        """Close, waking a reader."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._reader.close()
