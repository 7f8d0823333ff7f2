"""The date of an answer, as HTTP writes it."""

from __future__ import annotations

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from mini_docker.http.responder import http_date


@given(st.integers(0, 4_000_000_000))
def test_dates_are_written_as_mail_writes_them(seconds: int) -> None:
    """RFC 9110 took the form from there."""
    assert http_date(seconds) == formatdate(seconds, usegmt=True)
