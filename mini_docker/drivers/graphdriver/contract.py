"""The graph driver's contract: where layers lie, and how a stack of them becomes one mounted root.

A driver knows layers by opaque ids and one parent each. It knows nothing of images, tags,
digests or containers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from mini_docker.archive.change import Change, ChangeKind
from mini_docker.archive.whiteout import WhiteoutForm
from mini_docker.dataclasses import dataclass, field
from mini_docker.drivers.availability import Availability
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping

__all__ = [
    "NO_OPTIONS", "Change", "ChangeKind", "GraphDriver", "GraphDriverOptions", "LooseLayer", "MountedRoot", "Rebasing",
    "StorageOptions",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MountedRoot:
    """A layer opened as a whole root file system. Exactly one of the two ways to reach it is set.

    Attributes:
        descriptor: of the root directory of a *detached* mount (fsopen, fsmount): it stands in no
            mount table, so a crash of its holder leaks nothing. The driver owns it; whoever needs
            it for longer duplicates it. -1 when the driver gives a path.
        path: of the root directory on the host, for drivers that cannot do that; else empty.
    """

    descriptor: int = -1
    path: str = ""

    def as_path(self) -> str:
        """A path that opens the root directory in this process."""
        return self.path or f"/proc/self/fd/{self.descriptor}"


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """What ``--storage-opt`` asks for one container's layer.

    Attributes:
        size_bytes: the most it may grow to; 0 for no limit, None for the driver's own default. A driver that cannot
            limit raises Unsupported for any other value.
    """

    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GraphDriverOptions:
    """What the daemon's flags say to a driver.

    Attributes:
        values: of ``--storage-opt``: ``{"dm.basesize": "10G"}``.
        ids: of ``--userns-remap``: layers lie on the disk with the owners that they have on the host, and are
            told of by `GraphDriver.diff` and `GraphDriver.apply` as containers know them.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    ids: IdMapping = NO_MAPPING


NO_OPTIONS = GraphDriverOptions()


@dataclass(frozen=True, slots=True)
class LooseLayer:
    """A layer whose content is unpacked before what it will stand on is here. It has no id, and nobody sees it.

    Attributes:
        descriptor: of the directory to unpack into, with `archive.unpack`. A lock lies on it for as long as anybody
            has it open, so that the next daemon's `GraphDriver.cleanup` waits for who still writes there.
        whiteouts: what deletion marks must become there.
        ids: what the owners in the archive must become.
        folder: the driver's own business.
    """

    descriptor: int
    whiteouts: WhiteoutForm
    ids: IdMapping
    folder: Path


class Rebasing(Protocol):
    """The part of a driver whose layers stand alone: what one adds can be unpacked whatever lies below.

    So the layers of an image are unpacked side by side. Drivers whose layers begin as a copy of their parent have
    no such part.

    Source: containerd's snapshotter capability ``rebase``.
    """

    def make_loose(self, *, is_base: bool) -> LooseLayer:
        """A layer to unpack into, held by nothing but the value returned.

        Args:
            is_base: whether it will stand on nothing.
        """

    def rebase(self, loose: LooseLayer, layer_id: str, parent: str | None, implied: Sequence[bytes]) -> None:
        """Let the unpacked layer exist, on top of *parent*: the same that `create` and `apply` would have made.

        Args:
            implied: directories that its archive did not describe, ``b""`` for the root: they look as they do below.

        Raises:
            Conflict: the id exists. NotFound: the parent does not. Then the layer is still loose.
        """

    def discard(self, loose: LooseLayer) -> None:
        """Let go of what `make_loose` gave; a layer that was rebased stays. Nobody writes to it any more."""


class GraphDriver(Protocol):
    """One way to store layers.

    Laws (`tests/drivers/graphdriver/contract_suite.py` holds every driver to them): a layer starts as an exact
    image of its parent; writes through an opened layer touch that layer alone; `diff` then
    `apply` on the same parent gives the same tree; `remove` leaves nothing of the layer;
    after a crash at any instant `cleanup` leaves no half-made layer visible.

    Every method but ``open`` and ``close`` of one layer may be called from many threads at once.
    """

    @property
    def name(self) -> str:
        """The driver's name, as ``-s`` and ``docker info`` have it."""

    @property
    def rebasing(self) -> Rebasing | None:
        """The part that unpacks layers before those below them are here; None where a layer begins as a copy."""

    def available(self) -> Availability:
        """Whether it works here, found out by really mounting, not by reading lists."""

    def create(self, layer_id: str, parent: str | None) -> None:
        """Make an image layer on top of *parent* (None for an empty one).

        Raises:
            Conflict: the id exists. NotFound: the parent does not.
        """

    def create_read_write(self, layer_id: str, parent: str | None, options: StorageOptions) -> None:
        """Make a container's layer; as `create`, with limits.

        Raises:
            Unsupported: a limit is asked for that this driver cannot keep.
        """

    def prepare(self) -> None:
        """Hear that an answer is out: a good moment to make what may be asked for next."""

    def remove(self, layer_id: str) -> None:
        """Forget the layer at once; freeing the space may go on in the background.

        Raises:
            NotFound: unknown id. Conflict: it is open, or another layer stands on it.
        """

    def exists(self, layer_id: str) -> bool:
        """Whether the layer exists, whole."""

    def layers(self) -> Sequence[str]:
        """The ids of all layers."""

    def open(self, layer_id: str) -> MountedRoot:
        """Mount the layer and its ancestors as one root; opens are counted, the mount is shared.

        Raises:
            NotFound: unknown id.
        """

    def adopt(self, layer_id: str, descriptor: int) -> MountedRoot:
        """Take over a mount that outlived an earlier daemon, in place of `open`: counts as one open.

        Args:
            descriptor: of the detached mount, now the driver's; -1 when the driver gave a path.
        """

    def close(self, layer_id: str) -> None:
        """Give one open back; the last one unmounts (in the background where that is slow)."""

    def diff(self, layer_id: str, parent: str | None) -> AbstractContextManager[BinaryIO]:
        """The layer's changes against *parent* as a tar stream with whiteouts, in a stable order."""

    def apply(self, layer_id: str, parent: str | None, layer: BinaryIO) -> int:
        """Unpack a layer's (uncompressed) tar into the layer; the inverse of `diff`.

        Returns:
            bytes of file content that the layer added.

        Raises:
            Invalid: the archive is corrupt or hostile; the layer must then be removed.
        """

    def changes(self, layer_id: str, parent: str | None) -> list[Change]:
        """What differs from *parent*, sorted by path."""

    def size(self, layer_id: str, parent: str | None) -> int:
        """Bytes of file content that the layer adds to *parent*."""

    def status(self) -> list[tuple[str, str]]:
        """Facts for ``docker info``, as (name, value)."""

    def cleanup(self) -> None:
        """At start: collect what a crash left. At shutdown: unmount what is idle."""
