"""A broken or hostile client harms nobody else: whatever it sends, however slowly, the next one is served."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from http_house import House, Reply, echo, get, post, read_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mini_docker.http.limits import Limits
from mini_docker.http.messages import Answer, Request
from mini_docker.http.responder import Responder

Build = Callable[..., House]

JUNK = st.one_of(
    st.binary(max_size=300),
    st.text(alphabet="GETPOST /HTTP1.\r\n:abc", max_size=200).map(str.encode),
    st.builds(lambda cut, tail: post(b"hello", "/x")[:cut] + tail, st.integers(0, 60), st.binary(max_size=40)),
    st.builds(
        lambda size, data: get("/", "Transfer-Encoding: chunked", method="PUT") + b"%x\r\n" % size + data,
        st.integers(0, 40),
        st.binary(max_size=60),
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=JUNK, half_close=st.booleans())
def test_random_bytes_are_answered_or_dropped(shared_house: House, junk: bytes, half_close: bool) -> None:
    """Any bytes: the server answers in HTTP or closes, and the next client gets its answer."""
    with shared_house.connect() as sock:
        try:
            sock.sendall(junk)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
                data = read_all(sock)
                assert data == b"" or data.startswith(b"HTTP/1.1 ")
        except ConnectionError:
            pass  # refused before all of it was sent
    with shared_house.connect() as sock:
        sock.sendall(get("/after"))
        assert Reply(sock).body == b"GET /after [] "


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> object:
    path: Path = tmp_path_factory.mktemp("hostile") / "s"
    house = House(path, echo, Limits(linger_seconds=0.1))
    yield house
    house.close()
    assert house.server.connection_count == 0, "a hostile client's connection was kept"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 120), max_size=8), body=st.binary(max_size=60))
def test_where_the_pieces_are_cut_does_not_matter(shared_house: House, cuts: list[int], body: bytes) -> None:
    """TCP keeps no borders: a request means the same in whatever pieces it arrives."""
    message = post(body, "/cut") + get("/second")
    places = sorted({0, len(message), *(cut for cut in cuts if cut < len(message))})
    with shared_house.connect() as sock:
        for start, end in itertools.pairwise(places):
            sock.sendall(message[start:end])
        first = Reply(sock)
        assert first.body == b"POST /cut [] " + body
        assert Reply(sock, machine=first.machine).body == b"GET /second [] "


def test_a_header_has_ten_seconds_by_default() -> None:
    """The issue's numbers are the defaults."""
    limits = Limits()
    assert (limits.header_seconds, limits.connections) == (10.0, 512)


def test_a_slow_header_is_refused(build: Build) -> None:
    """The whole header has one deadline: a byte now and then does not extend it (slowloris)."""
    house = build(header_seconds=0.4)
    stop = threading.Event()
    with house.connect() as sock:

        def drip() -> None:
            try:
                for byte in get("/" + "x" * 1000):
                    sock.sendall(bytes([byte]))
                    if stop.wait(0.05):
                        return
            except OSError:
                pass  # refused, as it should be

        thread = threading.Thread(target=drip)
        began = time.monotonic()
        thread.start()
        reply = Reply(sock)
        took = time.monotonic() - began
        stop.set()
        thread.join()
    assert reply.status == 408
    assert 0.3 < took < 5


def test_a_silent_connection_is_closed_without_a_word(build: Build) -> None:
    """Who never began a request is owed no answer; who finished one may idle, but not for ever."""
    house = build(header_seconds=0.2, idle_seconds=0.3)
    with house.connect() as silent, house.connect() as idle:
        idle.sendall(get("/"))
        reply = Reply(idle)
        assert reply.status == 200
        assert read_all(silent) == b""
        assert read_all(idle) == b""


