"""Who a process runs as: `user[:group]` looked up in the container's *own* passwd and group files.

Pure functions of the files' texts; it knows nothing of the host's users.
Source: passwd(5), group(5); Docker's ``--user`` rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid

MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the kernel knows one, and the home directory.

    Attributes:
        groups: supplementary group ids.
        home: from the passwd file; "/" for a user that it does not list.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def look_up(user: str, additional: Iterable[str], passwd: str, group: str) -> Identity:
    """Resolve ``name``, ``uid``, ``name:group`` or ``uid:gid``; empty is root.

    A number need not be listed; a name must be. Without an explicit group, the user's own and all
    groups that list the user's name are taken.

    Args:
        user: the wish.
        additional: further groups by name or number (``--group-add``).
        passwd, group: texts of the container's files; empty when it has none.

    Raises:
        Invalid: a name is not listed, or a number is out of range.
    """
    wanted_user, _, wanted_group = user.partition(":")
    wanted_user = wanted_user or "0"
    name, uid, gid, home = _find_user(wanted_user, passwd)
    groups: list[int] = []
    if wanted_group:
        gid = _group_id(wanted_group, group)
    elif name:
        groups = [number for _, number, members in _groups(group) if name in members]
    groups += [_group_id(wish, group) for wish in additional]
    return Identity(uid, gid, tuple(dict.fromkeys(groups)), home)


def _find_user(wanted: str, passwd: str) -> tuple[str, int, int, str]:
    """(name, uid, gid, home); the name is empty for a number that is not listed."""
    number = _number(wanted)
    for line in passwd.splitlines():
        fields = line.split(":")
        uid, gid = (_number(field) for field in fields[2:4]) if len(fields) >= 6 else (None, None)
        if uid is not None and gid is not None and (fields[0] == wanted or uid == number):
            return fields[0], uid, gid, fields[5] or "/"
    if number is None:
        raise Invalid(f"unable to find user {wanted}: no matching entries in passwd file")
    return "", _checked(number), 0, "/"


def _group_id(wanted: str, group: str) -> int:
    number = _number(wanted)
    for name, gid, _ in _groups(group):
        if name == wanted or gid == number:
            return gid
    if number is None:
        raise Invalid(f"unable to find group {wanted}: no matching entries in group file")
    return _checked(number)


def _groups(group: str) -> Iterator[tuple[str, int, list[str]]]:
    for line in group.splitlines():
        fields = line.split(":")
        gid = _number(fields[2]) if len(fields) >= 3 else None
        if gid is not None:
            yield fields[0], gid, fields[3].split(",") if len(fields) > 3 else []


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _checked(number: int) -> int:
    if number > MAX_ID:
        raise Invalid(f"uids and gids must be in range 0-{MAX_ID}: {number} is not")
    return number
