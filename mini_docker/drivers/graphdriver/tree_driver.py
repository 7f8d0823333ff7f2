"""Tree drivers: those whose layers are directories that lie there for everybody to see, ``ID/tree``.

It knows nothing of how a tree comes to be the image of another.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mini_docker.archive import removal
from mini_docker.drivers.graphdriver.contract import MountedRoot, StorageOptions
from mini_docker.drivers.graphdriver.naive import NaiveDiffDriver

_TREE = "tree"


class TreeDriver(NaiveDiffDriver):
    """A graph driver whose layers need no mount."""

    @abstractmethod
    def make_tree(self, tree: Path, parent: Path | None) -> None:
        """Make *tree*: an exact image of the tree *parent*, or an empty directory."""

    @abstractmethod
    def limit_tree(self, tree: Path, size_bytes: int) -> None:
        """Let a container's new tree grow to *size_bytes* at most.

        Raises:
            Unsupported: the driver cannot.
        """

    def remove_tree(self, tree: Path) -> None:
        """Unmake a tree."""
        removal.remove(tree)

    def make_layer(self, folder: Path, parent: Path | None, options: StorageOptions) -> None:
        self.make_tree(folder / _TREE, None if parent is None else parent / _TREE)
        if options.size_bytes:
            self.limit_tree(folder / _TREE, options.size_bytes)

    def unmake_layer(self, folder: Path) -> None:
        if (folder / _TREE).exists():
            self.remove_tree(folder / _TREE)

    def mount_layer(self, folder: Path) -> MountedRoot:
        return MountedRoot(path=str(folder / _TREE))

    @contextmanager
    def view(self, layer_id: str) -> Iterator[Path]:
        # A tree is there whether somebody has it open or not.
        yield self.folders.folder(layer_id) / _TREE
