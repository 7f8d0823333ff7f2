"""``--userns-remap``: whom the containers' root is on the host, found in the machine's own address books.

The daemon's files then lie in a root folder of their own, ``ROOT/UID.GID``: their owners are shifted, and would be
wrong for containers that are not.

It reads files and, for ``default``, adds a user; what follows from the mapping is others' business.

Source: Docker's ``daemon/daemon_unix.go`` (parseRemappedRoot, setupRemappedRoot), ``pkg/idtools``.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
import subprocess
from pathlib import Path

from mini_docker.daemon.subordinate_ids import (
    RANGE_SIZE,
    SUBGID,
    SUBUID,
    SubordinateRange,
    free_start,
    id_map,
    parse_ranges,
    ranges_of,
)
from mini_docker.errors import Invalid, NotFound, Unsupported
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping

log = logging.getLogger(__name__)

DEFAULT, DEFAULT_USER = "default", "dockremap"


def find_mapping(word: str) -> IdMapping:
    """The mapping that ``--userns-remap=`` *word* means: ``default``, ``USER[:GROUP]`` or ``UID[:GID]``.

    The user decides on both kinds of ids, as in Docker; a group need only exist. For ``default`` the user dockremap
    is added where it is missing, with ranges of its own, as Docker does.

    Raises:
        Invalid: the word, or a line of the files, says nothing. NotFound: no such user or group, or no ids for it.
        Unsupported: the user cannot be added.
    """
    if not word:
        return NO_MAPPING
    if word == DEFAULT:
        _add_default_user()
        word = DEFAULT_USER
    user, colon, group = word.partition(":")
    if not user or (colon and not group) or ":" in group:
        raise Invalid(f'Invalid user/group specification in --userns-remap: "{word}"')
    entry = _user(user)
    if group:
        _check_group(group)
    if entry.pw_uid == 0:
        raise Invalid("--userns-remap: root remapped to root is no remapping: name another user")
    uids = ranges_of(_read(SUBUID), entry.pw_name, entry.pw_uid, SUBUID)
    gids = ranges_of(_read(SUBGID), entry.pw_name, entry.pw_uid, SUBGID)
    return IdMapping(id_map(uids, SUBUID), id_map(gids, SUBGID))


def remapped_root(root: Path, ids: IdMapping) -> Path:
    """The root folder of a daemon with that mapping."""
    return root / "{}.{}".format(*ids.root) if ids else root


def _user(word: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(word)) if word.isdecimal() else pwd.getpwnam(word)
    except (KeyError, OverflowError):
        raise NotFound(f"--userns-remap: no such user on this machine: {word}") from None


def _check_group(word: str) -> None:
    try:
        _ = grp.getgrgid(int(word)) if word.isdecimal() else grp.getgrnam(word)
    except (KeyError, OverflowError):
        raise NotFound(f"--userns-remap: no such group on this machine: {word}") from None


def _read(path: str) -> tuple[SubordinateRange, ...]:
    try:
        return parse_ranges(Path(path).read_text(), path)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise Unsupported(f"--userns-remap: {path}: {os.strerror(error.errno or 0).lower()}") from error


def _add_default_user() -> None:
    """See that there is a user dockremap, and that he has ids."""
    try:
        pwd.getpwnam(DEFAULT_USER)
    except KeyError:
        log.info("adding the user %s", DEFAULT_USER)
        _run("useradd", "--system", "--no-create-home", "--shell", "/bin/false", DEFAULT_USER)
    uid = pwd.getpwnam(DEFAULT_USER).pw_uid
    for path, flag in ((SUBUID, "--add-subuids"), (SUBGID, "--add-subgids")):
        ranges = _read(path)
        if not any(range.owner in (DEFAULT_USER, str(uid)) for range in ranges):
            start = free_start(ranges)
            _run("usermod", flag, f"{start}-{start + RANGE_SIZE - 1}", DEFAULT_USER)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Unsupported(f"--userns-remap=default: {command[0]} is not installed: name a user that exists") from None
    if done.returncode:
        raise Unsupported(f"--userns-remap=default: {' '.join(command)} failed: {done.stderr.strip()}")
