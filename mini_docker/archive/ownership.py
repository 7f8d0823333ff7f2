"""Ownership in an archive that travels between two worlds of ids: a container's, and the host's that keeps its files.

With ``--userns-remap`` files lie on the disk with the owners that they have on the host, and travel with those that
they have in the container. It knows members, not where they come from or go to.

Source: capabilities(7), "File capability versioning"; user_namespaces(7).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

from mini_docker.archive.member import Member
from mini_docker.linux.id_mapping import IdMapping

_CAPABILITY = "security.capability"
_REVISION_MASK, _REVISION_2, _REVISION_3 = 0xFF000000, 0x02000000, 0x03000000
_WORD_BYTES = 4
_REVISION_2_BYTES = 20


def to_host(member: Member, ids: IdMapping) -> Member:
    """The member as it shall lie on the host.

    Raises:
        Invalid: its owner has no id there.
    """
    if not ids:
        return member
    uid, gid = ids.to_host(member.uid, member.gid)
    return member._replace(uid=uid, gid=gid, attributes=_with_root(member.attributes, ids.root[0]))


def to_container(member: Member, ids: IdMapping) -> Member:
    """The member of a file on the host as the container knows it; the inverse of `to_host`."""
    if not ids:
        return member
    uid, gid = ids.to_container(member.uid, member.gid)
    return member._replace(uid=uid, gid=gid, attributes=_without_root(member.attributes))


def give_to_root(file: int | str | bytes | Path, ids: IdMapping, dir_fd: int | None = None) -> None:
    """Make a file, or a link itself, the own of who is root in containers."""
    if not ids:
        return
    if isinstance(file, int):
        os.fchown(file, *ids.root)
    else:
        os.chown(file, *ids.root, dir_fd=dir_fd, follow_symlinks=False)


def _with_root(attributes: Mapping[str, bytes], root: int) -> Mapping[str, bytes]:
    """File capabilities say whose root they empower; without that they speak of the host's alone, and not inside."""
    value = attributes.get(_CAPABILITY, b"")
    if len(value) != _REVISION_2_BYTES:
        return attributes
    (word,) = struct.unpack_from("<I", value)
    named = struct.pack("<I", word & ~_REVISION_MASK | _REVISION_3) + value[_WORD_BYTES:] + struct.pack("<I", root)
    return {**attributes, _CAPABILITY: named}


def _without_root(attributes: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """In an archive nobody's root is named: it empowers that of wherever it is unpacked."""
    value = attributes.get(_CAPABILITY, b"")
    if len(value) != _REVISION_2_BYTES + _WORD_BYTES:
        return attributes
    (word,) = struct.unpack_from("<I", value)
    nameless = struct.pack("<I", word & ~_REVISION_MASK | _REVISION_2) + value[_WORD_BYTES:_REVISION_2_BYTES]
    return {**attributes, _CAPABILITY: nameless}
