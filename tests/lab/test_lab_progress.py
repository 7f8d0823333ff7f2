"""Progress: a diary whose lines two machines may add to and merge, in whatever order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.lab.progress import (
    EVENTS,
    FAILED,
    HINT,
    PASSED,
    SKIPPED,
    SOLVED,
    STARTED,
    Event,
    Progress,
    Standing,
    _line,
)

events = st.builds(
    Event,
    st.integers(0, 999).map(lambda n: f"2026-01-01T00:00:00.{n:03}+00:00"),
    st.sampled_from(["01_a", "02_b"]),
    st.sampled_from(EVENTS),
    st.sampled_from(["", "pure", "live"]),
)


@settings(max_examples=40)
@given(st.lists(events, max_size=12), st.lists(events, max_size=12))
def test_merging_is_the_same_from_both_sides_and_repeatable(
    tmp_path_factory: pytest.TempPathFactory, here: list[Event], there: list[Event]
) -> None:
    """Whoever merges whom, and however often: the same is known."""
    folder = tmp_path_factory.mktemp("diaries")
    known = []
    for name, first, second in (("one", here, there), ("two", there, here)):
        diary, other = Progress(folder / name), folder / f"{name}-other"
        diary.path.write_text("".join(map(_line, first)))
        other.write_text("".join(map(_line, second)))
        diary.merge_from(other)
        assert diary.merge_from(other) == 0
        known.append(diary.events())
    assert known[0] == known[1] == sorted({*here, *there})


def test_what_the_events_say_together(tmp_path: Path) -> None:
    """Passed is passed, whatever is tried afterwards; what was needed for it is counted up to then."""
    diary = Progress(tmp_path / "progress.jsonl")
    kinds = ["live", "pure"]
    assert diary.standing("01", kinds) == Standing("new")
    for what, detail in ((STARTED, ""), (FAILED, ""), (HINT, "f 1"), (PASSED, "pure")):
        diary.note("01", what, detail)
    assert diary.standing("01", kinds) == Standing("passed in part", hints=1, tries=1)
    for what, detail in ((PASSED, "live"), (SOLVED, ""), (FAILED, "")):
        diary.note("01", what, detail)
    assert diary.standing("01", kinds).word == "passed"
    diary.note("02", SKIPPED)
    assert diary.standing("02", kinds).word == "skipped"


def test_a_torn_line_is_named(tmp_path: Path) -> None:
    """Rather an error with a line number than progress that is silently lost."""
    path = tmp_path / "progress.jsonl"
    path.write_text('{"at": "x", "lab": "01", "what": "started"}\n{"at": \n')
    with pytest.raises(Invalid, match=r"progress\.jsonl:2"):
        Progress(path).events()
