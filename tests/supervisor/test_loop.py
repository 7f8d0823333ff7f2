"""The loop: one thread, one selector, everyone a turn."""

from __future__ import annotations

import os
import subprocess
import sys

from mini_docker.supervisor.loop import HANGUP, READ, Loop


def test_timers_ring_in_order_and_can_be_called_off() -> None:
    """Deadlines are the loop's clock; a cancelled one is never heard."""
    loop = Loop()
    heard: list[str] = []
    loop.later(0.003, lambda: heard.append("late"))
    loop.later(0.001, lambda: heard.append("early"))
    loop.later(0.002, lambda: heard.append("never")).cancel()
    loop.later(0.004, loop.stop)
    loop.run()
    loop.close()
    assert heard == ["early", "late"]


def test_a_callback_may_end_the_subject_of_another_in_the_same_turn() -> None:
    """Two descriptors are ready; the first one's callback forgets the second: it must not be called."""
    loop = Loop()
    ends = [os.pipe() for _ in range(2)]
    called: list[int] = []

    def first_come(number: int) -> None:
        called.append(number)
        for readable, _ in ends:
            loop.forget(readable)
        loop.stop()

    for number, (readable, writable) in enumerate(ends):
        os.write(writable, b"x")
        loop.watch(readable, READ, lambda events, number=number: first_come(number))
    loop.run()
    loop.close()
    for pair in ends:
        for descriptor in pair:
            os.close(descriptor)
    assert len(called) == 1


def test_hang_ups_always_count() -> None:
    """Even for who waits for nothing: a peer's death must not go unnoticed."""
    loop = Loop()
    readable, writable = os.pipe()
    seen: list[int] = []

    def hung_up(events: int) -> None:
        seen.append(events)
        loop.stop()

    loop.watch(readable, 0, hung_up)
    os.close(writable)
    loop.run()
    loop.forget(readable)
    loop.close()
    os.close(readable)
    assert seen[0] & HANGUP


def test_one_callbacks_mistake_does_not_end_the_loop() -> None:
    """It holds everybody's containers: who failed is not called again, the others go on."""
    loop = Loop()
    readable, writable = os.pipe()
    calls: list[str] = []

    def broken(_events: int) -> None:
        calls.append("broken")
        raise KeyError("a mistake")

    def late() -> None:
        calls.append("late")
        loop.stop()

    loop.watch(readable, READ, broken)
    os.write(writable, b"x")
    loop.later(0.001, lambda: 1 / 0)
    loop.later(0.01, late)
    loop.run()
    loop.close()
    for descriptor in (readable, writable):
        os.close(descriptor)
    assert calls == ["broken", "late"]


def test_a_log_that_cannot_be_written_ends_nobody() -> None:
    """A full disk is no reason to let go of containers: the loop goes on after a mistake that it cannot complain of."""
    program = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from mini_docker.supervisor.complaints import complain
from mini_docker.supervisor.loop import READ, Loop
loop = Loop()
readable, writable = os.pipe()
os.write(writable, b"x")
loop.watch(readable, READ, lambda events: 1 / 0)
loop.later(0.01, lambda: 1 / 0)
loop.later(0.02, loop.stop)
loop.run()
complain("no room")
print("lives")
"""
    with open("/dev/full", "w") as full:
        argv = [sys.executable, "-c", program]
        run = subprocess.run(argv, stdout=subprocess.PIPE, stderr=full, text=True, check=True)
    assert run.stdout == "lives\n"
