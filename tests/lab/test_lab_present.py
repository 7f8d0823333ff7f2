"""What a learner reads: whose fault it is, the smallest example as a story, an errno in a sentence."""

from __future__ import annotations

import errno

from mini_docker.lab.present import ERRNO_SENTENCES, check_lines, example_lines, explain_errno
from mini_docker.lab.verdict import CheckResult, Failure, Frame, LabResult, Verdict, gravest

MACHINE = """Failing test case: <state machine>
state = JobLife()
state.run()
Draw 1: 'first'
state.write(data=data(...))
state.teardown()"""


def test_a_machines_example_is_a_numbered_story() -> None:
    """Without what begins and ends every story; what was drawn stands below the step that drew it."""
    assert list(example_lines(MACHINE)) == [" 1. run()", " 2. write(data=data(...))", "    └─ drew 'first'"]


def test_a_calls_example_is_a_tree() -> None:
    """Both of hypothesis' wordings; long values become branches."""
    for head in ("Falsifying example", "Failing test case"):
        lines = list(
            example_lines(f"{head}: test_x(\n    chosen=[1],  # or any other generated value\n    name='y',\n)")
        )
        assert lines == ["test_x", "├─ chosen = [1]", "└─ name = 'y'"]
    long = f"Falsifying example: test_x(items=[{', '.join(['IPAllocator(subnet)'] * 4)}])"
    assert list(example_lines(long))[1:3] == ["└─ items = list", "   ├─ [0] = IPAllocator(subnet)"]


def test_what_cannot_be_read_as_code_is_shown_as_it_is() -> None:
    """A new wording of the tool must not hide the example."""
    assert list(example_lines("something new:\n  [{")) == ["something new:", "  [{"]


def test_an_errno_gets_its_sentence() -> None:
    """By name, as the doors' errors spell it; other words in capitals are left alone."""
    assert "gateway" in explain_errno("ip route add default via 10.0.0.1 dev eth0: ENETUNREACH: network is unreachable")
    assert explain_errno("EXPECTED nothing") == ""
    assert all(hasattr(errno, name) for name in ERRNO_SENTENCES)


def test_each_failure_says_whose_it_is() -> None:
    """Your code, the environment, or the time; and what is merely unwritten is counted, not told."""
    frame = Frame("/desk/mini_docker/engine/job.py", 7, "run", "return None")
    failures = (
        Failure("t.py::a", "A law.", "AssertionError: x", ("assert 1 == 2",), frames=(frame,)),
        Failure("t.py::b", "B law.", "NotImplementedError: not written yet: Job.run"),
    )
    text = "\n".join(check_lines(CheckResult("c", "pure", Verdict.FAIL, 3, failures)))
    assert "[YOUR CODE] c (pure, 3 passed, 2 failed" in text
    assert "1 law waits for Job.run" in text
    assert "law:    A law." in text and "job.py:7 in run: return None" in text and "B law" not in text
    assert "[ENVIRONMENT]" in "\n".join(check_lines(CheckResult("c", "live", Verdict.ENVIRONMENT, reason="no overlay")))
    assert "[TIMEOUT]" in "\n".join(check_lines(CheckResult("c", "live", Verdict.TIMEOUT)))


def test_the_gravest_verdict_decides() -> None:
    """Wrong code before a lack of time, before the environment, before what was not tried."""
    order = [Verdict.FAIL, Verdict.TIMEOUT, Verdict.ENVIRONMENT, Verdict.SKIPPED, Verdict.PASS]
    for number, verdict in enumerate(order):
        assert gravest(order[number:]) is verdict
    assert [verdict.value for verdict in order] == [1, 124, 2, 3, 0]
    assert LabResult("l", (CheckResult("c", "pure", Verdict.PASS),), unwritten=("m:f",)).verdict is Verdict.FAIL
