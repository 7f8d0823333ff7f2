"""The btrfs driver: a tree of snapshots. A layer is a subvolume that begins as its parent's snapshot, in one instant.

The file system shares what is equal and copies what is written; it can also count, and so limit, what a container
takes. What a layer adds is found by comparing, as for vfs.

It knows nothing of ioctl's forms, which `btrfs_calls` fills in.

Source: Docker's daemon/graphdriver/btrfs.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from mini_docker.archive import removal
from mini_docker.archive.ownership import give_to_root
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.graphdriver import btrfs_calls
from mini_docker.drivers.graphdriver.contract import NO_OPTIONS, GraphDriverOptions
from mini_docker.drivers.graphdriver.option_sizes import parse_size
from mini_docker.drivers.graphdriver.tree_driver import TreeDriver
from mini_docker.errors import Invalid
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

MIN_SPACE_OPTION = "btrfs.min_space"
_EMPTY_MODE = 0o755


class BtrfsDriver(TreeDriver):
    """Layers as btrfs subvolumes.

    Args:
        options: ``btrfs.min_space``, the least that a container may be limited to ("10G").

    Raises (when made):
        Invalid: an unknown option, or a size that is none.
    """

    def __init__(self, root: Path, kernel: Kernel, options: GraphDriverOptions = NO_OPTIONS) -> None:
        self._min_space_bytes = 0
        for key, value in options.values.items():
            if key != MIN_SPACE_OPTION:
                raise Invalid(f"unknown option {key} for the graph driver btrfs: it has {MIN_SPACE_OPTION}")
            self._min_space_bytes = parse_size(value)
        super().__init__(root, kernel, options)
        self._quota_lock = threading.Lock()
        self._counts = False  # guarded by _quota_lock: whether quotas were turned on by us already

    @property
    def name(self) -> str:
        return "btrfs"

    def available(self) -> Availability:
        try:
            with self.folders.probing() as folder:
                tree = folder / "subvolume"
                btrfs_calls.create_subvolume(self.kernel, tree)
                btrfs_calls.create_snapshot(self.kernel, folder / "snapshot", tree)
                btrfs_calls.destroy_subvolume(self.kernel, folder / "snapshot")
                btrfs_calls.destroy_subvolume(self.kernel, tree)
            return AVAILABLE
        except SyscallError as error:
            return Availability(f"{self.root} is not on a btrfs file system whose subvolumes we may make: {error}")
        except OSError as error:
            return Availability(f"{self.root} cannot be written to: {error.strerror}")

    def make_tree(self, tree: Path, parent: Path | None) -> None:
        if parent is None:
            btrfs_calls.create_subvolume(self.kernel, tree)
            os.chmod(tree, _EMPTY_MODE)  # whatever the umask is
            give_to_root(tree, self.ids)
        else:
            btrfs_calls.create_snapshot(self.kernel, tree, parent)

    def remove_tree(self, tree: Path) -> None:
        # A container may have made subvolumes in its own. Emptying removes them as it goes: rmdir(2) takes empty ones.
        if not btrfs_calls.destroy_subvolume(self.kernel, tree):
            removal.empty(tree)
            btrfs_calls.destroy_subvolume(self.kernel, tree)

    def limit_tree(self, tree: Path, size_bytes: int) -> None:
        if size_bytes < self._min_space_bytes:
            raise Invalid(f"storage size {size_bytes} is less than {MIN_SPACE_OPTION} {self._min_space_bytes}")
        with self._quota_lock:
            if not self._counts:
                btrfs_calls.enable_quota(self.kernel, self.root)
                self._counts = True
        btrfs_calls.limit_subvolume(self.kernel, tree, size_bytes)
