"""The aufs driver: grafted branches, and where Docker began. A layer is one branch; a container grafts its own on top.

What a layer deletes is marked in aufs' own spelling, ``.wh.NAME``, which archives of layers have from here: a layer
is unpacked as it is, and what it adds is read from its branch alone.

It knows nothing of how aufs is mounted, which `aufs_mount` says.

Source: Docker's daemon/graphdriver/aufs; aufs(5).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mini_docker.archive.attributes import copy_directory_metadata
from mini_docker.archive.directory_cache import opened
from mini_docker.archive.overlay_changes import read_upper
from mini_docker.archive.ownership import give_to_root
from mini_docker.archive.unpack import unpack
from mini_docker.archive.whiteout import PREFIX, WhiteoutForm
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.graphdriver.aufs_mount import (
    MAX_BRANCHES,
    AufsMount,
    detach_left_over,
    flush_command,
    mount_and_detach,
)
from mini_docker.drivers.graphdriver.contract import (
    NO_OPTIONS,
    Change,
    GraphDriverOptions,
    MountedRoot,
    StorageOptions,
)
from mini_docker.drivers.graphdriver.implied import dress_implied
from mini_docker.drivers.graphdriver.naive import NaiveDiffDriver
from mini_docker.drivers.graphdriver.open_roots import OpenRoots
from mini_docker.errors import Invalid, MiniDockerError, Unsupported
from mini_docker.linux.constants import AT_FDCWD
from mini_docker.linux.kernel import Kernel

_DIFF = "diff"
_PLACE = "mount"
_EMPTY_MODE = 0o755
_FILE_SYSTEMS = "/proc/filesystems"


class AufsDriver(NaiveDiffDriver):
    """Layers as directories that aufs grafts.

    Raises (when made):
        Invalid: an option is given; there are none.
    """

    def __init__(self, root: Path, kernel: Kernel, options: GraphDriverOptions = NO_OPTIONS) -> None:
        for key in options.values:
            raise Invalid(f"unknown option {key} for the graph driver aufs: it has none")
        super().__init__(root, kernel, options)
        self.roots = OpenRoots(self.background, self._flush)
        self._has_auplink = shutil.which("auplink") is not None

    @property
    def name(self) -> str:
        return "aufs"

    def available(self) -> Availability:
        if "\taufs\n" not in self.kernel.read_file(_FILE_SYSTEMS):
            return Availability("this kernel has no aufs: it is a patch that few kernels carry today")
        try:
            with self.folders.probing() as folder:
                return self._probe(folder)
        except MiniDockerError as error:
            return Availability(f"aufs cannot be mounted on {self.root}: {error}")
        except OSError as error:
            return Availability(f"aufs does not work on {self.root}: {error.strerror}")

    def _probe(self, folder: Path) -> Availability:
        """Mount one, delete a file in it, and look for the mark."""
        for name in ("lower", "upper", _PLACE):
            (folder / name).mkdir()
        (folder / "lower" / "file").touch()
        mount = AufsMount((str(folder / "lower"),), str(folder / "upper"))
        descriptor = mount_and_detach(self.kernel, mount, folder / _PLACE)
        try:
            os.unlink("file", dir_fd=descriptor)
        finally:
            os.close(descriptor)
        if not (folder / "upper" / (os.fsdecode(PREFIX) + "file")).exists():
            return Availability("aufs does not mark deletions as expected")
        return AVAILABLE

    # What `NaiveDiffDriver` asks for.

    def make_layer(self, folder: Path, parent: Path | None, options: StorageOptions) -> None:
        if options.size_bytes:
            raise Unsupported("the graph driver aufs cannot limit a container's size: run without --storage-opt size")
        diff = folder / _DIFF
        diff.mkdir()
        if parent is None:
            os.chmod(diff, _EMPTY_MODE)  # whatever the umask is
            give_to_root(diff, self.ids)
            return
        if len(self.folders.ancestors(parent.name)) + 2 > MAX_BRANCHES:
            raise Unsupported(f"max depth exceeded: a layer may stand on {MAX_BRANCHES - 1} others with aufs")
        # The root directory itself is never copied up: it is an image of the parent's from the beginning.
        with opened(parent / _DIFF) as source, opened(diff) as target:
            copy_directory_metadata(source, target)

    def unmake_layer(self, folder: Path) -> None:
        if folder.name.startswith(_PLACE):
            # A daemon died between mount and umount: to remove what is seen there would be to remove it from the layer.
            detach_left_over(self.kernel, folder)

    def mount_layer(self, folder: Path) -> MountedRoot:
        lowers = self._branches(self.folders.ancestors(folder.name))
        return MountedRoot(descriptor=self._mount(AufsMount(lowers, str(folder / _DIFF), self._has_auplink)))

    def _branches(self, layer_ids: list[str]) -> tuple[str, ...]:
        return tuple(str(self.folders.folder(layer_id) / _DIFF) for layer_id in layer_ids)

    def _mount(self, mount: AufsMount) -> int:
        place = self.folders.scratch(_PLACE)
        try:
            return mount_and_detach(self.kernel, mount, place)
        finally:
            place.rmdir()

    def _flush(self, root: MountedRoot) -> None:
        """Write the pseudo-links of a mount down before it goes; for which it must stand in a mount table."""
        if not self._has_auplink:
            return
        place = self.folders.scratch(_PLACE)
        try:
            self.kernel.move_mount(root.descriptor, AT_FDCWD, str(place))
            try:
                subprocess.run(flush_command(place), check=True, capture_output=True)
            finally:
                detach_left_over(self.kernel, place)
        finally:
            place.rmdir()

    def open(self, layer_id: str) -> MountedRoot:
        # A branch that another mount writes to must not be grafted as one that is only read.
        self.roots.settle(self.folders.ancestors(layer_id))
        return super().open(layer_id)

    @contextmanager
    def view(self, layer_id: str) -> Iterator[Path]:
        shared = self.roots.share(layer_id)
        if shared is not None:
            try:
                yield Path(shared.as_path())
            finally:
                self.roots.close(layer_id)
            return
        stack = [layer_id, *self.folders.ancestors(layer_id)]
        self.roots.settle(stack)
        descriptor = self._mount(AufsMount(self._branches(stack)))
        try:
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)

    # What a layer adds: its branch says it.

    def apply(self, layer_id: str, parent: str | None, layer: BinaryIO) -> int:
        with self.folders.writing(layer_id) as folder:
            below = self.folders.parent(layer_id)
            if below is None:
                return unpack(layer, folder / _DIFF, self.kernel, ids=self.ids)
            implied: list[bytes] = []
            content_bytes = unpack(
                layer, folder / _DIFF, self.kernel, whiteouts=WhiteoutForm.AUFS, on_implied=implied.append, ids=self.ids
            )
            directories = [path for path in implied if path]  # the root was dressed when the layer was made
            if directories:
                with self.view(below) as tree:
                    dress_implied(folder / _DIFF, tree, directories, self.kernel)
            return content_bytes

    @contextmanager
    def compared(self, layer_id: str, parent: str | None) -> Iterator[tuple[Path, list[Change]]]:
        if parent != self.folders.parent(layer_id):
            with super().compared(layer_id, parent) as compared:
                yield compared
            return
        diff = self.folders.folder(layer_id) / _DIFF
        if parent is None:
            changes = read_upper(diff, None, self.kernel, WhiteoutForm.AUFS)
        else:
            with self.view(parent) as below:
                changes = read_upper(diff, below, self.kernel, WhiteoutForm.AUFS)
        yield diff, changes
