"""The devicemapper driver: every layer is a disk. It begins as a snapshot of its parent's, and only what is written
takes space.

Each disk holds a file system of its own, which is mounted, detached, while the layer is open. What a layer adds is
found by comparing, as for vfs. All disks descend from one, the *base*, on which an empty file system was made.

A layer's folder holds one note, of its device: written before the device is made, and removed after it is deleted,
so that a crash in between leaves a note of rubbish and never rubbish without a note.

It knows nothing of ioctls and tables, nor of loop files.

Source: Docker's daemon/graphdriver/devmapper.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from mini_docker.archive import removal
from mini_docker.dataclasses import asdict
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.graphdriver.contract import NO_OPTIONS, GraphDriverOptions, MountedRoot, StorageOptions
from mini_docker.drivers.graphdriver.devicemapper_calls import DeviceMapper
from mini_docker.drivers.graphdriver.devicemapper_filesystem import (
    grow,
    make_file_system,
    mount_device,
    plan_mount,
)
from mini_docker.drivers.graphdriver.devicemapper_options import DeviceMapperOptions, whole_sectors
from mini_docker.drivers.graphdriver.devicemapper_pool import ThinDevice, ThinPool
from mini_docker.drivers.graphdriver.naive import NaiveDiffDriver
from mini_docker.errors import Invalid, MiniDockerError, Unavailable
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

_NOTE = "device"
_POOL = ".pool"  # no layer's id begins with a dot
_BASE = "base"
_NEW_BASE = "base.new"
_MOST_DEVICES = 1 << 24
_PROBE = DeviceMapperOptions(base_bytes=320 << 20, data_bytes=512 << 20, metadata_bytes=4 << 20)
"""A pool for a try: its base is the least that mkfs.xfs(8) takes, and like its files it is sparse."""


class DeviceMapperDriver(NaiveDiffDriver):
    """Layers as thin devices.

    Args:
        options: ``dm.…``, as `DeviceMapperOptions` says.

    Raises (when made):
        Invalid: an unknown option, or a value that makes no sense.
    """

    def __init__(self, root: Path, kernel: Kernel, options: GraphDriverOptions = NO_OPTIONS) -> None:
        self._settings = DeviceMapperOptions.parse(options.values)
        super().__init__(root, kernel, options)
        self._pool = ThinPool(root / _POOL, lambda: _prefix(root), kernel, self._settings)
        self._numbering = threading.Lock()
        # guarded by _numbering: the devices that notes speak of; None before the notes were read
        self._numbers: set[int] | None = None
        self._basing = threading.Lock()

    @property
    def name(self) -> str:
        return "devicemapper"

    def available(self) -> Availability:
        try:
            DeviceMapper(self.kernel).version()
            if not self._pool.is_ours:
                self._pool.usage()
                self._pool.release()
                return AVAILABLE
            with self.folders.probing() as folder:
                self._probe(folder)
            return AVAILABLE
        except SyscallError as error:
            return Availability(
                f"the device mapper with thin provisioning does not work here (modprobe dm_thin_pool loop?): {error}"
            )
        except MiniDockerError as error:
            return Availability(f"a thin pool cannot be used here: {error}")
        except OSError as error:
            return Availability(f"a thin pool cannot be made in {self.root}: {error.strerror}")

    def _probe(self, folder: Path) -> None:
        """Make a small pool with one device, and a file system on it; it goes with its last descriptor."""
        pool = ThinPool(folder / _POOL, lambda: _prefix(folder), self.kernel, _PROBE)
        try:
            device = ThinDevice(0, _PROBE.base_bytes, self._settings.file_system)
            pool.create_thin(device)
            with pool.mapped(device) as path:
                make_file_system(self.kernel, device.file_system, path, ())
        finally:
            pool.release()

    # What `NaiveDiffDriver` asks for.

    def make_layer(self, folder: Path, parent: Path | None, options: StorageOptions) -> None:
        if parent is not None:
            self.roots.settle((parent.name,))  # spares its file system the freezing, when it only waits to be unmounted
        origin = self._base() if parent is None else _read(parent / _NOTE)
        size_bytes = whole_sectors(options.size_bytes) if options.size_bytes else origin.size_bytes
        if size_bytes < origin.size_bytes:
            raise Invalid(f"Container size cannot be smaller than {origin.size_bytes}")
        self._require_space()
        device = ThinDevice(self._new_number(), size_bytes, origin.file_system)
        _write(folder / _NOTE, device)
        self._pool.create_snapshot(device, origin)
        if size_bytes > origin.size_bytes:
            root = self._mount(device)
            try:
                grow(self.kernel, device.file_system, root, size_bytes)
            finally:
                os.close(root)

    def unmake_layer(self, folder: Path) -> None:
        self._delete(folder / _NOTE)

    def mount_layer(self, folder: Path) -> MountedRoot:
        return MountedRoot(descriptor=self._mount(_read(folder / _NOTE)))

    def _mount(self, device: ThinDevice) -> int:
        plan = plan_mount(device.file_system, self._settings.mount_options)
        with self._pool.mapped(device) as path, self._pool.without_snapshots():
            return mount_device(self.kernel, plan, path)

    def _require_space(self) -> None:
        """Keep a reserve: a file system on a full pool cannot even be cleaned up."""
        usage = self._pool.usage()
        free, least = usage.data_total - usage.data_used, usage.data_total * self._settings.least_free_percent // 100
        if free < least:
            raise Unavailable(
                f"the thin pool has {free} bytes free, less than the {least} that dm.min_free_space keeps:"
                " remove images or containers, or make the pool larger"
            )

    def _base(self) -> ThinDevice:
        """The device that all others descend from; made anew when the options ask for another one."""
        note, new = self._pool.folder / _BASE, self._pool.folder / _NEW_BASE
        with self._basing:
            base = _read(note) if note.exists() else None
            if base and (base.size_bytes, base.file_system) == (self._settings.base_bytes, self._settings.file_system):
                return base
            self._pool.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            device = ThinDevice(self._new_number(), self._settings.base_bytes, self._settings.file_system)
            _write(new, device)
            try:
                self._pool.create_thin(device)
                with self._pool.mapped(device) as path:
                    make_file_system(self.kernel, device.file_system, path, self._settings.mkfs_arguments, self.ids)
            except BaseException:
                self._delete(new)
                raise
            if base is not None:
                # Its descendants hold their blocks themselves.
                self._delete(note)
            os.rename(new, note)
            return device

    # Notes and numbers.

    def _new_number(self) -> int:
        with self._numbering:
            if self._numbers is None:
                places = [self.root, self.root / "tmp", self.root / "trash"]
                notes = [note for place in places for note in place.glob(f"*/{_NOTE}")]
                notes += [note for name in (_BASE, _NEW_BASE) if (note := self._pool.folder / name).exists()]
                self._numbers = {_read(note).number for note in notes}
            number = next(number for number in range(_MOST_DEVICES) if number not in self._numbers)
            self._numbers.add(number)
            return number

    def _delete(self, note: Path) -> None:
        """Delete the device that a note speaks of, and then the note."""
        if not note.exists():
            return
        device = _read(note)
        self._pool.delete(device)
        with self._numbering:
            # One step for whoever wants a number: between the two he could find this one unused, and it would be taken
            # from him again.
            note.unlink()
            if self._numbers is not None:
                self._numbers.discard(device.number)

    # The rest of the contract.

    def status(self) -> list[tuple[str, str]]:
        settings = self._settings
        facts = [
            ("Pool Blocksize", f"{settings.block_bytes} B"),
            ("Base Device Size", f"{settings.base_bytes} B"),
            ("Backing Filesystem", settings.file_system),
            ("Thin Pool Minimum Free Space", f"{settings.least_free_percent} %"),
            ("Deferred Removal Enabled", "true"),
            ("Udev Sync Supported", "not needed"),
        ]
        if not (self._pool.folder / _BASE).exists():
            return facts
        usage = self._pool.usage()
        files = [
            ("Data file", settings.data_device or str(self._pool.folder / "data")),
            ("Metadata file", settings.metadata_device or str(self._pool.folder / "metadata")),
        ]
        return [
            ("Pool Name", self._pool.pool_name),
            *facts,
            *(files if self._pool.is_ours else []),
            ("Data Space Used", f"{usage.data_used} B"),
            ("Data Space Total", f"{usage.data_total} B"),
            ("Data Space Available", f"{usage.data_total - usage.data_used} B"),
            ("Metadata Space Used", f"{usage.metadata_used} B"),
            ("Metadata Space Total", f"{usage.metadata_total} B"),
            ("Metadata Space Available", f"{usage.metadata_total - usage.metadata_used} B"),
        ]

    def cleanup(self) -> None:
        self.background.drain()
        if not self._pool.folder.exists():
            for folder in self.folders.rubbish():
                removal.remove(folder)
            return
        self._pool.collect()
        self._delete(self._pool.folder / _NEW_BASE)
        super().cleanup()
        # The pool goes with the last mount that needs it; the next one to need it makes it again.
        self._pool.release()


def _prefix(root: Path) -> str:
    """What the names of mapped devices begin with: a name for each root folder, as in Docker."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = root.stat()
    return f"mini-docker-{os.major(status.st_dev)}:{os.minor(status.st_dev)}-{status.st_ino}"


def _write(note: Path, device: ThinDevice) -> None:
    """Put a note in place whole, or not at all."""
    unfinished = note.with_name(f"{note.name}.unfinished")
    unfinished.write_text(json.dumps(asdict(device)))
    os.rename(unfinished, note)


def _read(note: Path) -> ThinDevice:
    return ThinDevice(**json.loads(note.read_text()))
