"""A change: one line of the answer to "what differs between these two trees?". A value, no logic.

It does not know how it was found: by comparing two trees, or by reading an overlay's upper directory.
"""

from __future__ import annotations

from enum import IntEnum

from mini_docker.dataclasses import dataclass


class ChangeKind(IntEnum):
    """How a path differs from the parent layer, with the Remote API's numbers."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One path of a layer that its parent lacks, or has otherwise.

    Attributes:
        path: absolute inside the root file system; file names are bytes on Linux, kept by
            surrogateescape.
        kind: added, modified or deleted.
    """

    path: str
    kind: ChangeKind
