"""Subordinate ids: the ranges of ids that a user may hand out below himself, as /etc/subuid and /etc/subgid list them.

Pure: texts in, ranges out. It knows nothing of daemons and containers.

Source: subuid(5), subgid(5).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid, NotFound
from mini_docker.linux.id_mapping import IdMap

SUBUID, SUBGID = "/etc/subuid", "/etc/subgid"
FIRST_FREE_ID, RANGE_SIZE = 100_000, 65_536
"""Where ranges begin, and how long they are, that useradd(8) and Docker choose by themselves."""

_LINE = re.compile(r"([^:\s]+):(\d{1,10}):(\d{1,10})\Z", re.ASCII)
_IDS = 2**32 - 1  # the last one, -1, means "none"


@dataclass(frozen=True, slots=True)
class SubordinateRange:
    """One line of /etc/subuid or /etc/subgid.

    Attributes:
        owner: a user, by name or number.
        start, size: the ids from *start* on.
    """

    owner: str
    start: int
    size: int

    @property
    def end(self) -> int:
        """The first id after it."""
        return self.start + self.size


def parse_ranges(text: str, path: str) -> tuple[SubordinateRange, ...]:
    """Read a whole file; blank lines and those that begin with ``#`` say nothing.

    Args:
        path: what the file is called, for the error.

    Raises:
        Invalid: a line is not ``owner:start:size``; the message names file and line.
    """
    ranges = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        match = _LINE.match(word)
        if match is None:
            raise Invalid(f"{path}, line {number}: {word!r} is not OWNER:START:SIZE, as in dockremap:100000:65536")
        range = SubordinateRange(match[1], int(match[2]), int(match[3]))
        if not range.size or range.end > _IDS:
            raise Invalid(f"{path}, line {number}: {word!r} is no range of ids: they end at {_IDS - 1}")
        ranges.append(range)
    return tuple(ranges)


def ranges_of(ranges: Iterable[SubordinateRange], name: str, uid: int, path: str) -> tuple[SubordinateRange, ...]:
    """A user's ranges: those that name him by number, or else by name, as Docker looks them up.

    Raises:
        NotFound: there are none; the message says which line is missing.
    """
    ranges = tuple(ranges)
    for owner in (str(uid), name):
        if own := tuple(range for range in ranges if range.owner == owner):
            return own
    example = f"{name}:{free_start(ranges)}:{RANGE_SIZE}"
    raise NotFound(f'{path} has no ids for the user {name}: it needs a line such as "{example}"')


def id_map(ranges: Sequence[SubordinateRange], path: str) -> tuple[IdMap, ...]:
    """The ranges laid end to end, in the file's order: the first begins at the container's 0.

    Raises:
        Invalid: two of them overlap: an id of the host would be two of the container's.
    """
    ordered = sorted(ranges, key=lambda range: range.start)
    for first, second in itertools.pairwise(ordered):
        if second.start < first.end:
            raise Invalid(f"{path}: the ranges of {second.owner} overlap at {second.start}")
    maps: list[IdMap] = []
    inside = 0
    for range in ranges:
        maps.append(IdMap(inside, range.start, range.size))
        inside += range.size
    return tuple(maps)


def free_start(ranges: Iterable[SubordinateRange]) -> int:
    """Where a new range may begin: behind all others."""
    return max([FIRST_FREE_ID, *(range.end for range in ranges)])
