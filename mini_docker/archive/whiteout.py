"""Whiteouts: the correction fluid of layers. A mark that says "what lies below here is gone".

In an archive a mark is an empty file: ``.wh.NAME`` deletes its neighbour NAME of the layers below,
``.wh..wh..opq`` deletes all they have in its directory. In an overlay's upper directory it is a
character device 0/0, and an extended attribute on the directory. This module knows the two spellings, and
not who reads or writes them.

Source: OCI image spec, "Layer Filesystem Changeset"; the kernel's Documentation/filesystems/overlayfs.rst;
aufs(5), from where the names come.
"""

from __future__ import annotations

import os
import stat
from enum import Enum

PREFIX = b".wh."
META_PREFIX = b".wh..wh."
OPAQUE = b".wh..wh..opq"

OVERLAY_PREFIXES = ("trusted.overlay.", "user.overlay.")
OVERLAY_OPAQUE = "trusted.overlay.opaque"
OVERLAY_OPAQUE_VALUE = b"y"


class WhiteoutForm(Enum):
    """What unpacking makes of a whiteout."""

    DELETE = "delete"
    """The tree has the layers below in it: what the mark names is deleted."""
    OVERLAY = "overlay"
    """The tree is an overlay's upper directory: the mark is written in the overlay's spelling."""
    AUFS = "aufs"
    """The tree is an aufs branch: the mark is written as it stands in the archive, whose spelling is aufs' own."""
    LITERAL = "literal"
    """The archive is no layer: a file of that name, like any other."""


def is_overlay_whiteout(status: os.stat_result) -> bool:
    """Whether a file of an upper directory is a deletion mark."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_overlay_attribute(name: str) -> bool:
    """Whether an extended attribute is the overlay file system's own book-keeping."""
    return name.startswith(OVERLAY_PREFIXES)
