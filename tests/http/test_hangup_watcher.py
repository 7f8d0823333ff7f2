"""The hang-up watcher: who waits quietly learns that nobody waits for it any more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from mini_docker.http.hangup import HangupWatcher


@pytest.fixture
def watcher() -> Iterator[HangupWatcher]:
    watcher = HangupWatcher()
    yield watcher
    watcher.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return server.accept()[0], client


PAIRS = [socket.socketpair, tcp_pair]
Pair = Callable[[], tuple[socket.socket, socket.socket]]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_close_is_reported_once(watcher: HangupWatcher, pair: Pair) -> None:
    """The callback comes one time, however long the block goes on: the report is not a busy loop."""
    ours, theirs = pair()
    calls: list[int] = []
    told = threading.Event()
    with ours, watcher.watching(ours.fileno(), lambda: (calls.append(1), told.set())):
        theirs.close()
        assert told.wait(10)
        # Another hang-up, reported later: had the first been reported twice, it would have been by now.
        other, gone = socket.socketpair()
        later = threading.Event()
        with other, watcher.watching(other.fileno(), later.set):
            gone.close()
            assert later.wait(10)
    assert calls == [1]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_half_close_counts_only_if_asked(watcher: HangupWatcher, pair: Pair) -> None:
    """An attached client without more input still listens; one that waits for a plain answer does not half-close."""
    ours, theirs = pair()
    told = threading.Event()
    with ours, theirs:
        with watcher.watching(ours.fileno(), told.set, half_close=False):
            theirs.sendall(b"unread")
            theirs.shutdown(socket.SHUT_WR)
            assert not told.wait(0.1)
        with watcher.watching(ours.fileno(), told.set):
            assert told.wait(10)


def test_a_watch_that_has_ended_is_silent(watcher: HangupWatcher) -> None:
    """After its block a callback never begins: the next request on the connection is not its business."""
    ours, theirs = socket.socketpair()
    early, late = threading.Event(), threading.Event()
    with ours:
        with watcher.watching(ours.fileno(), early.set):
            pass
        with watcher.watching(ours.fileno(), late.set):
            theirs.close()
            assert late.wait(10)
    assert not early.is_set()


def test_a_failing_callback_does_not_end_the_watch_of_others(watcher: HangupWatcher) -> None:
    """One thread watches for all: it survives whatever a callback raises."""

    def fail() -> None:
        raise RuntimeError("a bug")

    first, first_peer = socket.socketpair()
    second, second_peer = socket.socketpair()
    told = threading.Event()
    with first, second, watcher.watching(first.fileno(), fail), watcher.watching(second.fileno(), told.set):
        first_peer.close()
        second_peer.close()
        assert told.wait(10)
