"""The naive drivers' common half: a layer is a whole tree, and what it adds is found by comparing it with its parent's.

Docker's NaiveDiffDriver. A driver says how a layer is made from its parent, mounted and unmade; the rest stands here.

It knows nothing of copies, snapshots or quotas, nor where a layer's tree lies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mini_docker.archive import removal
from mini_docker.archive.changes import compare_trees, content_bytes
from mini_docker.archive.pack import as_stream, pack_changes
from mini_docker.archive.unpack import unpack
from mini_docker.drivers.availability import Availability
from mini_docker.drivers.graphdriver.background import Background
from mini_docker.drivers.graphdriver.backing import backing_file_system
from mini_docker.drivers.graphdriver.contract import (
    NO_OPTIONS,
    Change,
    GraphDriverOptions,
    MountedRoot,
    Rebasing,
    StorageOptions,
)
from mini_docker.drivers.graphdriver.layer_folders import LayerFolders
from mini_docker.drivers.graphdriver.open_roots import OpenRoots
from mini_docker.linux.kernel import Kernel


class NaiveDiffDriver(ABC):
    """A graph driver whose every layer shows a whole tree.

    Args:
        root: the driver's own folder.
        kernel: the door to the kernel.
        options: the daemon's ``--storage-opt``.
    """

    def __init__(self, root: Path, kernel: Kernel, options: GraphDriverOptions = NO_OPTIONS) -> None:
        self.root = root
        self.kernel = kernel
        self.ids = options.ids
        self.folders = LayerFolders(root)
        self.background = Background(f"graphdriver {self.name}")
        self.roots = OpenRoots(self.background)

    @property
    def rebasing(self) -> Rebasing | None:
        return None

    # What a driver must say.

    @property
    @abstractmethod
    def name(self) -> str:
        """The driver's name."""

    @abstractmethod
    def available(self) -> Availability:
        """Whether it works here."""

    @abstractmethod
    def make_layer(self, folder: Path, parent: Path | None, options: StorageOptions) -> None:
        """Make, in a layer's new folder, an exact image of the layer in the folder *parent* (None: of an empty one).

        Raises:
            Unsupported: the driver cannot keep the limits.
        """

    @abstractmethod
    def unmake_layer(self, folder: Path) -> None:
        """Take back all that `make_layer` made, as far as it came, but for the folder itself."""

    @abstractmethod
    def mount_layer(self, folder: Path) -> MountedRoot:
        """Make the layer's tree reachable."""

    # The contract.

    def create(self, layer_id: str, parent: str | None) -> None:
        self.create_read_write(layer_id, parent, StorageOptions())

    def prepare(self) -> None:  # noqa: B027 - to do nothing is what most of them do
        """Nothing: what these drivers could make ahead is a whole copy, or a snapshot."""

    def create_read_write(self, layer_id: str, parent: str | None, options: StorageOptions) -> None:
        with self.folders.making(layer_id, parent, self._discard) as folder:
            self.make_layer(folder, None if parent is None else self.folders.folder(parent), options)

    def remove(self, layer_id: str) -> None:
        with self.roots.kept_closed(layer_id):
            thrown = self.folders.throw_away(layer_id)
        # The background works in order: a mount that is still being closed is closed before its files go.
        self.background.put(partial(self._discard, thrown))

    def exists(self, layer_id: str) -> bool:
        return layer_id in self.folders

    def layers(self) -> Sequence[str]:
        return self.folders.ids()

    def open(self, layer_id: str) -> MountedRoot:
        return self.roots.open(layer_id, lambda: self.mount_layer(self.folders.folder(layer_id)))

    def adopt(self, layer_id: str, descriptor: int) -> MountedRoot:
        folder = self.folders.folder(layer_id)
        if descriptor >= 0:
            return self.roots.adopt(layer_id, lambda: MountedRoot(descriptor=descriptor))
        # A path outlives every daemon: there is nothing to take over but the count.
        return self.roots.adopt(layer_id, lambda: self.mount_layer(folder))

    def close(self, layer_id: str) -> None:
        self.folders.folder(layer_id)
        self.roots.close(layer_id)

    @contextmanager
    def view(self, layer_id: str) -> Iterator[Path]:
        """A layer's tree, for the length of the block.

        Raises:
            NotFound: unknown id.
        """
        root = self.open(layer_id)
        try:
            yield Path(root.as_path())
        finally:
            self.close(layer_id)

    @contextmanager
    def diff(self, layer_id: str, parent: str | None) -> Iterator[BinaryIO]:
        with (
            self.compared(layer_id, parent) as (tree, changes),
            as_stream(pack_changes(tree, changes, self.kernel, self.ids)) as stream,
        ):
            yield stream

    def apply(self, layer_id: str, parent: str | None, layer: BinaryIO) -> int:
        with self.folders.writing(layer_id), self.view(layer_id) as tree:
            return unpack(layer, tree, self.kernel, ids=self.ids)

    def changes(self, layer_id: str, parent: str | None) -> list[Change]:
        with self.compared(layer_id, parent) as (_, changes):
            return changes

    def size(self, layer_id: str, parent: str | None) -> int:
        with self.compared(layer_id, parent) as (tree, changes):
            return content_bytes(tree, changes, self.kernel)

    @contextmanager
    def compared(self, layer_id: str, parent: str | None) -> Iterator[tuple[Path, list[Change]]]:
        """The layer's changes, and a tree that has the files they speak of."""
        with self.view(layer_id) as tree:
            if parent is None:
                changes = compare_trees(None, tree, self.kernel)
            else:
                with self.view(parent) as below:
                    changes = compare_trees(below, tree, self.kernel)
            yield tree, changes

    def status(self) -> list[tuple[str, str]]:
        return [("Backing Filesystem", backing_file_system(self.root, self.kernel))]

    def cleanup(self) -> None:
        self.background.drain()
        # The background's work as well: what somebody still has in use is left for the next start, and stops no daemon.
        for folder in self.folders.rubbish():
            self.background.put(partial(self._discard, folder))
        self.background.drain()

    def _discard(self, folder: Path) -> None:
        self.unmake_layer(folder)
        removal.remove(folder)
