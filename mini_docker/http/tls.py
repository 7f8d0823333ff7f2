"""TLS: the envelope around everything that one connection says.

    socket ── received ──▶ TlsSession ── plain ──▶ h11
           ◀──── sealed ──            ◀── plain ──

It seals and opens, and does no I/O: the `Wire` carries the bytes. Thus a deadline, a hang-up and two threads, one
sending and one receiving, are the same with and without it. Whoever imports it imports OpenSSL, so only servers
that were given a certificate do.

Sources: RFC 8446 (TLS 1.3), RFC 7301 (ALPN); `ssl.SSLObject` of Python's library.
"""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

from mini_docker.errors import Invalid

ALPN_PROTOCOLS = ("http/1.1",)
"""What is spoken inside: clients that know HTTP/2 ask before they begin."""


def server_context(certificate: Path, key: Path, client_authority: Path | None = None) -> ssl.SSLContext:
    """What a server shows its clients, and asks of them. TLS 1.2 is the oldest that is spoken.

    Args:
        certificate: PEM; the server's own first, then those that lead up to its authority.
        key: PEM, without a password.
        client_authority: PEM; with it, only clients that show a certificate of this authority are served.

    Raises:
        Invalid: a file is missing or broken, or key and certificate are no pair.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    # A client that ends its half without a word is still answered. (Python set this by itself until 3.11; without it
    # OpenSSL seals nothing more then. What such a client sent is whole by HTTP's own count, or refused.)
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    try:
        # The empty password is for a key that wants one: without it OpenSSL would ask at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise Invalid(f"cannot use the certificate {certificate} with the key {key}: {error}") from None
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(client_authority)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(f"cannot use the authority {client_authority}: {error}") from None
    return context


_PLAIN_HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
"""For those who forgot the s of https: in Go's words, for people search for them."""


class TlsSession:
    """The server's end of one connection's TLS.

    *Guarded by the lock*: OpenSSL's state, in which no two threads may be at once. What is sealed must be sent in the
    order in which it was sealed: whoever calls `seal`, `farewell` or `answer` sends the result before the next call.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._received, self._sealed = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._received, self._sealed, server_side=True)
        self._lock = threading.Lock()

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as the received bytes allow; then `answer` has what is to be sent.

        Returns:
            Whether it is done.

        Raises:
            ssl.SSLError: the client speaks no TLS, or none that we accept, or shows no good certificate.
        """
        with self._lock:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                return False
            except ssl.SSLError as error:
                if error.reason == "HTTP_REQUEST":
                    self._sealed.write(_PLAIN_HTTP)
                raise
            return True

    def answer(self) -> bytes:
        """What TLS itself has to say, to be sent now."""
        with self._lock:
            return self._sealed.read()

    def feed(self, data: bytes) -> None:
        """Take bytes as they were received; empty says that the peer ended."""
        with self._lock:
            if data:
                self._received.write(data)
            else:
                self._received.write_eof()

    def read(self, size: int) -> bytes | None:
        """At most *size* of the bytes inside; empty at the end, None when more must be fed first.

        Raises:
            ssl.SSLError: what was received is not what the peer sealed.
        """
        with self._lock:
            try:
                return self._object.read(size)
            except ssl.SSLWantReadError:
                return None
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""  # HTTP says itself whether a message is whole

    def seal(self, data: bytes) -> bytes:
        """*data* as it travels."""
        with self._lock:
            rest = memoryview(data)
            while rest:
                rest = rest[self._object.write(rest) :]
            return self._sealed.read()

    def farewell(self) -> bytes:
        """Say that nothing more will be sent (close_notify): the peer then knows that nobody cut the rest off."""
        with self._lock:
            try:
                self._object.unwrap()
            except ssl.SSLError:
                pass  # the peer's own farewell is still to come, or there never was a handshake
            return self._sealed.read()
