"""The overlay driver: sheets of glass. A layer is the sheet with its own strokes; the kernel shows the stack as one.

On disk, as Docker's overlay2: ``ID/diff`` is the sheet; ``ID/lower`` notes all sheets below and ``ID/link`` its own
short name (`short_names`); ``ID/work`` is there for layers that are written to. A container's layer is thus two
directories and one small file, whatever lies below; of many in a row most are made ahead (`spare_folder`).

It knows nothing of images and containers.

Source: Docker's daemon/graphdriver/overlay2; the kernel's Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mini_docker.archive import removal
from mini_docker.archive.attributes import copy_directory_metadata
from mini_docker.archive.changes import compare_trees, content_bytes
from mini_docker.archive.directory_cache import opened
from mini_docker.archive.overlay_changes import read_upper
from mini_docker.archive.ownership import give_to_root
from mini_docker.archive.pack import as_stream, pack_changes
from mini_docker.archive.unpack import unpack
from mini_docker.archive.whiteout import WhiteoutForm, is_overlay_whiteout
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.graphdriver.background import Background
from mini_docker.drivers.graphdriver.backing import backing_file_system
from mini_docker.drivers.graphdriver.contract import (
    NO_OPTIONS,
    Change,
    GraphDriverOptions,
    LooseLayer,
    MountedRoot,
    Rebasing,
    StorageOptions,
)
from mini_docker.drivers.graphdriver.implied import dress_implied
from mini_docker.drivers.graphdriver.layer_folders import LayerFolders
from mini_docker.drivers.graphdriver.loose_folder import LOOSE, open_loose, wait_until_left
from mini_docker.drivers.graphdriver.open_roots import OpenRoots
from mini_docker.drivers.graphdriver.option_sizes import parse_size
from mini_docker.drivers.graphdriver.overlay_mount import (
    OverlayMount,
    clone_detached,
    detach_left_over,
    lacks_single_lowers,
    mount_and_detach,
    mount_detached,
)
from mini_docker.drivers.graphdriver.project_quota import ProjectQuota, check_size
from mini_docker.drivers.graphdriver.short_names import ShortNames
from mini_docker.drivers.graphdriver.spare_folder import Ground, SpareFolder
from mini_docker.errors import Invalid, Unsupported
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

_DIFF = "diff"
_WORK = "work"
_PLACE = "mount"
_WRITABLE = "writable"
_EMPTY_MODE = 0o755


class OverlayDriver:
    """Layers as directories that the overlay file system stacks.

    Args:
        root: the driver's own folder.
        kernel: the door to the kernel.
        options: the daemon's ``--storage-opt``: ``overlay.size`` limits every container that does not say its own
            ``size``; ``overlay.override_kernel_check`` is taken and means nothing, as in Docker. Both are also known
            by Docker's name for this driver, ``overlay2``.

    Raises (when made):
        Invalid: an unknown option, or a size that is none.
    """

    def __init__(self, root: Path, kernel: Kernel, options: GraphDriverOptions = NO_OPTIONS) -> None:
        self._size_bytes = _default_size(options.values)
        # fixed
        self._root = root
        self._kernel = kernel
        self._names = ShortNames(root, _DIFF)
        self._folders = _OverlayFolders(root, self._names)
        self._background = Background("graphdriver overlay")
        self._roots = OpenRoots(self._background)
        self._spare = SpareFolder(self._fill_apart, self._dispose, self._background)
        self._ids = options.ids
        self._quota = ProjectQuota(kernel, root)
        # found out at the first mount, and the same ever after
        self._takes_single_lowers = True

    @property
    def name(self) -> str:
        return "overlay"

    def available(self) -> Availability:
        try:
            with self._folders.probing() as folder:
                if self._size_bytes:
                    self._quota.check()
                return self._probe(folder)
        except Unsupported as error:
            return Availability(f"{error} (or start without overlay.size)")
        except SyscallError as error:
            return Availability(f"the overlay file system cannot be mounted on {self._backing()}: {error}")
        except OSError as error:
            return Availability(f"the overlay file system does not work on {self._backing()}: {error.strerror}")

    def _probe(self, folder: Path) -> Availability:
        """Mount one, delete a file in it, and look for the mark."""
        for name in ("lower", "upper", "work"):
            (folder / name).mkdir()
        (folder / "lower" / "file").touch()
        descriptor = self._mount(OverlayMount(folder, ("lower",), str(folder / "upper"), str(folder / "work")))
        try:
            os.unlink("file", dir_fd=descriptor)
        finally:
            os.close(descriptor)
        if not is_overlay_whiteout((folder / "upper" / "file").lstat()):
            return Availability("the overlay file system does not mark deletions as expected")
        return AVAILABLE

    # Making and unmaking.

    def create(self, layer_id: str, parent: str | None) -> None:
        with self._folders.making(layer_id, parent, self._dispose) as folder:
            self._fill(folder, parent, writable=False)

    def create_read_write(self, layer_id: str, parent: str | None, options: StorageOptions) -> None:
        size_bytes = self._size_bytes if options.size_bytes is None else options.size_bytes
        take = partial(self._take_filled, parent)
        with self._folders.making(layer_id, parent, self._dispose, take) as folder:
            if size_bytes:
                self._quota.limit(folder, size_bytes)

    def _take_filled(self, parent: str | None) -> Path:
        return self._spare.take(Ground(parent, 0 if parent is None else self._folders.birth(parent)))

    def prepare(self) -> None:
        self._spare.prepare()

    def _fill(self, folder: Path, parent: str | None, *, writable: bool) -> None:
        diff = folder / _DIFF
        os.mkdir(diff)
        if parent is None:
            os.chmod(diff, _EMPTY_MODE)  # whatever the umask is
            give_to_root(diff, self._ids)
        else:
            self._names.lay_on(folder, parent)
            self._dress_root(diff, parent)
        if writable:
            os.mkdir(folder / _WORK, 0o700)

    def _fill_apart(self, parent: str | None) -> Path:
        """A scratch folder with all that a container's layer begins with."""
        folder = self._folders.scratch(_WRITABLE)
        try:
            self._fill(folder, parent, writable=True)
        except BaseException:
            self._dispose(folder)
            raise
        return folder

    def _dress_root(self, diff: Path, parent: str) -> None:
        """The root directory itself is never copied up: it is an image of the parent's from the beginning."""
        with opened(self._root / parent / _DIFF) as source, opened(diff) as target:
            copy_directory_metadata(source, target)

    def remove(self, layer_id: str) -> None:
        with self._roots.kept_closed(layer_id):
            thrown = self._folders.throw_away(layer_id)
        self._spare.leave(layer_id)
        # The background works in order: a mount that is still being closed is closed before its files go.
        self._background.put(partial(self._dispose, thrown))

    def _dispose(self, thrown: Path) -> None:
        self._names.drop(thrown)
        self._quota.take_off(thrown)
        removal.remove(thrown)

    def exists(self, layer_id: str) -> bool:
        return layer_id in self._folders

    def layers(self) -> Sequence[str]:
        return self._folders.ids()

    def cleanup(self) -> None:
        self._spare.close()
        self._background.drain()
        for folder in self._folders.rubbish():
            if folder.name.startswith(_PLACE):
                # A daemon died on an old kernel between mount and umount. First of all: to remove
                # what is seen there would be to remove it from the layer.
                detach_left_over(self._kernel, folder)
            if folder.name.startswith(LOOSE):
                wait_until_left(folder)
            self._dispose(folder)
        self._names.collect(self._folders.folder(layer_id) for layer_id in self._folders.ids())

    # Opening.

    def open(self, layer_id: str) -> MountedRoot:
        # A layer below may be one that was written to a moment ago, as a container's first layer is: its own
        # overlay goes before another is laid on it.
        self._roots.settle(self._folders.ancestors(layer_id))
        return self._roots.open(layer_id, lambda: MountedRoot(descriptor=self._mount_layer(layer_id)))

    def adopt(self, layer_id: str, descriptor: int) -> MountedRoot:
        self._folders.folder(layer_id)
        return self._roots.adopt(layer_id, lambda: MountedRoot(descriptor=descriptor))

    def close(self, layer_id: str) -> None:
        self._folders.folder(layer_id)
        self._roots.close(layer_id)

    def _mount_layer(self, layer_id: str) -> int:
        folder = self._folders.folder(layer_id)
        lowers = self._names.below(folder)
        if not (folder / _WORK).is_dir():
            return self._mount_read_only(layer_id)
        if not lowers:
            return clone_detached(self._kernel, folder / _DIFF, read_only=False)
        return self._mount(OverlayMount(self._names.links, lowers, str(folder / _DIFF), str(folder / _WORK)))

    def _mount_read_only(self, layer_id: str) -> int:
        folder = self._folders.folder(layer_id)
        lowers = self._names.below(folder)
        if not lowers:
            return clone_detached(self._kernel, folder / _DIFF, read_only=True)
        return self._mount(OverlayMount(self._names.links, (self._names.of(layer_id), *lowers)))

    def _mount(self, mount: OverlayMount) -> int:
        if self._takes_single_lowers:
            try:
                return mount_detached(self._kernel, mount)
            except SyscallError as error:
                if not lacks_single_lowers(error):
                    raise
                self._takes_single_lowers = False
        place = self._folders.scratch(_PLACE)
        try:
            return mount_and_detach(self._kernel, mount, place)
        finally:
            place.rmdir()

    # What a layer adds.

    @contextmanager
    def diff(self, layer_id: str, parent: str | None) -> Iterator[BinaryIO]:
        with (
            self._compared(layer_id, parent) as (tree, changes),
            as_stream(pack_changes(tree, changes, self._kernel, self._ids)) as stream,
        ):
            yield stream

    def apply(self, layer_id: str, parent: str | None, layer: BinaryIO) -> int:
        with self._folders.writing(layer_id) as folder:
            if self._folders.parent(layer_id) is None:
                return unpack(layer, folder / _DIFF, self._kernel, ids=self._ids)
            implied: list[bytes] = []
            content_bytes = unpack(
                layer, folder / _DIFF, self._kernel, whiteouts=WhiteoutForm.OVERLAY, on_implied=implied.append,
                ids=self._ids,
            )  # fmt: skip
            below = self._folders.parent(layer_id)
            assert below is not None
            self._dress_implied(folder / _DIFF, below, implied)
            return content_bytes

    def _dress_implied(self, diff: Path, below: str, implied: Sequence[bytes]) -> None:
        directories = [path for path in implied if path]  # the root was dressed before
        if directories:
            with self._view(below) as tree:
                dress_implied(diff, tree, directories, self._kernel)

    # Layers that are unpacked before they are stacked: a sheet is the same, whatever lies below.

    @property
    def rebasing(self) -> Rebasing:
        return self

    def make_loose(self, *, is_base: bool) -> LooseLayer:
        folder = self._folders.scratch(LOOSE)
        descriptor = open_loose(folder)
        give_to_root(descriptor, self._ids)
        return LooseLayer(descriptor, WhiteoutForm.DELETE if is_base else WhiteoutForm.OVERLAY, self._ids, folder)

    def rebase(self, loose: LooseLayer, layer_id: str, parent: str | None, implied: Sequence[bytes]) -> None:
        with self._folders.making(layer_id, parent, self._dispose) as folder:
            if parent is not None:
                self._names.lay_on(folder, parent)
                if b"" in implied:
                    self._dress_root(loose.folder / _DIFF, parent)
                self._dress_implied(loose.folder / _DIFF, parent, implied)
            os.rename(loose.folder / _DIFF, folder / _DIFF)

    def discard(self, loose: LooseLayer) -> None:
        os.close(loose.descriptor)
        try:
            loose.folder.rmdir()
        except OSError:  # its content is still in it
            self._background.put(partial(removal.remove, loose.folder))

    def changes(self, layer_id: str, parent: str | None) -> list[Change]:
        with self._compared(layer_id, parent) as (_, changes):
            return changes

    def size(self, layer_id: str, parent: str | None) -> int:
        with self._compared(layer_id, parent) as (tree, changes):
            return content_bytes(tree, changes, self._kernel)

    @contextmanager
    def _compared(self, layer_id: str, parent: str | None) -> Iterator[tuple[int | Path, list[Change]]]:
        """The layer's changes, and a tree that has the files they speak of."""
        folder = self._folders.folder(layer_id)
        if parent == self._folders.parent(layer_id):
            # The native way: the sheet itself is the difference.
            diff = folder / _DIFF
            if parent is None:
                yield diff, read_upper(diff, None, self._kernel)
            else:
                with self._view(parent) as below:
                    changes = read_upper(diff, below, self._kernel)
                yield diff, changes
            return
        if parent is None:
            with self._view(layer_id) as whole:
                yield whole, compare_trees(None, whole, self._kernel)
            return
        with self._view(parent) as old, self._view(layer_id) as new:
            yield new, compare_trees(old, new, self._kernel)

    @contextmanager
    def _view(self, layer_id: str) -> Iterator[int]:
        """A layer and all below as one tree to read: the mount that someone has open, or one for the purpose."""
        shared = self._roots.share(layer_id)
        if shared is not None:
            try:
                yield shared.descriptor
            finally:
                self._roots.close(layer_id)
            return
        self._roots.settle((layer_id, *self._folders.ancestors(layer_id)))
        descriptor = self._mount_read_only(layer_id)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def status(self) -> list[tuple[str, str]]:
        return [("Backing Filesystem", self._backing()), ("Native Overlay Diff", "true")]

    def _backing(self) -> str:
        return backing_file_system(self._root, self._kernel)


def _default_size(values: Mapping[str, str]) -> int:
    size_bytes = 0
    for key, value in values.items():
        prefix, _, name = key.partition(".")
        if prefix not in ("overlay", "overlay2") or name not in ("size", "override_kernel_check"):
            raise Invalid(f"unknown option {key} for the graph driver overlay: it has overlay.size")
        if name == "size":
            size_bytes = parse_size(value)
            check_size(size_bytes)
    return size_bytes


class _OverlayFolders(LayerFolders):
    """Layers whose parent is the first that their ``lower`` names: no file more is made for it."""

    def __init__(self, root: Path, names: ShortNames) -> None:
        self._short_names = names  # before the base class looks for parents
        super().__init__(root)

    def write_parent(self, folder: Path, parent: str | None) -> None:
        """Nothing: the driver has the names below noted."""

    def read_parent(self, folder: Path) -> str | None:
        os.stat(folder / _DIFF)
        return self._short_names.parent(folder)
