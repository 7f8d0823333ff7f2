"""Ids of two worlds: who a container's user 0 is on the host, and back. Pure arithmetic on ranges.

It knows nothing of namespaces, files or who chose the ranges. Source: user_namespaces(7).
"""

from __future__ import annotations

from collections.abc import Sequence

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid

OVERFLOW_ID = 65534
"""Whom the kernel shows in place of an id that has no other side (``nobody``)."""


@dataclass(frozen=True, slots=True)
class IdMap:
    """A range of ids of a user namespace: one line of /proc/PID/uid_map."""

    container_id: int
    host_id: int
    size: int


@dataclass(frozen=True, slots=True)
class IdMapping:
    """Users and groups of a world of containers and their ids on the host. The empty one leaves all as they are.

    Attributes:
        uids, gids: ranges, none of which overlap on either side.
    """

    uids: tuple[IdMap, ...] = ()
    gids: tuple[IdMap, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.uids or self.gids)

    @property
    def root(self) -> tuple[int, int]:
        """The (user, group) that the container's root is on the host."""
        return self.to_host(0, 0)

    def to_host(self, uid: int, gid: int) -> tuple[int, int]:
        """The owner on the host of what belongs to (*uid*, *gid*) in a container.

        Raises:
            Invalid: an id that the mapping has no place for.
        """
        return _to_host(self.uids, uid, "user"), _to_host(self.gids, gid, "group")

    def to_container(self, uid: int, gid: int) -> tuple[int, int]:
        """The owner in a container of what belongs to (*uid*, *gid*) on the host.

        A stranger is nobody, as for the kernel.
        """
        return _to_container(self.uids, uid), _to_container(self.gids, gid)


NO_MAPPING = IdMapping()


def _to_host(maps: Sequence[IdMap], id: int, what: str) -> int:
    for entry in maps:
        if 0 <= id - entry.container_id < entry.size:
            return id - entry.container_id + entry.host_id
    if maps:
        raise Invalid(f"{what} {id} of the container has no id on the host: the remapped range ends before it")
    return id


def _to_container(maps: Sequence[IdMap], id: int) -> int:
    for entry in maps:
        if 0 <= id - entry.host_id < entry.size:
            return id - entry.host_id + entry.container_id
    return OVERFLOW_ID if maps else id
