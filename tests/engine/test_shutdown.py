"""Shutdown: refuse new jobs, give running ones their time, then call the handlers."""

from __future__ import annotations

import threading
import time

import pytest

from mini_docker.engine import Engine, Job
from mini_docker.errors import Unavailable


def in_thread(job: Job) -> threading.Thread:
    thread = threading.Thread(target=job.run)
    thread.start()
    return thread


def test_new_jobs_are_refused() -> None:
    """After shutdown began no work may start that would then be cut off."""
    engine = Engine()
    engine.register("x", lambda job: None)
    engine.shutdown()
    with pytest.raises(Unavailable):
        engine.job("x").run()


def test_running_jobs_are_waited_for_and_may_still_ask_for_help() -> None:
    """A stop that is under way needs its child jobs to finish."""
    engine = Engine()
    running, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def outer(job: Job) -> None:
        running.set()
        go_on.wait(5)
        job.child("inner").run()

    engine.register("outer", outer)
    engine.register("inner", lambda job: done.append("inner"))
    engine.on_shutdown(lambda: done.append("handler"))
    worker = in_thread(engine.job("outer"))
    running.wait(5)
    stopper = threading.Thread(target=engine.shutdown)
    stopper.start()
    while not engine.is_shutdown:
        time.sleep(0)
    go_on.set()
    stopper.join(5)
    worker.join(5)
    assert done == ["inner", "handler"]


def test_services_do_not_hold_shutdown_up() -> None:
    """The API is a job that never ends by itself: it is cancelled, at once."""
    engine = Engine()
    running = threading.Event()

    def serve(job: Job) -> None:
        job.service = True
        ended = threading.Event()
        with job.on_cancel(ended.set):
            running.set()
            ended.wait(10)

    engine.register("serveapi", serve)
    worker = in_thread(engine.job("serveapi"))
    running.wait(5)
    before = time.monotonic()
    engine.shutdown()
    worker.join(5)
    assert not worker.is_alive()
    assert time.monotonic() - before < 4


def test_a_job_that_will_not_end_is_cancelled_when_its_time_is_up() -> None:
    """Five seconds in the daemon; here as many milliseconds."""
    engine = Engine()
    running, ended = threading.Event(), threading.Event()

    def stubborn(job: Job) -> None:
        with job.on_cancel(ended.set):
            running.set()
            ended.wait(10)

    engine.register("stubborn", stubborn)
    worker = in_thread(engine.job("stubborn"))
    running.wait(5)
    engine.shutdown(jobs_seconds=0.005)
    worker.join(5)
    assert ended.is_set()


def test_handlers_run_side_by_side_and_one_that_hangs_is_left_behind() -> None:
    """One broken part must not keep the others from saving their state."""
    engine = Engine()
    hang = threading.Event()
    done = threading.Event()

    def broken() -> None:
        raise OSError("disk gone")

    engine.on_shutdown(lambda: hang.wait(10) and None)
    engine.on_shutdown(broken)
    engine.on_shutdown(done.set)
    engine.shutdown(handlers_seconds=0.2)
    assert done.is_set()
    hang.set()


def test_shutdown_twice_is_once() -> None:
    """A second SIGTERM must not run the handlers again."""
    engine = Engine()
    calls: list[int] = []
    engine.on_shutdown(lambda: calls.append(1))
    engine.shutdown()
    engine.shutdown()
    assert calls == [1]
