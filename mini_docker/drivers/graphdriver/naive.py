"""The naive drivers' common half: a layer is a whole tree, and what it adds is found by comparing it with its parent's.

Docker's NaiveDiffDriver. A driver says how such a tree is made from its parent's and unmade; the rest stands here.

It knows nothing of copies, snapshots or quotas.
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
from mini_docker.drivers.graphdriver.contract import NO_OPTIONS, Change, GraphDriverOptions, MountedRoot, StorageOptions
from mini_docker.drivers.graphdriver.layer_folders import LayerFolders
from mini_docker.drivers.graphdriver.open_roots import OpenRoots
from mini_docker.linux.kernel import Kernel

_TREE = "tree"


class NaiveDiffDriver(ABC):
    """A graph driver whose every layer is a whole tree, ``ID/tree`` in its folder.

    Args:
        root: the driver's own folder.
        kernel: the door to the kernel.
        options: the daemon's ``--storage-opt``.
    """

    def __init__(self, root: Path, kernel: Kernel, options: GraphDriverOptions = NO_OPTIONS) -> None:
        self.root = root
        self.kernel = kernel
        self.options = options
        self.folders = LayerFolders(root)
        self._background = Background(f"graphdriver {self.name}")
        self._roots = OpenRoots(self._background)

    # What a driver must say.

    @property
    @abstractmethod
    def name(self) -> str:
        """The driver's name."""

    @abstractmethod
    def available(self) -> Availability:
        """Whether it works here."""

    @abstractmethod
    def make_tree(self, tree: Path, parent: Path | None) -> None:
        """Make *tree*: an exact image of the tree *parent*, or an empty directory."""

    @abstractmethod
    def limit_tree(self, tree: Path, options: StorageOptions) -> None:
        """Keep a container's new tree within its limits.

        Raises:
            Unsupported: the driver cannot.
        """

    def remove_tree(self, tree: Path) -> None:
        """Unmake a tree."""
        removal.remove(tree)

    # The contract.

    def create(self, layer_id: str, parent: str | None) -> None:
        self.create_read_write(layer_id, parent, StorageOptions())

    def create_read_write(self, layer_id: str, parent: str | None, options: StorageOptions) -> None:
        with self.folders.making(layer_id, parent, self._discard) as folder:
            self.make_tree(folder / _TREE, None if parent is None else self.tree(parent))
            if options != StorageOptions():
                self.limit_tree(folder / _TREE, options)

    def remove(self, layer_id: str) -> None:
        with self._roots.kept_closed(layer_id):
            thrown = self.folders.throw_away(layer_id)
        self._background.put(partial(self._discard, thrown))

    def exists(self, layer_id: str) -> bool:
        return layer_id in self.folders

    def layers(self) -> Sequence[str]:
        return self.folders.ids()

    def open(self, layer_id: str) -> MountedRoot:
        return self._roots.open(layer_id, lambda: MountedRoot(path=str(self.tree(layer_id))))

    def adopt(self, layer_id: str, descriptor: int) -> MountedRoot:
        # A path outlives every daemon: there is nothing to take over but the count.
        return self._roots.adopt(layer_id, MountedRoot(path=str(self.tree(layer_id))))

    def close(self, layer_id: str) -> None:
        self.folders.folder(layer_id)
        self._roots.close(layer_id)

    @contextmanager
    def diff(self, layer_id: str, parent: str | None) -> Iterator[BinaryIO]:
        with as_stream(pack_changes(self.tree(layer_id), self.changes(layer_id, parent), self.kernel)) as stream:
            yield stream

    def apply(self, layer_id: str, parent: str | None, layer: BinaryIO) -> int:
        with self.folders.writing(layer_id) as folder:
            return unpack(layer, folder / _TREE, self.kernel)

    def changes(self, layer_id: str, parent: str | None) -> list[Change]:
        return compare_trees(None if parent is None else self.tree(parent), self.tree(layer_id), self.kernel)

    def size(self, layer_id: str, parent: str | None) -> int:
        return content_bytes(self.tree(layer_id), self.changes(layer_id, parent), self.kernel)

    def status(self) -> list[tuple[str, str]]:
        return [("Backing Filesystem", backing_file_system(self.root, self.kernel))]

    def cleanup(self) -> None:
        self._background.drain()
        for folder in self.folders.rubbish():
            self._discard(folder)

    def tree(self, layer_id: str) -> Path:
        """The root of a layer's tree.

        Raises:
            NotFound: unknown id.
        """
        return self.folders.folder(layer_id) / _TREE

    def _discard(self, folder: Path) -> None:
        tree = folder / _TREE
        if tree.exists():
            self.remove_tree(tree)
        removal.remove(folder)
