"""The job trace: a ring of finished jobs, all running ones, and live followers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mini_docker.engine import JobTrace


@given(st.lists(st.booleans(), max_size=60), st.integers(min_value=1, max_value=8))
def test_running_jobs_are_never_forgotten(ends: list[bool], capacity: int) -> None:
    """However many jobs finish meanwhile, what still runs can be seen; of the finished, the newest."""
    trace = JobTrace(capacity)
    running, finished = [], []
    for end in ends:
        if end and running:
            finished.append(running.pop(0))
            trace.end(finished[-1], 0, "")
        else:
            running.append(trace.begin("job", (), 0))
    records = trace.records()
    assert [record.id for record in records if record.status is None] == sorted(running)
    assert {record.id for record in records if record.status is not None} == set(finished[-capacity:])


def test_a_follower_misses_nothing_and_sees_nothing_twice() -> None:
    """What is in the snapshot does not arrive again, what comes after it does."""
    trace = JobTrace()
    first = trace.begin("a", (), 0)
    with trace.follow() as (seen, arrivals):
        trace.end(first, 0, "")
        second = trace.begin("b", ("x",), first)
        trace.close()
        later = list(iter(arrivals.get, None))
    assert [record.id for record in seen] == [first]
    assert [(record.id, record.status) for record in later] == [(first, 0), (second, None)]
    trace.end(second, 1, "no")
    assert arrivals.empty()


def test_a_record_never_holds_the_environment() -> None:
    """Passwords travel in the environment (X-Registry-Auth); a trace is shown to anyone who asks."""
    trace = JobTrace()
    trace.begin("pull", ("busybox",), 0)
    assert set(trace.records()[0].to_json()) == {
        "Id", "Parent", "Name", "Args", "Started", "Duration", "Status", "Error",
    }  # fmt: skip
