"""``--userns-remap`` read: /etc/subuid and /etc/subgid line by line, users by name and number, and each way to fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.daemon import userns_remap
from mini_docker.daemon.subordinate_ids import (
    FIRST_FREE_ID,
    SubordinateRange,
    free_start,
    id_map,
    parse_ranges,
    ranges_of,
)
from mini_docker.errors import Invalid, MiniDockerError, NotFound
from mini_docker.linux.id_mapping import NO_MAPPING, IdMap, IdMapping

owners = st.from_regex(r"[a-z_][a-z0-9_-]{0,20}|[0-9]{1,9}", fullmatch=True)
ranges = st.builds(SubordinateRange, owners, st.integers(0, 2**31), st.integers(1, 2**30))


@given(st.lists(ranges, max_size=6), st.sampled_from(["", "# a comment", "   "]))
def test_what_is_written_is_read(written: list[SubordinateRange], noise: str) -> None:
    """Comments and blank lines between them change nothing."""
    lines = [line for one in written for line in (noise, f"{one.owner}:{one.start}:{one.size}")]
    assert parse_ranges("\n".join(lines), "/etc/subuid") == tuple(written)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever stands in the file: ranges, or one sentence that names the file and the line."""
    try:
        found = parse_ranges(text, "/etc/subgid")
    except Invalid as error:
        assert str(error).startswith("/etc/subgid, line ")
    else:
        assert all(one.size > 0 and one.start >= 0 and one.end <= 2**32 - 1 for one in found)


@pytest.mark.parametrize(
    "line", ["alice", "alice:1", "alice:x:1", "alice:1:0", "alice:4294967290:10", "a:-1:5", ":1:2"]
)
def test_a_bad_line_is_named(line: str) -> None:
    """By file, number and text, with an example of a good one where the form is wrong."""
    with pytest.raises(Invalid, match="/etc/subuid, line 2: "):
        parse_ranges(f"bob:1:1\n{line}\n", "/etc/subuid")


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500)), min_size=1, max_size=6), st.randoms())
def test_the_container_sees_one_row_of_ids(gaps: list[tuple[int, int]], random: object) -> None:
    """However many ranges, from 0 on without a hole, in the file's order; on the host each where its line says."""
    own, at = [], 100_000
    for gap, size in gaps:
        own.append(SubordinateRange("alice", at + gap, size))
        at += gap + size
    random.shuffle(own)  # type: ignore[attr-defined]
    maps = id_map(own, "/etc/subuid")
    assert [entry.host_id for entry in maps] == [one.start for one in own]
    ends = [0]
    for entry in maps:
        assert entry.container_id == ends[-1]
        ends.append(entry.container_id + entry.size)


def test_ranges_that_overlap_are_refused() -> None:
    """One id of the host would be two of the container's; the kernel would say EINVAL and no more."""
    with pytest.raises(Invalid, match=r"/etc/subgid: the ranges of alice overlap at 105"):
        id_map([SubordinateRange("alice", 100, 10), SubordinateRange("alice", 105, 10)], "/etc/subgid")


def test_a_line_by_number_wins_over_lines_by_name() -> None:
    """As Docker looks them up."""
    both = (SubordinateRange("alice", 1000, 10), SubordinateRange("7", 2000, 10))
    assert ranges_of(both, "alice", 7, "/etc/subuid") == (both[1],)
    assert ranges_of(both, "alice", 8, "/etc/subuid") == (both[0],)


@given(st.lists(ranges, max_size=5))
def test_the_missing_line_is_dictated(there: list[SubordinateRange]) -> None:
    """And what it dictates collides with nobody's ids."""
    with pytest.raises(NotFound) as caught:
        ranges_of(there, "Nobody's", 2**32, "/etc/subuid")
    line = str(caught.value).rpartition("such as ")[2].strip('"')
    assert str(caught.value).startswith("/etc/subuid has no ids for the user Nobody's")
    assert line.startswith("Nobody's:")
    start = int(line.split(":")[1])
    assert start == free_start(there) >= FIRST_FREE_ID
    assert all(one.end <= start for one in there)


@pytest.fixture
def address_books(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with subuid and subgid, in place of /etc. The users are this machine's."""
    for name in ("SUBUID", "SUBGID"):
        path = tmp_path / name.lower()
        path.write_text("daemon:100000:65536\nnobody:300000:10\nroot:1:1\n")
        monkeypatch.setattr(userns_remap, name, str(path))
    return tmp_path


@pytest.mark.parametrize("word", ["daemon", "daemon:daemon", "daemon:root", "1", "1:1"])
def test_a_user_by_name_or_number(address_books: Path, word: str) -> None:
    """The user alone decides; the group must only exist."""
    maps = (IdMap(0, 100_000, 65_536),)
    assert userns_remap.find_mapping(word) == IdMapping(maps, maps)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nobody-here", "no such user on this machine: nobody-here"),
        ("daemon:no-group", "no such group on this machine: no-group"),
        ("1:2:3", "Invalid user/group specification"),
        ("daemon:", "Invalid user/group specification"),
        (":daemon", "Invalid user/group specification"),
        ("99999999999999999999", "no such user"),
        ("root", "root remapped to root"),
        ("bin", 'subuid has no ids for the user bin: it needs a line such as "bin:300010:65536"'),
    ],
)
def test_each_way_to_fail_has_its_words(address_books: Path, word: str, said: str) -> None:
    """One sentence, before anything is made."""
    with pytest.raises(MiniDockerError) as caught:
        userns_remap.find_mapping(word)
    assert said in str(caught.value)


def test_no_file_is_a_file_without_lines(address_books: Path) -> None:
    """Minimal systems have none."""
    (address_books / "subgid").unlink()
    with pytest.raises(NotFound, match="subgid has no ids for the user daemon"):
        userns_remap.find_mapping("daemon")


def test_a_root_folder_of_its_own() -> None:
    """Files that one mapping left would have the wrong owners for another."""
    maps = (IdMap(0, 100_000, 10),)
    assert userns_remap.remapped_root(Path("/r"), IdMapping(maps, maps)) == Path("/r/100000.100000")
    assert userns_remap.remapped_root(Path("/r"), NO_MAPPING) == Path("/r")
    assert userns_remap.find_mapping("") is NO_MAPPING
