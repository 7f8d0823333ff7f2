"""A raw stream: what a connection is after HTTP has left it, two pipes and nothing more."""

from __future__ import annotations

from mini_docker.http.wire import RECEIVE_BYTES, Wire


class RawStream:
    """Both directions of a hijacked connection; one thread may read while another writes.

    The connection that was hijacked closes it when the hijacker is done: there is no `close` here.
    """

    def __init__(self, wire: Wire, leftover: bytes) -> None:
        self._wire = wire
        self._leftover = leftover

    def read(self, size: int = -1) -> bytes:
        """At most *size* bytes as they come (all until the end when negative); empty at the end.

        The end means only that the peer sends no more: it may still be listening.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(RECEIVE_BYTES), b""))
        if self._leftover:
            data, self._leftover = self._leftover[:size], self._leftover[size:]
            return data
        return self._wire.receive(size, None)

    def write(self, data: bytes) -> None:
        """Send all of *data*.

        Raises:
            OSError: the peer is gone.
        """
        self._wire.send_raw(data)
