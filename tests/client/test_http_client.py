"""The client's end of HTTP, held to h11, the library on which the servers stand."""

from __future__ import annotations

import _socket
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.http.client import (
    BadResponse,
    CannotConnect,
    Connection,
    ErrorResponse,
    Response,
    connect,
    quote,
    target,
)


class Wire:
    """A socket that gives what it was told to, in the pieces it was told to."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]


def read(data: bytes, method: str = "GET") -> Response:
    return Response(Wire([data]), method)  # type: ignore[arg-type]


@st.composite
def cut_response(draw: st.DrawFn) -> tuple[list[bytes], int, bytes]:
    """A response as h11 writes it, cut anywhere: (pieces, status, body)."""
    bodies = draw(st.lists(st.binary(min_size=1, max_size=200), max_size=5))
    status = draw(st.sampled_from([200, 201, 400, 404, 500]))
    chunked = draw(st.booleans())
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.next_event()
    length = [] if chunked else [("Content-Length", str(sum(map(len, bodies))))]
    data = server.send(h11.Response(status_code=status, headers=[("X-A", "b c"), *length])) or b""
    for body in bodies:
        data += server.send(h11.Data(data=body)) or b""
    data += server.send(h11.EndOfMessage()) or b""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return pieces, status, b"".join(bodies)


@given(cut_response())
@settings(max_examples=120, deadline=None)
def test_what_h11_writes_is_read_back(case: tuple[list[bytes], int, bytes]) -> None:
    """However an answer is framed (length or chunks) and cut by the network, the same comes out."""
    pieces, status, body = case
    response = Response(Wire(pieces), "GET")  # type: ignore[arg-type]
    assert response.status == status
    assert response.headers["x-a"] == "b c"
    assert response.read() == body
    assert response.read_some() == b"", "the end stays the end"


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_garbage_is_refused_by_type(data: bytes) -> None:
    """Whatever a stranger at the socket sends, the client answers with its own kind of error, never another."""
    try:
        read(b"HTTP/1.1 200 OK\r\n" + data).read()
    except BadResponse:
        pass
    with pytest.raises(BadResponse):
        read(b"X" + data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    ],
)
def test_a_broken_body_is_not_taken_for_a_short_one(data: bytes) -> None:
    """A connection that breaks in the middle is an error: half an answer must not look like a whole one."""
    with pytest.raises(BadResponse):
        read(data).read()


def test_head_and_204_have_no_body() -> None:
    """RFC 9112, 6.3: the length in an answer to HEAD is that of the body that is not sent."""
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD").read() == b""
    assert read(b"HTTP/1.1 204 No Content\r\n\r\nleft").read() == b""


def test_without_length_the_body_ends_with_the_connection() -> None:
    """The third way of framing a body, which a plain hijack without upgrade uses."""
    assert read(b"HTTP/1.1 200 OK\r\n\r\nall of it").read() == b"all of it"


def test_interim_answers_are_skipped() -> None:
    """100 Continue comes before the answer and is not it."""
    assert read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").status == 201


def test_hijack_gives_what_came_early() -> None:
    """Output that arrives in one read with the head must not be lost."""
    _, early = read(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nfirst words").hijack()
    assert early == b"first words"


def test_errors_carry_status_message_and_exit_code() -> None:
    """The exit code of a command that could not run comes as a field, so that nobody reads sentences."""
    body = b'{"message":"no such file","exit_code":127}'
    with pytest.raises(ErrorResponse) as caught:
        read(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)).raise_for_error()
    assert (caught.value.status, str(caught.value), caught.value.exit_code) == (400, "no such file", 127)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"message":1}', b'{"message":"x","exit_code":"y"}'])
def test_an_error_in_a_strange_form_is_still_an_error(body: bytes) -> None:
    """A proxy in between may answer in HTML: its status still counts."""
    with pytest.raises(ErrorResponse) as caught:
        read(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)).raise_for_error()
    assert caught.value.status == 502 and str(caught.value)


@given(st.lists(st.text("ab \n", max_size=8), max_size=5), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_lines_do_not_depend_on_the_cuts(lines: list[str], step: int) -> None:
    """A progress line split over two reads is one line."""
    body = "\n".join(lines).encode()
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    response = Response(Wire([data[i : i + step] for i in range(0, len(data), step)]), "GET")  # type: ignore[arg-type]
    expected = body.split(b"\n")
    assert list(response.lines()) == (expected if expected[-1] else expected[:-1])


@given(st.text(max_size=20))
@settings(max_examples=60, deadline=None)
def test_quote_is_undone_by_the_standard_library(text: str) -> None:
    """What we encode, any server decodes."""
    from urllib.parse import parse_qsl

    assert parse_qsl(target("/x", {"k": text}).partition("?")[2], keep_blank_values=True) == (
        [("k", text)] if text else []
    )
    assert quote(text).isascii()


def test_target_leaves_out_what_was_not_said() -> None:
    """None, False and empty are "not said"; True is 1, zero is zero, and lists repeat the name."""
    query = {"a": None, "b": False, "c": "", "d": True, "e": 0, "f": ["x", "y"]}
    assert target("/p", query) == "/p?d=1&e=0&f=x&f=y"


@pytest.mark.parametrize("host", ["fd://3", "unix://", "tcp://nowhere", "tcp://x:y", "npipe:////./pipe/x"])
def test_a_bad_host_is_the_users_mistake(host: str) -> None:
    """A host that cannot be meant is told from one that does not answer."""
    with pytest.raises(Invalid, match="docker host"):
        connect(host)


def test_nobody_there() -> None:
    """Docker's sentence, which people search the web for."""
    with pytest.raises(CannotConnect, match=r"Cannot connect to the Docker daemon at unix:///no/such. Is the docker"):
        connect("unix:///no/such")
    with pytest.raises(CannotConnect):
        connect("tcp://127.0.0.1:1")


def test_request_over_tcp_and_early_refusal() -> None:
    """A daemon that refuses an upload before reading all of it is heard: its answer wins over our broken pipe."""
    import socket

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        peer.recv(1000)
        peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1 << 16):  # the rest is thrown away; no reset destroys the answer
            pass
        peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    connection = Connection(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    response = connection.request("PUT", "/x", body=(b"x" * 65536 for _ in range(20)))
    assert response.status == 413
    connection.close()
    thread.join()
    listener.close()


def test_a_chunked_request_is_what_h11_reads() -> None:
    """The way out is held to h11 too: an iterable body arrives whole, empty pieces not ending it."""
    with TemporaryDirectory(prefix="md-http-") as folder:
        path = str(Path(folder, "s"))
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen()
        got: list[object] = []

        def serve() -> None:
            descriptor, _ = listener._accept()
            peer = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
            server = h11.Connection(h11.SERVER)
            while not got or not isinstance(got[-1], h11.EndOfMessage):
                event = server.next_event()
                if event is h11.NEED_DATA:
                    server.receive_data(peer.recv(50))
                else:
                    got.append(event)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        connection = Connection(f"unix://{path}")
        assert connection.request("POST", "/a?b=c", {"X-Y": "z"}, iter([b"abc", b"", b"de" * 40])).status == 200
        connection.close()
        thread.join()
        listener.close()
    request = got[0]
    assert isinstance(request, h11.Request) and request.method == b"POST" and request.target == b"/a?b=c"
    assert (b"x-y", b"z") in list(request.headers)
    assert b"".join(event.data for event in got if isinstance(event, h11.Data)) == b"abc" + b"de" * 40
