"""Job: shaped like a unix process, run once, traced, cancellable."""

from __future__ import annotations

import io
import threading
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mini_docker.engine import Engine, Job, JobFailed, Status
from mini_docker.engine.job import TRANSITIONS, JobState
from mini_docker.errors import Cancelled, Conflict, Invalid, NotFound


def engine_with(**handlers: object) -> Engine:
    engine = Engine()
    for name, handler in handlers.items():
        engine.register(name, handler)  # type: ignore[arg-type]
    return engine


def test_a_job_is_like_a_process() -> None:
    """Name, arguments, environment, three streams and a status: the whole of classic Docker's Job."""

    def shout(job: Job) -> None:
        job.stdout.write(b" ".join([job.stdin.read(), *(arg.encode() for arg in job.args)]).upper())
        job.stderr.write(job.env["WARNING"].encode())

    job = engine_with(shout=shout).job("shout", "you", "there")
    job.stdin.set(io.BytesIO(b"hey"))
    job.env["WARNING"] = "loud"
    warnings = job.stderr.add_buffer()
    assert job.output() == b"HEY YOU THERE"
    assert warnings.getvalue() == b"loud"
    assert job.status is Status.OK
    assert job.state == JobState.ENDED


def test_a_job_runs_once() -> None:
    """A process, too, has one life."""
    job = engine_with(nothing=lambda job: None).job("nothing")
    job.run()
    with pytest.raises(RuntimeError):
        job.run()


def test_an_unknown_name_ends_with_127() -> None:
    """As in a shell: command not found."""
    job = Engine().job("no_such")
    with pytest.raises(JobFailed, match="no_such"):
        job.run()
    assert job.status is Status.NOT_FOUND


def test_the_tail_of_stderr_is_the_error() -> None:
    """A handler that answers a status and wrote why: the last line is the reason, as in classic Docker."""

    def fail(job: Job) -> Status:
        job.stderr.write(b"looking around\nthe disk is on fire\n")
        return Status.ERROR

    with pytest.raises(JobFailed, match=r"^the disk is on fire$"):
        engine_with(fail=fail).job("fail").run()


def test_an_error_keeps_its_type_on_the_way() -> None:
    """Nobody has to guess an error's kind from its text; stderr has the sentence for who reads it."""

    def lookup(job: Job) -> None:
        raise NotFound("No such container: x")

    job = engine_with(lookup=lookup).job("lookup")
    said = job.stderr.add_buffer()
    with pytest.raises(NotFound):
        job.run()
    assert said.getvalue() == b"No such container: x\n"
    assert job.status is Status.ERROR


def test_a_bug_ends_the_job_properly() -> None:
    """An exception that nobody planned still closes the streams and the trace."""
    engine = engine_with(bug=lambda job: 1 / 0)
    job = engine.job("bug")
    with pytest.raises(ZeroDivisionError):
        job.run()
    assert engine.trace.records()[0].status == Status.ERROR
    with pytest.raises(ValueError, match="closed"):
        job.stdout.write(b"late")


def test_the_trace_knows_who_ran_whom() -> None:
    """`mini-docker jobs` draws this as a tree."""
    engine = engine_with(outer=lambda job: job.child("inner", "x").run(), inner=lambda job: None)
    engine.job("outer").run()
    outer, inner = engine.trace.records()
    assert (outer.name, outer.parent) == ("outer", 0)
    assert (inner.name, inner.args, inner.parent) == ("inner", ("x",), outer.id)
    assert outer.duration is not None
    assert inner.duration is not None
    assert outer.duration >= inner.duration


def test_cancel_reaches_the_children() -> None:
    """A client that hangs up during a pull stops the downloads, not only the pull."""
    started, release = threading.Event(), threading.Event()
    seen: list[bool] = []

    def inner(job: Job) -> None:
        with job.on_cancel(release.set):
            started.set()
            release.wait(5)
        seen.append(job.cancelled)
        job.check_cancelled()

    engine = engine_with(outer=lambda job: job.child("inner").run(), inner=inner)
    job = engine.job("outer")
    failures: list[BaseException] = []

    def run() -> None:
        try:
            job.run()
        except Cancelled as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(5)
    job.cancel()
    thread.join(5)
    assert seen == [True]
    assert len(failures) == 1


def test_what_is_left_for_afterwards_is_done_when_the_answer_is_out() -> None:
    """Who has one to send says when that is; for everybody else it is the job's end."""
    done: list[str] = []

    def handler(job: Job) -> None:
        job.afterwards(lambda: done.append(str(job)))
        assert done == []

    engine = engine_with(handler=handler)
    job = engine.job("handler", "asked")
    job.run(settle=False)
    assert done == []
    job.settle()
    job.settle()
    assert done == ["handler(asked)"]
    done.clear()
    engine.job("handler", "inside").run()
    assert done == ["handler(inside)"]


def test_what_fails_afterwards_is_logged_and_the_rest_is_done(caplog: pytest.LogCaptureFixture) -> None:
    """The answer is out: there is nobody else to tell."""
    done: list[str] = []

    def handler(job: Job) -> None:
        job.afterwards(lambda: 1 // 0)
        job.afterwards(lambda: done.append("second"))

    engine_with(handler=handler).job("handler").run()
    assert done == ["second"] and "ZeroDivisionError" in caplog.text


def test_cancel_before_the_handler_waits_is_not_lost() -> None:
    """Otherwise a hang-up in the wrong moment would leave the job waiting for ever."""
    called: list[str] = []

    def late(job: Job) -> None:
        job.cancel()
        with job.on_cancel(lambda: called.append("now")):
            pass

    engine_with(late=late).job("late").run()
    assert called == ["now"]


def test_parse_job_reads_words_like_a_shell() -> None:
    """K=V words before the name become the environment."""
    engine = engine_with(create=lambda job: None)
    job = engine.parse_job("Image=busybox Tag='a b' create web x=1")
    assert (job.name, job.args, dict(job.env)) == ("create", ("web", "x=1"), {"Image": "busybox", "Tag": "a b"})


@given(st.text())
def test_parse_job_never_crashes(line: str) -> None:
    """Whatever is typed, the answer is a job or Invalid."""
    with suppress(Invalid):
        assert Engine().parse_job(line).name


def test_a_name_has_one_meaning() -> None:
    """Two handlers of one name would make the table a guess."""
    engine = engine_with(x=lambda job: None)
    with pytest.raises(Conflict):
        engine.register("x", lambda job: None)


class JobLife(RuleBasedStateMachine):
    """A job driven at random never leaves its transition table."""

    def __init__(self) -> None:
        super().__init__()
        self.job = engine_with(x=lambda job: None).job("x")
        self.expected = JobState.NEW

    @rule()
    def run(self) -> None:
        legal = (self.expected, "run") in TRANSITIONS
        try:
            self.job.run()
        except RuntimeError:
            assert not legal
        else:
            assert legal
            self.expected = JobState.ENDED

    @precondition(lambda self: self.expected == JobState.ENDED)
    @rule()
    def streams_are_closed(self) -> None:
        with pytest.raises(ValueError, match="closed"):
            self.job.stdout.write(b"x")

    @rule()
    def cancel(self) -> None:
        self.job.cancel()

    @invariant()
    def state_is_as_expected(self) -> None:
        assert self.job.state == self.expected


TestJobLife = JobLife.TestCase
