"""TLS around HTTP: all that holds in the clear holds inside, and who cannot agree is told so."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from http_house import House, Reply, get, post, read_all

from mini_docker.errors import Invalid
from mini_docker.http.messages import Request
from mini_docker.http.responder import Responder
from mini_docker.http.tls import server_context
from tests.authority import client_context, make_authority

Build = Callable[..., House]
CONTENT = os.urandom(1 << 20)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def context(authority: Path) -> ssl.SSLContext:
    return server_context(authority / "server.pem", authority / "server.key")


@contextmanager
def sealed(house: House, client: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A connection to *house* in TLS that takes nothing for an end but a farewell."""
    with (
        house.connect() as sock,
        client.wrap_socket(sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as wrapped,
    ):
        yield wrapped


def test_requests_and_answers_are_the_same_inside(build: Build, authority: Path, context: ssl.SSLContext) -> None:
    """Bodies longer than a record, both ways, on a connection that persists."""
    house = build(tls=context)
    with sealed(house, client_context(authority)) as sock:
        for body in (CONTENT, b"", b"x"):
            sock.sendall(post(body, "/a"))
            assert Reply(sock).body == b"POST /a [] " + body
        sock.sendall(get("/end", "Connection: close"))
        assert Reply(sock).body == b"GET /end [] "
        assert sock.recv(1) == b"", "the server says farewell before it closes"


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("length", [True, False], ids=["with-a-length", "in-chunks"])
@pytest.mark.parametrize("offset, count", [(0, 0), (0, 1), (0, len(CONTENT)), (4321, 700_000)])
def test_a_file_is_sent_as_it_lies(
    build: Build, authority: Path, context: ssl.SSLContext, wrapped: bool, length: bool, offset: int, count: int
) -> None:
    """By the kernel, or sealed: any part of a file, framed either way, and then the next request."""

    def application(request: Request, responder: Responder) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(CONTENT)
            file.flush()
            responder.start(200, [("Content-Length", str(count))] if length else [])
            responder.write_file(file.fileno(), offset, count)
            responder.finish()

    house = build(application, tls=context if wrapped else None)
    with sealed(house, client_context(authority)) if wrapped else house.connect() as sock:
        for method in ("GET", "HEAD", "GET"):
            sock.sendall(get("/", method=method))
            reply = Reply(sock, method)
            assert reply.complete
            assert reply.body == (CONTENT[offset : offset + count] if method == "GET" else b"")


def test_a_file_that_is_too_short_is_cut_off(build: Build) -> None:
    """Half an answer must not look whole."""

    def application(request: Request, responder: Responder) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b"short")
            file.flush()
            responder.start(200, [("Content-Length", "10")])
            responder.write_file(file.fileno(), 0, 10)
            responder.finish()

    with build(application).connect() as sock:
        sock.sendall(get("/"))
        reply = Reply(sock)
    assert (reply.body, reply.complete) == (b"short", False)


