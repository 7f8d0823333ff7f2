"""Our quick way to JSON, held to the standard library's slow one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.http import quick_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(values)
@settings(max_examples=150, deadline=None)
def test_both_ways_agree_with_json(value: object) -> None:
    """Speed must not change the language: what one writes the other reads, and the same."""
    text = quick_json.dumps(value)
    assert text == json.dumps(value, separators=(",", ":"))
    assert quick_json.loads(f" {text}\n".encode()) == value
    assert json.loads(quick_json.dumps(value, ascii=False)) == value


@given(st.text('[]{},:"\\ 0123456789eE.+-truefalsn', max_size=12))
@settings(max_examples=300, deadline=None)
def test_what_json_refuses_is_refused(text: str) -> None:
    """No more and no less is taken for JSON."""
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            quick_json.loads(text.encode())
    else:
        assert repr(quick_json.loads(text.encode())) == repr(expected)


def test_strange_objects_are_refused() -> None:
    """A programming mistake is loud."""
    with pytest.raises(TypeError, match="set has no form"):
        quick_json.dumps({"a": {1}})
