"""The life cycle as a table, the restart decision, waiters, and times in words."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.daemon.container.restart import (
    MAX_BACKOFF_SECONDS,
    RestartMonitor,
    RestartPolicy,
    starts_with_daemon,
)
from mini_docker.daemon.container.state import STATUSES, TRANSITIONS, State
from mini_docker.daemon.container.timestamps import NEVER, format_time, parse_time
from mini_docker.daemon.container.waiter import Condition, Waiter
from mini_docker.errors import Cancelled, Conflict, Invalid, NotModified

MOVES = sorted({move for _, move in TRANSITIONS})


@settings(max_examples=100)
@given(st.lists(st.sampled_from(MOVES), max_size=12))
def test_state_follows_the_table(moves: list[str]) -> None:
    """Every move the table has is made, every other is refused and changes nothing."""
    state = State()
    for move in moves:
        expected = TRANSITIONS.get((state.status, move))
        if expected is None:
            with pytest.raises((Conflict, NotModified)) as refusal:
                state.after(move, "abc")
            assert str(refusal.value)
        else:
            state = state.after(move, "abc", pid=7)
            assert state.status == expected and state.pid == 7
        assert State.from_json(state.to_json()) == state


def test_every_status_can_be_left_and_reached() -> None:
    """The table has no dead end but removal, and no island."""
    reached = {"created", *TRANSITIONS.values()}
    assert reached == set(STATUSES)
    assert {status for status, _ in TRANSITIONS} == set(STATUSES)


def test_paused_counts_as_running() -> None:
    """Docker's State: a paused container is running too, and a restarting one says so as well."""
    assert State("paused").to_json()["Running"] and State("paused").to_json()["Paused"]
    assert State("restarting").to_json()["Running"] and not State("restarting").running


POLICY = st.builds(RestartPolicy, st.sampled_from(["", "no", "always", "unless-stopped", "on-failure"]), st.just(0))


@settings(max_examples=60)
@given(POLICY, st.lists(st.tuples(st.integers(0, 3), st.floats(0, 9.9)), max_size=20))
def test_backoff_doubles_to_a_minute(policy: RestartPolicy, ends: list[tuple[int, float]]) -> None:
    """Quick ends wait 100 ms, then twice as long each, at most a minute; a policy that does not restart never waits."""
    monitor, expected = RestartMonitor(), 0.1
    for code, ran in ends:
        backoff, monitor = monitor.after(policy, code, ran, stopped_by_user=False)
        wanted = policy.name in ("always", "unless-stopped") or (policy.name == "on-failure" and code != 0)
        assert backoff == (pytest.approx(expected) if wanted else None)
        expected = min(expected * 2, MAX_BACKOFF_SECONDS) if wanted else 0.1


def test_good_run_resets_the_backoff() -> None:
    """A run of over ten seconds was a success: the next wait is short again, and the retries are counted anew."""
    monitor = RestartMonitor(restarts=2, backoff_seconds=51.2)
    assert monitor.after(RestartPolicy("on-failure", 2), 1, 3.0, False)[0] is None
    backoff, monitor = monitor.after(RestartPolicy("on-failure", 2), 1, 10.1, False)
    assert backoff == 0.1 and monitor.restarts == 1


@given(POLICY, st.integers(0, 255))
def test_a_user_who_stops_is_obeyed(policy: RestartPolicy, code: int) -> None:
    """No policy brings back what a user stopped, while the daemon lives; only ``always`` does at its start."""
    assert RestartMonitor().after(policy, code, 1.0, stopped_by_user=True)[0] is None
    assert starts_with_daemon(policy, True, code) == (policy.name == "always")


@settings(max_examples=100)
@given(st.integers(1, 4 * 10**18))
def test_time_round_trip(nanoseconds: int) -> None:
    """A time is read back to the nanosecond; 0 is Go's zero time."""
    assert parse_time(format_time(nanoseconds)) == nanoseconds
    assert format_time(0) == NEVER and parse_time(NEVER) == 0


def test_times_that_users_write() -> None:
    """Unix seconds, RFC 3339 with a zone, a date alone, a duration ago; anything else is refused."""
    assert parse_time("1408554185.5") == 1408554185_500000000
    assert parse_time("2014-08-20T19:03:05+02:00") == parse_time("2014-08-20T17:03:05Z") == 1408554185 * 10**9
    assert parse_time("2014-08-20") == 1408492800 * 10**9
    assert parse_time("1h30m", now=5400 * 10**9) == 0
    for text in ("yesterday", "2014-13-45T00:00:00Z", "5 parsecs", "9" * 20):
        with pytest.raises(Invalid, match="invalid time"):
            parse_time(text)


def test_summary_words() -> None:
    """The STATUS column."""
    now = time.time_ns()
    assert State("running", started=now - 5 * 10**9).summary(now) == "Up 5 seconds"
    assert State("paused", started=now - 5 * 10**9).summary(now) == "Up 5 seconds (Paused)"
    assert State("exited", exit_code=3, finished=now - 7200 * 10**9).summary(now) == "Exited (3) 2 hours ago"
    assert State().summary(now) == "Created"


def test_waiter_rings_once_and_is_cancelled() -> None:
    """The first ring counts; a cancelled wait wakes up and says so; an unknown condition is refused."""
    waiter = Waiter(Condition.NEXT_EXIT)
    threading.Thread(target=waiter.ring, args=(7,)).start()
    assert waiter.wait(5) == 7
    waiter.ring(9)
    waiter.cancel()
    assert waiter.wait(0) == 7
    other = Waiter(Condition.REMOVED)
    other.cancel()
    with pytest.raises(Cancelled):
        other.wait()
    with pytest.raises(Invalid, match="invalid condition"):
        Condition.parse("bored")