def test_both_directions_at_once(build: Build, authority: Path, context: ssl.SSLContext) -> None:
    """A hijacked connection is two pipes: neither waits for the other, though one TLS seals both."""

    def application(request: Request, responder: Responder) -> None:
        stream = responder.hijack("application/octet-stream")
        sender = threading.Thread(target=stream.write, args=(CONTENT,))
        sender.start()
        received = stream.read()
        sender.join()
        stream.write(received)

    with sealed(build(application, tls=context), client_context(authority)) as sock:
        sock.sendall(get("/"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        # Nobody reads here before all is sent: the server's own megabyte stands in its way until then.
        sock.sendall(b"ping" * 10)
        first = b""
        while len(first) < len(CONTENT):
            first += sock.recv(65536)
        socket.socket.shutdown(sock, socket.SHUT_WR)
        rest = read_all(sock)
    assert (first, rest) == (CONTENT, b"ping" * 10)


def test_plain_http_is_told_to_use_tls(build: Build, context: ssl.SSLContext) -> None:
    """In Go's words, which people search for."""
    with build(tls=context).connect() as sock:
        sock.sendall(get("/"))
        assert read_all(sock).endswith(b"Client sent an HTTP request to an HTTPS server.\n")


@pytest.mark.parametrize("junk", [b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"EHLO me\r\n"])
def test_noise_harms_nobody(build: Build, authority: Path, context: ssl.SSLContext, junk: bytes) -> None:
    """What is not TLS ends its own connection; the next one is served."""
    house = build(tls=context)
    with house.connect() as sock:
        sock.sendall(junk)
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)
    with sealed(house, client_context(authority)) as sock:
        sock.sendall(get("/"))
        assert Reply(sock).status == 200


def test_a_trickle_does_not_move_the_deadline(build: Build, authority: Path, context: ssl.SSLContext) -> None:
    """Neither in the handshake nor inside a record: byte by byte, the time for a header ends all the same."""
    house = build(tls=context, header_seconds=0.3, idle_seconds=0.3)
    began = time.monotonic()
    with house.connect() as sock:
        _trickle(sock, b"\x16\x03\x01\x02\x00" + b"\x01" * 500)
    with house.connect() as sock:
        record = _sealed(sock, authority, get("/" + "x" * 500))
        sock.sendall(record[:-400])
        _trickle(sock, record[-400:-1])
    assert time.monotonic() - began < 10


def _sealed(sock: socket.socket, authority: Path, data: bytes) -> bytes:
    """*data* as a client would send it, after the handshake that is done here."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(authority).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
    client.write(data)
    return outgoing.read()


def _trickle(sock: socket.socket, data: bytes) -> None:
    """Send byte by byte until the server has had enough; it has, long before the end."""
    for byte in data:
        try:
            sock.sendall(bytes([byte]))
        except OSError:
            return
        time.sleep(0.02)  # a slow client is what is tested
    raise AssertionError("the server waited for all of it")


def test_a_damaged_record_is_not_opened(build: Build, authority: Path, context: ssl.SSLContext) -> None:
    """One flipped bit, and the request never reaches the application."""
    asked = []
    house = build(lambda request, responder: asked.append(request.path), tls=context)
    with house.connect() as sock:
        record = bytearray(_sealed(sock, authority, get("/")))
        record[-1] ^= 1
        sock.sendall(record)
        read_all(sock)
    assert asked == []


def test_clients_without_a_certificate_are_told(build: Build, authority: Path) -> None:
    """With an authority for clients only those it knows are served; others learn why."""
    asking = server_context(authority / "server.pem", authority / "server.key", authority / "ca.pem")
    house = build(tls=asking)
    with pytest.raises(ssl.SSLError, match="certificate required"), sealed(house, client_context(authority)) as sock:
        # In TLS 1.3 the client's handshake is over before the server has looked at its certificate.
        sock.sendall(get("/"))
        sock.recv(1)
    with sealed(house, client_context(authority, certificate=True)) as sock:
        sock.sendall(get("/"))
        assert Reply(sock).status == 200


def test_the_oldest_tls_is_1_2(build: Build, authority: Path, context: ssl.SSLContext) -> None:
    """Older versions are broken; 1.2 and 1.3 are spoken."""
    house = build(tls=context)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = client_context(authority)
        client.minimum_version = client.maximum_version = version
        with sealed(house, client) as sock:
            assert sock.version() == version.name.replace("_", ".")
            sock.sendall(get("/"))
            assert Reply(sock).status == 200
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_one_too_many_hears_no_noise(build: Build, authority: Path, context: ssl.SSLContext) -> None:
    """A full server closes: words in the clear would read as broken TLS."""
    house = build(tls=context, connections=1)
    with sealed(house, client_context(authority)) as sock:
        sock.sendall(get("/"))
        assert Reply(sock).status == 200
        with house.connect() as second:
            assert read_all(second) == b""


def test_broken_certificates_are_named(authority: Path, tmp_path: Path) -> None:
    """The sentence names the file; a key that wants a password is not asked for at a terminal."""
    locked = tmp_path / "locked.key"
    lock = ["openssl", "pkcs8", "-topk8", "-in", str(authority / "server.key"), "-passout", "pass:secret"]
    locked.write_bytes(subprocess.run(lock, check=True, capture_output=True).stdout)
    for certificate, key in (
        (tmp_path / "none", authority / "server.key"),
        (authority / "server.pem", authority / "client.key"),
        (authority / "server.pem", locked),
    ):
        with pytest.raises(Invalid, match=f"cannot use the certificate {certificate} with the key {key}"):
            server_context(certificate, key)
    with pytest.raises(Invalid, match="cannot use the authority"):
        server_context(authority / "server.pem", authority / "server.key", tmp_path / "none")
