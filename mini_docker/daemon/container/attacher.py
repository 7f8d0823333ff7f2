"""An Attacher: someone who came to listen before the play began.

``docker run`` attaches to a container that is created and not yet started. Such a one waits here; the
start connects it after the sandbox is made and before the command runs, so that no output is missed.
"""

from __future__ import annotations

import socket
import threading


class Attacher:
    """Waits for a stream socket to a process that does not exist yet.

    *Fixed*: ``wants_stdin``. *Guarded by being set once*: the stream.
    """

    def __init__(self, wants_stdin: bool) -> None:
        self.wants_stdin = wants_stdin
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._stream: socket.socket | None = None

    def connect(self, stream: socket.socket) -> None:
        """Here is the stream. If whoever waited has gone, it is closed."""
        with self._lock:
            if not self._ready.is_set():
                self._stream = stream
                self._ready.set()
                return
        stream.close()

    def dismiss(self) -> None:
        """There will be none: the start failed, the container was removed, or whoever waited has gone."""
        with self._lock:
            self._ready.set()

    @property
    def done(self) -> bool:
        """Whether it was connected or dismissed."""
        return self._ready.is_set()

    def wait(self) -> socket.socket | None:
        """The stream once it is there, the caller's to close; None after `dismiss`."""
        self._ready.wait()
        return self._stream
