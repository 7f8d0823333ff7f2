"""A TCP proxy in front of a registry that cuts connections where it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class CuttingProxy:
    """Passes bytes both ways; when armed, cuts the first connection whose client has sent so many bytes.

    *Guarded by the lock*: where to cut, how often it did, how much clients sent.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.partition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._cut_after: int | None = None
        self.cuts = 0
        self.sent = 0
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut_requests_after(self, count: int) -> None:
        with self._lock:
            self._cut_after = count

    def __enter__(self) -> CuttingProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for source, sink, counted in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass_on, args=(source, sink, counted), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        passed = 0
        try:
            while data := source.recv(65536):
                with self._lock:
                    self.sent += len(data) if counted else 0
                    limit = self._cut_after if counted else None
                    cut = limit is not None and passed + len(data) >= limit
                    if cut:
                        data = data[: max(0, (limit or 0) - passed)]
                        self._cut_after = None
                        self.cuts += 1
                sink.sendall(data)
                passed += len(data)
                if cut:
                    break
        except OSError:
            pass
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
