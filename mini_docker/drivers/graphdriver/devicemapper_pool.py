"""The thin pool: one reservoir from which every layer's device draws the blocks that it writes, and no others.

Nothing outlives its users. Loop devices free themselves, mapped devices are marked for removal as soon as they are
made and held by what is open or mounted: a daemon killed at any instant leaves what a mount still needs, and the
kernel takes that down with the mount. What a kill between two orders leaves, `collect` takes down.

It knows nothing of layers, only of devices by number.

Source: the kernel's Documentation/admin-guide/device-mapper/thin-provisioning.rst.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.graphdriver import loop_device
from mini_docker.drivers.graphdriver.block_node import block_node, device_name, size_of_device
from mini_docker.drivers.graphdriver.devicemapper_calls import SECTOR_BYTES, DeviceMapper, Target
from mini_docker.drivers.graphdriver.devicemapper_options import DeviceMapperOptions
from mini_docker.errors import Conflict, DeadlineExceeded, Invalid
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

METADATA_BLOCK_BYTES = 4096
_BLOCK_DISCARD = 0x1277
_PATIENCE_SECONDS = 20.0
_PAUSE_SECONDS = 0.005
_GOING = {errno.ENXIO, errno.ENOENT, errno.ENODEV}
"""How a device that is being removed answers whoever comes too late."""


@dataclass(frozen=True, slots=True)
class ThinDevice:
    """One device of the pool.

    Attributes:
        number: the pool's, 24 bits.
        file_system: what is on it.
    """

    number: int
    size_bytes: int
    file_system: str


@dataclass(frozen=True, slots=True)
class PoolUsage:
    """How full the pool is, in bytes."""

    data_used: int
    data_total: int
    metadata_used: int
    metadata_total: int

    @classmethod
    def parse(cls, status: str, block_bytes: int) -> PoolUsage:
        """Read the pool's status line: transaction, used/total of metadata and of data blocks, and more.

        Raises:
            Invalid: the pool has failed, or needs thin_check(8).
        """
        words = status.split()
        if len(words) < 3 or "/" not in words[1] or "/" not in words[2]:
            raise Invalid(f"the thin pool is out of order, see thin_check(8): its status is {status!r}")
        metadata, data = (tuple(int(number) for number in word.split("/")) for word in words[1:3])
        return cls(
            data[0] * block_bytes, data[1] * block_bytes, metadata[0] * METADATA_BLOCK_BYTES,
            metadata[1] * METADATA_BLOCK_BYTES,
        )  # fmt: skip


def pool_target(data: int, metadata: int, data_bytes: int, block_bytes: int) -> Target:
    """The pool's table, on two devices by number.

    A full pool answers a write at once with ENOSPC. Fresh blocks are not zeroed: file systems never show what they did
    not write.
    """
    parameters = (
        f"{device_name(metadata)} {device_name(data)} {block_bytes // SECTOR_BYTES} 0"
        " 2 skip_block_zeroing error_if_no_space"
    )
    return Target("thin-pool", data_bytes - data_bytes % block_bytes, parameters)


def thin_target(pool: int, device: ThinDevice) -> Target:
    """The table of one of the pool's devices."""
    return Target("thin", device.size_bytes, f"{device_name(pool)} {device.number}")


