"""The connection loop: what a client that keeps to HTTP can rely on."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from http_house import House, Reply, get, post, read_all, read_until

from mini_docker.http.errors import HangUp, RequestRefused
from mini_docker.http.messages import Answer, Request
from mini_docker.http.responder import Responder

Build = Callable[..., House]


def test_requests_follow_one_another_on_one_connection(build: Build) -> None:
    """HTTP/1.1 connections persist: the second request is answered like the first."""
    with build().connect() as sock:
        sock.sendall(get("/a?x=1&x=%20y&z"))
        first = Reply(sock)
        sock.sendall(post(b"body", "/b%2Fc"))
        second = Reply(sock)
    assert (first.status, first.body) == (200, b"GET /a [('x', '1'), ('x', ' y'), ('z', '')] ")
    assert second.body == b"POST /b/c [] body"


def test_pipelined_requests_are_answered_in_order(build: Build) -> None:
    """A client may send requests without waiting; the answers come in the same order (RFC 9112, 9.3.2)."""
    with build().connect() as sock:
        sock.sendall(get("/1") + post(b"two", "/2") + get("/3", "Connection: close"))
        data = read_all(sock)
    assert data.count(b"HTTP/1.1 200 OK") == 3
    assert data.index(b"GET /1") < data.index(b"POST /2 [] two") < data.index(b"GET /3")


def test_an_answer_leaves_in_one_piece_with_its_length(build: Build) -> None:
    """A whole answer is one send: a reader that asks once gets head and body, and no chunks."""
    with build().connect() as sock:
        sock.sendall(get("/x"))
        data = sock.recv(65536)
    assert b"Content-Length: 10\r\n" in data and data.endswith(b"\r\n\r\nGET /x [] ")
    assert b"\r\nDate: " in data


def test_head_gets_the_head_alone(build: Build) -> None:
    """The answer to HEAD has the length of the body and not the body; the next request finds its place."""
    with build().connect() as sock:
        sock.sendall(get("/x", method="HEAD"))
        head = Reply(sock, "HEAD")
        sock.sendall(get("/y"))
        assert Reply(sock).body == b"GET /y [] "
    assert head.headers["content-length"] == "11" and head.body == b""


def test_a_chunked_body_is_read_as_it_comes(build: Build) -> None:
    """The application gets a piece when the client has sent it, not when the body is whole."""
    first = threading.Event()

    def application(request: Request, responder: Responder) -> None:
        piece = request.body.read(100)
        first.set()
        responder.answer(Answer(200, (), piece + b"|" + request.body.read()))

    with build(application).connect() as sock:
        sock.sendall(get("/", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
        assert first.wait(10)
        sock.sendall(b"2\r\nde\r\n0\r\n\r\n")
        assert Reply(sock).body == b"abc|de"


def test_a_growing_answer_is_chunked_and_seen_at_once(build: Build) -> None:
    """What is written arrives while the application goes on; without `finish` the client can tell it was cut."""
    seen = threading.Event()

    def application(request: Request, responder: Responder) -> None:
        responder.start(200, (), b"one ")
        assert seen.wait(10)
        responder.write(b"two")
        if request.path == "/whole":
            responder.finish()

    house = build(application)
    for path, complete in (("/whole", True), ("/cut", False)):
        seen.clear()
        with house.connect() as sock:
            sock.sendall(get(path))
            assert b"one " in read_until(sock, b"one \r\n")
            seen.set()
            rest = read_until(sock, b"\r\n0\r\n\r\n")
        assert rest.startswith(b"3\r\ntwo") and rest.endswith(b"\r\n0\r\n\r\n") == complete


def test_http_1_0_gets_no_chunks(build: Build) -> None:
    """An HTTP/1.0 client knows no chunks: the answer ends with the connection."""

    def application(request: Request, responder: Responder) -> None:
        responder.start(200, (), b"one ")
        responder.write(b"two")
        responder.finish()

    with build(application).connect() as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = read_all(sock)
    assert data.endswith(b"\r\n\r\none two") and b"chunked" not in data


def test_expect_100_is_answered_when_the_body_is_wanted(build: Build) -> None:
    """A client that asks before it sends is told to go on by the first read, and only then."""
    with build().connect() as sock:
        sock.sendall(get("/", "Content-Length: 3", "Expect: 100-continue", method="POST"))
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 100 Continue")
        sock.sendall(b"abc")
        assert Reply(sock).body == b"POST / [] abc"


def test_expect_100_is_not_sent_for_a_body_that_nobody_wants(build: Build) -> None:
    """An answer that needs no body spares the client sending it, and ends the connection."""

    def application(request: Request, responder: Responder) -> None:
        responder.answer(Answer(404))

    with build(application).connect() as sock:
        sock.sendall(get("/", "Content-Length: 3000000", "Expect: 100-continue", method="POST"))
        assert read_all(sock).startswith(b"HTTP/1.1 404")


def test_a_small_unread_body_does_not_cost_the_connection(build: Build) -> None:
    """A body that the application did not read is thrown away up to a limit; the next request is not taken for it."""

    def application(request: Request, responder: Responder) -> None:
        responder.answer(Answer(200, (), request.path.encode()))

    house = build(application, drain_bytes=1000)
    with house.connect() as sock:
        sock.sendall(post(b"x" * 500, "/small") + get("/next"))
        first = Reply(sock)
        assert first.body == b"/small"
        assert Reply(sock, machine=first.machine).body == b"/next"
    with house.connect() as sock:
        sock.sendall(post(b"x" * 300_000, "/large"))
        assert read_all(sock).endswith(b"/large")


def test_a_target_in_absolute_form_is_a_path(build: Build) -> None:
    """Clients that think they speak to a proxy send the whole URL (RFC 9112, 3.2.2)."""
    with build().connect() as sock:
        sock.sendall(get("http://docker/v1/x?a=b"))
        assert Reply(sock).body == b"GET /v1/x [('a', 'b')] "


@pytest.mark.parametrize("target", ["/%ff", "/a%00b", "/?a=%ff", "/?a=%00", "/?" + "a&" * 1001])
def test_a_target_that_cannot_be_decoded_is_refused(build: Build, target: str) -> None:
    """Names are UTF-8 without NUL: refused here, so that no handler has to think of them."""
    with build().connect() as sock:
        sock.sendall(get(target))
        assert Reply(sock).status == 400


def test_a_hijack_with_upgrade_is_answered_by_101(build: Build) -> None:
    """Docker's way to attach: 101 UPGRADED, then bytes both ways, those sent too early included."""

    def application(request: Request, responder: Responder) -> None:
        raw = responder.hijack("text/x", (("X-More", "1"),))
        raw.write(b">" + raw.read(3))
        while data := raw.read(100):
            raw.write(data.upper())
        raw.write(b"end")

    with build(application).connect() as sock:
        sock.sendall(get("/", "Connection: keep-alive, Upgrade", "Upgrade: tcp", method="POST") + b"abcdef")
        head = read_until(sock, b"\r\n\r\n").decode()
        assert head.startswith("HTTP/1.1 101 UPGRADED\r\n")
        for line in ("Connection: Upgrade", "Upgrade: tcp", "Content-Type: text/x", "X-More: 1"):
            assert f"\r\n{line}\r\n" in head
        assert read_until(sock, b"F") == b">abcDEF"
        sock.sendall(b"g")
        sock.shutdown(1)
        assert read_all(sock) == b"Gend"