@pytest.mark.parametrize(
    ("junk", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS on a plain port
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000, 431),
        (b"GET /" + b"y" * 200_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
def test_what_is_not_a_request_is_refused_in_words(build: Build, junk: bytes, status: int) -> None:
    """One clear answer, also when the client is still sending; then the connection is closed."""
    with build().connect() as sock:
        try:
            sock.sendall(junk)
        except ConnectionError:
            pass  # refused before all of it was sent
        data = read_all(sock)
    assert data.startswith(b"HTTP/1.1 %d " % status) and b"connection: close" in data.lower()


def test_an_early_close_is_noticed_by_a_writer(build: Build) -> None:
    """A client that leaves in the middle of a large answer ends its own thread, and nothing else."""
    ended = threading.Event()

    def application(request: Request, responder: Responder) -> None:
        try:
            responder.start(200, ())
            while True:
                responder.write(b"x" * 65536)
        finally:
            ended.set()

    house = build(application)
    with house.connect() as sock:
        sock.sendall(get("/"))
        sock.recv(100)
    assert ended.wait(10)


def test_one_too_many_is_turned_away_at_once(build: Build) -> None:
    """Beyond the limit: a 503 and a close, before any request; when one leaves there is room again."""
    house = build(connections=3)
    guests = [house.connect() for _ in range(3)]
    for guest in guests:  # each has been admitted, not only queued
        guest.sendall(get("/"))
        assert Reply(guest).status == 200
    began = time.monotonic()
    with house.connect() as sock:
        data = read_all(sock)
    assert data.startswith(b"HTTP/1.1 503 ") and b"too many connections: the limit is 3" in data
    assert time.monotonic() - began < 2
    guests.pop().close()
    deadline = time.monotonic() + 10
    status = 503
    while status == 503 and time.monotonic() < deadline:  # until the server has noticed, too
        with house.connect() as sock:
            try:
                sock.sendall(get("/"))
            except ConnectionError:
                continue
            status = Reply(sock).status
    assert status == 200
    for guest in guests:
        guest.close()


def test_the_513th_gets_a_503(build: Build) -> None:
    """The default limit, as the issue has it, with 512 real connections."""
    house = build()
    guests = [house.connect() for _ in range(512)]
    guests[-1].sendall(get("/"))
    assert Reply(guests[-1]).status == 200  # accepted in order: so were all before it
    with house.connect() as sock:
        assert read_all(sock).startswith(b"HTTP/1.1 503 ")
    for guest in guests:
        guest.close()


def test_a_stopping_server_lets_busy_ones_finish_and_closes_idle_ones(build: Build) -> None:
    """The order of the end: nobody new, idle ones go, the busy one gets its whole answer, marked as the last."""
    busy, go_on = threading.Event(), threading.Event()

    def application(request: Request, responder: Responder) -> None:
        if request.path == "/slow":
            busy.set()
            assert go_on.wait(10)
        responder.answer(Answer(200, (), b"done"))

    house = build(application)
    with house.connect() as idle, house.connect() as slow:
        idle.sendall(get("/"))
        assert Reply(idle).status == 200
        slow.sendall(get("/slow"))
        assert busy.wait(10)
        house.server.stop()
        assert read_all(idle) == b""
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            house.connect()
        go_on.set()
        assert Reply(slow).body == b"done"
        assert read_all(slow) == b""
    house.thread.join(10)
    assert not house.thread.is_alive() and not house.path.exists()


def test_a_stopping_server_ends_those_that_do_not_finish(tmp_path: Path) -> None:
    """A quiet request would hold up the end for ever: after the grace time its connection is ended, and it is told."""
    begun, told = threading.Event(), threading.Event()

    def application(request: Request, responder: Responder) -> None:
        with responder.on_hangup(told.set):
            begun.set()
            told.wait(20)

    house = House(tmp_path / "s", application, Limits(), grace_seconds=0.2)
    with house.connect() as sock:
        sock.sendall(get("/"))
        assert begun.wait(10)
        house.close()
        assert read_all(sock) == b""
    assert told.is_set()


def test_who_would_leave_nobody_at_the_door_is_sent_away_unserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no thread is to be had the last one stays: the client finds the connection closed, and nothing was done."""
    served: list[str] = []

    def application(request: Request, responder: Responder) -> None:
        served.append(request.path)
        responder.answer(Answer(200, (), b""))

    start, first = threading.Thread.start, []

    def start_one(thread: threading.Thread) -> None:
        if thread.name == "connection":
            if first:
                raise RuntimeError("can't start new thread")
            first.append(thread)
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_one)
        house = House(tmp_path / "s", application, Limits())
        with house.connect() as sock:
            try:
                sock.sendall(get("/unheard"))
                assert read_all(sock) == b""
            except ConnectionError:
                pass  # it was closed before the request was sent, or read
    with house.connect() as sock:
        sock.sendall(get("/heard"))
        assert Reply(sock).status == 200
    house.close()
    assert served == ["/heard"]
    assert house.server.connection_count == 0
