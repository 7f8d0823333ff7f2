"""Ids of two worlds: the mapping is one to one, and knows who is a stranger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.linux.id_mapping import NO_MAPPING, OVERFLOW_ID, IdMap, IdMapping


@st.composite
def mappings(draw: st.DrawFn) -> IdMapping:
    """Ranges without overlap, end to end inside, with gaps outside."""
    sides = []
    for _ in range(2):
        inside, outside, maps = 0, 100_000, []
        for gap, size in draw(st.lists(st.tuples(st.integers(0, 999), st.integers(1, 9999)), min_size=1, max_size=4)):
            maps.append(IdMap(inside, outside + gap, size))
            inside, outside = inside + size, outside + gap + size
        sides.append(tuple(draw(st.permutations(maps))))
    return IdMapping(*sides)


@given(mappings(), st.integers(0, 50_000), st.integers(0, 50_000))
def test_there_and_back_again(ids: IdMapping, uid: int, gid: int) -> None:
    """What has an id on the host has that one alone; what has none is refused by name."""
    try:
        owner = ids.to_host(uid, gid)
    except Invalid as error:
        assert str(error).startswith(("user", "group"))
        return
    assert ids.to_container(*owner) == (uid, gid)


@given(mappings(), st.integers(0, 99_999))
def test_a_stranger_is_nobody(ids: IdMapping, host_id: int) -> None:
    """As the kernel shows it: the host's own users have no name inside."""
    assert ids.to_container(host_id, host_id) == (OVERFLOW_ID, OVERFLOW_ID)


@given(st.integers(0, 2**32 - 2), st.integers(0, 2**32 - 2))
def test_without_a_mapping_all_stays_as_it_is(uid: int, gid: int) -> None:
    """The daemon without --userns-remap."""
    assert not NO_MAPPING
    assert NO_MAPPING.root == (0, 0)
    assert NO_MAPPING.to_host(uid, gid) == NO_MAPPING.to_container(uid, gid) == (uid, gid)


def test_an_id_beyond_the_range_is_named() -> None:
    """An image with larger ids than the range has cannot be unpacked; who pulled it must learn why."""
    ids = IdMapping((IdMap(0, 100_000, 10),), (IdMap(0, 100_000, 10),))
    with pytest.raises(Invalid, match="user 10 of the container has no id on the host"):
        ids.to_host(10, 0)