def test_a_hijack_without_upgrade_is_a_bare_200(build: Build) -> None:
    """Old clients offer no upgrade: the same stream after a 200 that has neither length nor chunks."""

    def application(request: Request, responder: Responder) -> None:
        responder.hijack("text/x").write(b"raw")

    with build(application).connect() as sock:
        sock.sendall(get("/", method="POST"))
        data = read_all(sock)
    assert data == b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\n\r\nraw"


def test_an_answer_is_given_once(build: Build) -> None:
    """A second answer would be read as the next request's: it is an error of the program."""
    failures: list[Exception] = []

    def application(request: Request, responder: Responder) -> None:
        responder.answer(Answer(200, (), b"first"))
        for again in (lambda: responder.answer(Answer(200)), lambda: responder.hijack("text/x")):
            try:
                again()
            except ValueError as error:
                failures.append(error)

    with build(application).connect() as sock:
        sock.sendall(get("/") + get("/", "Connection: close"))
        assert read_all(sock).count(b"first") == 2
    assert len(failures) == 4


def test_a_body_that_is_cut_off_is_a_hang_up(build: Build) -> None:
    """The application must not take half an upload for a whole one."""
    errors: list[Exception] = []
    done = threading.Event()

    def application(request: Request, responder: Responder) -> None:
        try:
            request.body.read()
        except HangUp as error:
            errors.append(error)
        done.set()

    house = build(application)
    with house.connect() as sock:
        sock.sendall(get("/", "Content-Length: 10", method="POST") + b"half")
    assert done.wait(10) and len(errors) == 1


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000, 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab", 408),
    ],
)
def test_bodies_have_limits(build: Build, start: bytes, status: int) -> None:
    """Too large, announced or not; malformed; stalled: each is told apart by HTTP's own status."""

    def application(request: Request, responder: Responder) -> None:
        try:
            request.body.read()
        except RequestRefused as refused:
            responder.answer(Answer(refused.status))

    with build(application, body_bytes=1000, body_stall_seconds=0.2).connect() as sock:
        sock.sendall(start)
        assert Reply(sock, "POST").status == status


def test_an_application_that_fails_harms_its_own_client_alone(build: Build) -> None:
    """A bug closes one connection; the next client is served."""

    def application(request: Request, responder: Responder) -> None:
        if request.path == "/bug":
            raise RuntimeError("a bug")
        responder.answer(Answer(200))

    house = build(application)
    with house.connect() as sock:
        sock.sendall(get("/bug"))
        assert read_all(sock) == b""
    with house.connect() as sock:
        sock.sendall(get("/"))
        assert Reply(sock).status == 200
