"""Filters as clients spell them, and the event log's shape, ring and sieve."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.daemon.event_log import FILTERS, Event, EventLog
from mini_docker.daemon.filters import Filters, PruneFilters
from mini_docker.errors import Invalid

WORDS = st.dictionaries(st.sampled_from(["label", "name"]), st.lists(st.text("abc=", max_size=4), max_size=3))


@settings(max_examples=50)
@given(WORDS)
def test_both_spellings_mean_the_same(values: dict[str, list[str]]) -> None:
    """``{"k":["v"]}`` of docker-py and ``{"k":{"v":true}}`` of the CLI."""
    unique = {key: list(dict.fromkeys(words)) for key, words in values.items()}
    new = json.dumps({key: dict.fromkeys(words, True) for key, words in unique.items()})
    assert Filters.parse(json.dumps(unique), ("label", "name")) == Filters.parse(new, ("label", "name"))


def test_bad_filters() -> None:
    """An unknown key, and what is no filter at all."""
    for text in ("{", "[]", '{"name": 5}', '{"name": [5]}'):
        with pytest.raises(Invalid, match="invalid filters"):
            Filters.parse(text, ("name",))
    with pytest.raises(Invalid, match="Invalid filter 'color'"):
        Filters.parse('{"color": ["red"]}', ("name",))
    assert Filters.parse("", ()) == Filters() == Filters.parse("null", ())


def test_matching() -> None:
    """One value of a key must match; of labels all must; a name may be a regular expression."""
    filters = Filters({"name": ("^web", "db"), "label": ("a", "b=1"), "id": ("abc",)})
    assert filters.fuzzy("name", "web1") and filters.fuzzy("name", "mydb") and not filters.fuzzy("name", "x")
    assert (
        filters.labels({"a": "", "b": "1"})
        and not filters.labels({"b": "1"})
        and not filters.labels({"a": "", "b": "2"})
    )
    assert filters.prefix("id", "abcdef") and not filters.prefix("id", "ab") and filters.exact("other", "x")


def test_what_a_prune_spares() -> None:
    """One sieve for all four prunes: all wanted labels, not all of the unwanted ones, nothing younger than said."""
    sieve = PruneFilters.parse('{"label": ["a"], "label!": ["keep", "b=1"], "until": ["100"]}')
    assert not sieve.spares({"a": ""}, 100 * 10**9)
    assert sieve.spares({}, 0), "it lacks the label"
    assert sieve.spares({"a": "", "keep": "", "b": "1"}, 0), "it has all of what is to stay"
    assert not sieve.spares({"a": "", "keep": "", "b": "2"}, 0)
    assert sieve.spares({"a": ""}, 100 * 10**9 + 1), "it is too young"
    assert not PruneFilters.parse("").spares({}, 2**62)


def test_bad_prune_filters() -> None:
    """A key that a prune does not know would else take more than was asked for; so would a second time."""
    for text, message in (
        ('{"lable": ["keep"]}', "Invalid filter 'lable'"),
        ('{"until": ["1h", "2h"]}', "more than one until filter specified"),
        ('{"until": ["soon"]}', "invalid time 'soon'"),
    ):
        with pytest.raises(Invalid, match=message):
            PruneFilters.parse(text)
    with pytest.raises(Invalid, match="Invalid filter 'until'"):
        PruneFilters.parse('{"until": ["1h"]}', until=False)


CONTAINER = Event(
    "container", "exec_create: ls", "c1", {"image": "busybox:latest", "name": "web", "k": "v"}, 1_500000001
)
NETWORK = Event("network", "connect", "n1", {"container": "c1", "name": "bridge"}, 2)


def test_shape_is_dockers() -> None:
    """What clients of all ages read: the old fields of containers and images, the new ones of all."""
    line = json.loads(CONTAINER.line)
    assert list(line) == ["status", "id", "from", "Type", "Action", "Actor", "scope", "time", "timeNano"]
    assert (line["time"], line["timeNano"]) == (1, 1_500000001) and line["Actor"]["Attributes"]["name"] == "web"
    assert "status" not in json.loads(NETWORK.line)


@pytest.mark.parametrize(
    ("key", "value", "container", "network"),
    [
        ("event", "exec_create", True, False), ("event", "exec_create: ls", True, False),
        ("type", "network", False, True),
        ("container", "web", True, False), ("container", "c1", True, True), ("image", "busybox", True, False),
        ("label", "k=v", True, False), ("network", "bridge", False, True), ("scope", "local", True, True),
    ],
)  # fmt: skip
def test_event_filters(key: str, value: str, container: bool, network: bool) -> None:
    """--filter, key by key."""
    filters = Filters.parse(json.dumps({key: [value]}), FILTERS)
    assert (CONTAINER.matches(filters), NETWORK.matches(filters)) == (container, network)


def test_ring_and_subscribers() -> None:
    """The newest are remembered, a listener misses none and hears none twice, and stamps never go back."""
    events = EventLog(capacity=3)
    for number in range(5):
        events.log("container", str(number), "c")
    with events.listen() as (past, arrivals):
        assert [event.action for event in past] == ["2", "3", "4"] and events.subscribers == 1
        events.log("container", "5", "c")
        arrived = arrivals.get(timeout=5)
        assert arrived is not None and arrived.action == "5" and arrived.nanoseconds >= past[-1].nanoseconds
    assert events.subscribers == 0
