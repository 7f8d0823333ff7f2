"""A member: one file's index card in an archive. Name, kind and metadata, without the content.

It knows nothing of how a tar header looks, nor of where the file will lie.

Source: pax(1) of POSIX.1-2008, tar(5) of libarchive.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

REGULAR = b"0"
HARD_LINK = b"1"
SYMLINK = b"2"
CHARACTER_DEVICE = b"3"
BLOCK_DEVICE = b"4"
DIRECTORY = b"5"
FIFO = b"6"

NO_ATTRIBUTES: Mapping[str, bytes] = MappingProxyType({})


class Segment(NamedTuple):
    """A stretch of a sparse file that holds data, in bytes; what lies between stretches is a hole."""

    offset: int
    length: int


class Member(NamedTuple):
    """One file of an archive. (A named tuple and not a dataclass: thousands are made in a layer's unpacking.)

    Attributes:
        name: as the archive has it: bytes, with "/" between its parts, checked by nobody yet.
        kind: one of this module's constants, which are tar's type flags.
        mode: permission bits with setuid, setgid and sticky.
        size: bytes of file content, holes included; 0 for all but regular files.
        mtime_ns: nanoseconds since 1970.
        link: what a symlink holds, or the name of the member that a hard link names again.
        device: major and minor number.
        attributes: extended attributes by name.
        segments: of a sparse file, in order; None for a file without holes.
    """

    name: bytes
    kind: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    attributes: Mapping[str, bytes] = NO_ATTRIBUTES
    segments: tuple[Segment, ...] | None = None

    @property
    def shown_name(self) -> str:
        """The name for an error message: printable, whatever the bytes."""
        return shown(self.name)


def shown(name: bytes) -> str:
    """A member's name for an error message, quoted and never longer than a line."""
    text = name.decode(errors="backslashreplace")
    return repr(text if len(text) <= 200 else text[:200] + "…")
