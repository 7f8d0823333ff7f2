"""Numbers in Docker's words, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker import units
from mini_docker.errors import Invalid


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("32", 32), ("32b", 32), ("32k", 32 << 10), ("32K", 32 << 10), ("32kb", 32 << 10), ("32KiB", 32 << 10),
        ("1.5g", 3 << 29), ("64 MB", 64 << 20), ("2t", 2 << 40), ("0", 0),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    """Every unit that ``-m`` takes; they are powers of 1024 whether or not there is an i."""
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "m", "-1", "1.2.3m", "1x", "1mm", "0x10", "1 2", "1e3"])
def test_bad_sizes(text: str) -> None:
    """What is no size is refused with Docker's sentence, not guessed at."""
    with pytest.raises(Invalid, match="invalid size"):
        units.parse_size(text)


@given(st.integers(0, 2**50), st.sampled_from("bkmg"))
@settings(max_examples=80, deadline=None)
def test_a_whole_number_of_units_is_exact(number: int, unit: str) -> None:
    """No float rounding where no fraction was written: limits must be what the user said."""
    assert units.parse_size(f"{number}{unit}") == number * 1024 ** "bkmg".index(unit)


@given(st.integers(0, 10**6), st.integers(0, 10**9 - 1))
@settings(max_examples=80, deadline=None)
def test_cpus_are_exact(whole: int, billionths: int) -> None:
    """``--cpus`` is read in decimal, never through a float."""
    assert units.parse_nano_cpus(f"{whole}.{billionths:09d}") == whole * 10**9 + billionths


@pytest.mark.parametrize("text", ["", ".", "abc", "-1", "1.0000000001", "1,5"])
def test_bad_cpus(text: str) -> None:
    """Neither words, nor signs, nor more digits than the API has."""
    with pytest.raises(ValueError):
        units.parse_nano_cpus(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("1h2m3.5s", 3723.5), ("150ms", 0.15), ("0", 0), ("-1s", -1), ("2us", 2e-6)]
)
def test_durations(text: str, seconds: float) -> None:
    """Go's notation, as ``--since 10m`` uses it."""
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "-", "1", "s", "1d", "1h2", "h1", "1..5s", "."])
def test_bad_durations(text: str) -> None:
    """A number without a unit is not a duration."""
    with pytest.raises(ValueError, match="invalid duration"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (150, "2 minutes"),
        (3600, "About an hour"), (7200, "2 hours"), (86400 * 3, "3 days"), (86400 * 20, "2 weeks"),
        (86400 * 70, "2 months"), (86400 * 800, "2 years"), (61, "About a minute"), (86400 * 100, "3 months"),
        # Hours are rounded (a half up), and with them days to months; years are not.
        (5399, "About an hour"), (5400, "2 hours"), (9000, "3 hours"), (71.5 * 3600, "3 days"),
        (3 * 365 * 86400 - 60, "2 years"),
    ],
)  # fmt: skip
def test_human_durations(seconds: float, words: str) -> None:
    """The words in the columns CREATED and STATUS."""
    assert units.human_duration(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0B"), (999, "999B"), (1000, "1kB"), (4_240_000, "4.24MB"), (123_456_789, "123MB")]
)
def test_human_sizes(size: int, words: str) -> None:
    """Powers of 1000 and three digits, as in the column SIZE."""
    assert units.human_size(size) == words


def test_binary_sizes() -> None:
    """Powers of 1024, as memory is counted."""
    assert [units.binary_size(size) for size in (0, 1024, 3 << 29)] == ["0B", "1KiB", "1.5GiB"]


def test_timestamps() -> None:
    """``--since`` takes an age, a number or a date; all become seconds since the epoch."""
    assert units.timestamp("10s", 1000.0) == "990.000000000"
    assert units.timestamp("123.5", 1000.0) == "123.5"
    assert units.timestamp("1970-01-01T00:01:40Z", 0.0) == "100.000000000"
    assert float(units.timestamp("1970-01-01T01:00:00.25+01:00", 0.0)) == 0.25
    with pytest.raises(ValueError, match="failed to parse"):
        units.timestamp("yesterday", 0.0)


@given(st.integers(0, 4 * 10**18))
@settings(max_examples=50, deadline=None)
def test_event_times_keep_their_nanoseconds(nanoseconds: int) -> None:
    """Nine digits, and the same instant when read back."""
    text = units.rfc3339(nanoseconds)
    assert len(text.partition(".")[2].rstrip("Z").partition("+")[0].partition("-")[0]) == 9
    assert units.parse_time(text) == pytest.approx(nanoseconds / 1e9, abs=1e-6)
