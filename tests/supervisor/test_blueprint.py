"""Blueprints: told whole once on a connection, then by what differs from the last one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import ContainerSpec, ProcessSpec
from mini_docker.supervisor.blueprint import Blueprint, read, write
from tests.libcontainer.test_config import specs

blueprints = st.builds(Blueprint, specs, st.sampled_from((b"", b"filter", b"another")))


@given(st.lists(blueprints, min_size=1, max_size=4))
def test_both_sides_know_the_same_all_along(told: list[Blueprint]) -> None:
    """Whatever is told after whatever, the other side understands exactly that."""
    known_here = known_there = None
    for blueprint in told:
        known_there = read(json.loads(json.dumps(write(blueprint, known_here))), known_there)
        known_here = blueprint
        assert known_there == blueprint


@given(blueprints)
def test_one_that_is_like_the_last_is_told_in_no_words(blueprint: Blueprint) -> None:
    """Only what differs is said."""
    assert write(blueprint, blueprint) == {"new": False, "spec": {}, "seccomp": None}


def test_a_difference_needs_something_to_differ_from() -> None:
    """Who lost the thread says so."""
    with pytest.raises(ValueError, match="differs from none"):
        read({"new": False, "spec": {}, "seccomp": None}, None)


def test_nonsense_is_refused() -> None:
    """The supervisor answers it as any bad request."""
    with pytest.raises(Invalid, match="ContainerSpec: unknown field 'colour'"):
        read({"new": True, "spec": {"colour": "red"}, "seccomp": ""}, None)
    known = Blueprint(ContainerSpec(ProcessSpec(("true",)), ()), b"")
    with pytest.raises((ValueError, TypeError, LookupError)):
        read({"new": False, "spec": {"colour": "red"}, "seccomp": None}, known)