class ThinPool:
    """A pool and its devices, mapped as long as somebody needs them.

    Args:
        folder: where the loop files lie; made when the pool is first used.
        name: what mapped devices' names begin with, asked for when the pool is first used.
    """

    def __init__(self, folder: Path, name: Callable[[], str], kernel: Kernel, options: DeviceMapperOptions) -> None:
        # fixed
        self.folder = folder
        self._name = name
        self._kernel = kernel
        self._options = options
        self._mapper = DeviceMapper(kernel)
        self._lock = threading.RLock()
        # guarded by _lock: the pool's own device, open so that it stays; -1 while we do without it
        self._hold = -1
        self._device = 0

    @property
    def is_ours(self) -> bool:
        """Whether we make the pool, and all that is in it."""
        return not self._options.pool_device

    @property
    def pool_name(self) -> str:
        """The pool's name as a mapped device."""
        if self.is_ours:
            return f"{self._name()}-pool"
        try:
            device = os.stat(self._options.pool_device).st_rdev
            return Path(f"/sys/dev/block/{device_name(device)}/dm/name").read_text().rstrip("\n")
        except OSError:
            raise Invalid(f"dm.thinpooldev {self._options.pool_device} is no mapped device") from None

    def device_name(self, device: ThinDevice) -> str:
        """A device's name while it is mapped."""
        return f"{self._name()}-{device.number}"

    # The pool as a whole.

    def hold(self) -> None:
        """Map the pool, unless it is, and keep it until `release`.

        Raises:
            SyscallError: the device mapper or the loop devices do not work here.
            Invalid: what ``dm.thinpooldev`` names is no pool.
        """
        with self._lock:
            if self._hold >= 0:
                return
            if self.is_ours:
                self._hold = self._mapped(self.pool_name, self._pool_table)
            else:
                self._hold = os.open(self._options.pool_device, os.O_RDONLY | os.O_CLOEXEC)
            self._device = os.fstat(self._hold).st_rdev

    def release(self) -> None:
        """Let go of the pool; it goes when no device of its is in use any more."""
        with self._lock:
            if self._hold >= 0:
                os.close(self._hold)
                self._hold = -1

    def usage(self) -> PoolUsage:
        """How full it is."""
        with self._lock:
            self.hold()
            name = self.pool_name
            block_bytes = int(self._mapper.table(name).split()[2]) * SECTOR_BYTES
            return PoolUsage.parse(self._mapper.status(name), block_bytes)

    def collect(self) -> None:
        """Take down what a killed daemon left mapped, as soon as its last user is gone. For the start."""
        with self._lock:
            left = [name for name in self._mapper.names() if name.startswith(f"{self._name()}-")]
            for name in left:
                with _though_gone():
                    state = self._mapper.state(name)
                    if state is not None and state.is_suspended and state.has_table:
                        self._mapper.resume(name)  # killed while a snapshot was taken
                    self._mapper.remove_when_unused(name)

    @contextmanager
    def _pool_table(self) -> Iterator[Target]:
        with ExitStack() as opened:
            data, metadata = self._open_data(opened), self._open_metadata(opened)
            yield pool_target(
                os.fstat(data).st_rdev, os.fstat(metadata).st_rdev, size_of_device(data), self._options.block_bytes
            )

    def _open_data(self, opened: ExitStack) -> int:
        return self._open(opened, self._options.data_device, "data", self._options.data_bytes)

    def _open_metadata(self, opened: ExitStack) -> int:
        return self._open(opened, self._options.metadata_device, "metadata", self._options.metadata_bytes)

    def _open(self, opened: ExitStack, given: str, name: str, size_bytes: int) -> int:
        """The descriptor of a device that was given, or of a loop file."""
        if given:
            descriptor = os.open(given, os.O_RDWR | os.O_CLOEXEC)
        else:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = self.folder / name
            with open(file, "ab") as image:
                if image.tell() < size_bytes:
                    image.truncate(size_bytes)  # sparse; the pool grows with a larger wish when it is next made
            # An earlier pool may be writing its last words into the file through a loop device of its own.
            _await(lambda: not loop_device.is_attached(file), f"{file} is still in use as a loop device")
            descriptor = loop_device.attach(self._kernel, file)
        opened.callback(os.close, descriptor)
        return descriptor

    # Its devices.

    def create_thin(self, device: ThinDevice) -> None:
        """Make an empty device.

        Raises:
            Conflict: in a pool that was given, somebody else has a device of that number.
        """
        self._create(device, f"create_thin {device.number}")

    def create_snapshot(self, device: ThinDevice, origin: ThinDevice) -> None:
        """Make a device that shows what *origin* does at this instant, even while that is mounted and written to.

        Raises:
            Conflict: as `create_thin`.
        """
        with self._lock, self._quiet(origin):
            self._create(device, f"create_snap {device.number} {origin.number}")

    def delete(self, device: ThinDevice) -> None:
        """Delete a device, once it is in use no more; one that is not there is no error.

        Raises:
            DeadlineExceeded: it stayed in use.
        """
        self.hold()
        if self.is_ours and not self._options.data_device:
            self._give_back(device)

        def is_deleted() -> bool:
            try:
                self._message(f"delete {device.number}")
            except SyscallError as error:
                if error.errno == errno.EBUSY:
                    return False
                if error.errno != errno.ENODATA:
                    raise
            return True

        _await(is_deleted, f"thin device {device.number} is still in use")

    @contextmanager
    def without_snapshots(self) -> Iterator[None]:
        """None is taken for the length of the block: what is frozen for one cannot be mounted (EBUSY)."""
        with self._lock:
            yield

    @contextmanager
    def mapped(self, device: ThinDevice) -> Iterator[str]:
        """A path to the device; it stays mapped for the length of the block, and while it is mounted."""
        with self._lock:
            self.hold()
            pool = self._device
            held = self._mapped(self.device_name(device), lambda: nullcontext(thin_target(pool, device)))
        try:
            number = os.fstat(held).st_rdev
            with block_node(self._kernel, Path(f"/dev/dm-{os.minor(number)}"), number) as path:
                yield path
        finally:
            os.close(held)

    def _create(self, device: ThinDevice, message: str) -> None:
        with self._lock:
            self.hold()
            try:
                self._message(message)
                return
            except SyscallError as error:
                if error.errno != errno.EEXIST:
                    raise
            if not self.is_ours:
                raise Conflict(
                    f"the thin pool {self.pool_name} has a device {device.number} that is not ours:"
                    " dm.thinpooldev must be a pool for this daemon alone"
                )
            # Nobody's: a power cut took the note of it and left the device.
            self._message(f"delete {device.number}")
            self._message(message)

    @contextmanager
    def _quiet(self, device: ThinDevice) -> Iterator[None]:
        """All that was written to the device is down, and nothing more is for the length of the block."""
        name = self.device_name(device)
        with _though_gone():  # quieter than gone it cannot be
            state = self._mapper.state(name)
            if state is not None and state.has_table:
                # Its file system is frozen first of all; where it is being unmounted, this waits for the end of that.
                self._mapper.suspend(name)
        try:
            yield
        finally:
            with _though_gone():
                self._mapper.resume(name)

    def _give_back(self, device: ThinDevice) -> None:
        """Have the blocks that no other device shares punched out of the loop file, which else never shrinks.

        Deleting gives them back to the pool, but does not tell the loop file.

        Raises:
            DeadlineExceeded: a file system is mounted on it.
        """
        try:
            with self.mapped(device) as path:
                descriptor = self._alone(path, device)
                try:
                    self._kernel.ioctl(descriptor, _BLOCK_DISCARD, struct.pack("=QQ", 0, device.size_bytes))
                finally:
                    os.close(descriptor)
        except SyscallError as error:
            # ENODATA: it never came to be. EOPNOTSUPP: the file system below has no holes.
            if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                raise

    @staticmethod
    def _alone(path: str, device: ThinDevice) -> int:
        """The descriptor of a device that nobody has mounted.

        A file system goes a while after its last descriptor: a killed daemon's after the daemon, by the kernel's own
        hand. Without O_EXCL, which a mount holds as well, BLKDISCARD would take a mounted file system's blocks from
        under it, or answer EBUSY when that has them in its cache (truncate_bdev_range of the kernel's block/bdev.c).
        """
        descriptor = -1

        def is_alone() -> bool:
            nonlocal descriptor
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                return False
            return True

        _await(is_alone, f"thin device {device.number} is still in use")
        return descriptor

    def _message(self, text: str) -> None:
        self._mapper.message(self.pool_name, text)

    def _mapped(self, name: str, table: Callable[[], AbstractContextManager[Target]]) -> int:
        """The device of that name, open and marked for removal after its last use; made if it is not there."""
        held = -1

        def is_held() -> bool:
            nonlocal held
            state = self._mapper.state(name)
            if state is None:
                self._make(name, table)
                return False
            try:
                if not state.has_table:
                    self._mapper.remove(name)  # half-made by one who was killed
                    return False
                with block_node(self._kernel, state.node, state.device) as path:
                    held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                self._mapper.remove_when_unused(name)
                return True
            except (OSError, SyscallError) as error:
                if error.errno not in _GOING:
                    raise
                return False  # its last user went at this moment, and so does it

        _await(is_held, f"the mapped device {name} neither stays nor goes")
        return held

    def _make(self, name: str, table: Callable[[], AbstractContextManager[Target]]) -> None:
        def is_loaded() -> bool:
            with table() as target:
                try:
                    self._mapper.load(name, target)
                except SyscallError as error:
                    if error.errno != errno.EBUSY:
                        raise
                    return False  # an earlier pool has not quite let go of its devices
                return True

        self._mapper.create(name)
        try:
            _await(is_loaded, f"the devices of {name} are in use")
            self._mapper.resume(name)
        except BaseException:
            self._mapper.remove(name)
            raise


@contextmanager
def _though_gone() -> Iterator[None]:
    """Whether a device is there no more is no matter within the block."""
    try:
        yield
    except SyscallError as error:
        if error.errno not in _GOING:
            raise


def _await(is_done: Callable[[], bool], complaint: str) -> None:
    """Ask again and again: the kernel tells nobody when it has let go of a device.

    Raises:
        DeadlineExceeded: with the complaint.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause_seconds = 0.0
    while not is_done():
        if time.monotonic() > deadline:
            raise DeadlineExceeded(complaint)
        time.sleep(pause_seconds)
        pause_seconds = _PAUSE_SECONDS
