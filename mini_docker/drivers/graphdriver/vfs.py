"""The vfs driver: the photocopier. Every layer is a full copy of its parent. Slow, large, and it works everywhere.

It knows nothing of mounts; that is its point: it is the measure that the others are held to.

Source: Docker's daemon/graphdriver/vfs.
"""

from __future__ import annotations

import os
from pathlib import Path

from mini_docker.archive.ownership import give_to_root
from mini_docker.archive.pack import as_stream, pack
from mini_docker.archive.unpack import unpack
from mini_docker.archive.whiteout import WhiteoutForm
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.graphdriver.contract import NO_OPTIONS, GraphDriverOptions
from mini_docker.drivers.graphdriver.tree_driver import TreeDriver
from mini_docker.errors import Invalid, Unsupported
from mini_docker.linux.kernel import Kernel

_EMPTY_MODE = 0o755


class VfsDriver(TreeDriver):
    """Layers as directories and nothing else.

    Raises (when made):
        Invalid: an option is given; there are none.
    """

    def __init__(self, root: Path, kernel: Kernel, options: GraphDriverOptions = NO_OPTIONS) -> None:
        for key in options.values:
            raise Invalid(f"unknown option {key} for the graph driver vfs: it has none")
        super().__init__(root, kernel, options)

    @property
    def name(self) -> str:
        return "vfs"

    def available(self) -> Availability:
        return AVAILABLE

    def make_tree(self, tree: Path, parent: Path | None) -> None:
        tree.mkdir()
        if parent is None:
            os.chmod(tree, _EMPTY_MODE)  # whatever the umask is
            give_to_root(tree, self.ids)
            return
        # A copy is an archive that is unpacked while it is packed: all metadata travels, by code that is tested anyway.
        with as_stream(pack(parent, self.kernel)) as stream:
            unpack(stream, tree, self.kernel, whiteouts=WhiteoutForm.LITERAL)

    def limit_tree(self, tree: Path, size_bytes: int) -> None:
        raise Unsupported("the graph driver vfs cannot limit a container's size: run without --storage-opt size")
