"""A random tree of jobs, judged by what comes out: names, words and depths that nobody could know beforehand."""

from __future__ import annotations

import secrets
import threading

import pytest

from mini_docker.engine import Engine, Job, JobFailed, Status
from mini_docker.errors import Conflict, Unavailable


def test_a_word_goes_down_a_chain_of_jobs_and_comes_back() -> None:
    """What the last of a random chain writes is what the first one's caller reads; the trace knows every parent."""
    names = [f"job_{secrets.token_hex(4)}" for _ in range(secrets.randbelow(6) + 3)]
    word = secrets.token_hex(8)
    engine = Engine()

    def link(job: Job) -> None:
        depth = names.index(job.name)
        job.stdout.write(
            job.env["word"].encode() if depth == len(names) - 1 else child_of(job, names[depth + 1]).output()
        )

    def child_of(job: Job, name: str) -> Job:
        child = job.child(name, str(job.id))
        child.env["word"] = job.env["word"]
        return child

    for name in names:
        engine.register(name, link)
    first = engine.parse_job(f"word='{word}' {names[0]} start=here")
    assert first.args == ("start=here",)
    assert first.output() == word.encode()
    records = engine.trace.records()
    assert [record.name for record in records] == names
    assert [record.parent for record in records] == [0, *(record.id for record in records[:-1])]
    assert all(record.status == Status.OK for record in records)


def test_a_random_status_is_the_jobs_and_its_last_line_the_reason() -> None:
    """A handler speaks with a status and a word on standard error; both reach the caller, nothing else does."""
    reason = secrets.token_hex(8)
    engine = Engine()

    def fail(job: Job) -> Status:
        job.stderr.write(f"noise {secrets.token_hex(2)}\n{reason}\n".encode())
        return Status.ERROR

    engine.register("fail", fail)
    job = engine.job("fail")
    with pytest.raises(JobFailed) as failure:
        job.run()
    assert str(failure.value) == reason
    assert engine.trace.records()[0].error == reason


def test_the_table_is_not_changed_by_a_second_meaning() -> None:
    """After a refused registration the first handler still does the work."""
    name, first, second = (secrets.token_hex(4) for _ in range(3))
    engine = Engine()
    engine.register(name, lambda job: job.stdout.write(first.encode()) and None)
    with pytest.raises(Conflict):
        engine.register(name, lambda job: job.stdout.write(second.encode()) and None)
    assert engine.job(name).output() == first.encode()


def test_cancel_calls_may_themselves_ask_the_job() -> None:
    """A callback is other people's code: it may look at the job, listen to it or cancel a child. Nobody may be stuck."""
    engine = Engine()
    heard: list[str] = []

    def work(job: Job) -> None:
        def callback() -> None:
            with job.on_cancel(lambda: heard.append("inner")):
                heard.append("outer")

        with job.on_cancel(callback):
            job.cancel()

    engine.register("work", work)
    worker = threading.Thread(target=engine.job("work").run, daemon=True)
    worker.start()
    worker.join(5)
    assert not worker.is_alive(), "a callback that asks the job waits for ever: the lock is held while it is called"
    assert sorted(heard) == ["inner", "outer"]


def test_a_refused_job_leaves_no_trace() -> None:
    """What never ran is not among what ran."""
    engine = Engine()
    engine.register("x", lambda job: None)
    engine.shutdown()
    job = engine.job("x")
    with pytest.raises(Unavailable):
        job.run()
    assert engine.trace.records() == []
    assert job.status is Status.ERROR
