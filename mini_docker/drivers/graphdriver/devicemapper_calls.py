"""What the device mapper is asked for by ioctl(2): its order form, filled in and read, and the carrier.

Every order is one ``struct dm_ioctl``, whatever it asks for; tables and messages follow it in the same buffer. By
ioctl and not by dmsetup(8): it is fewer lines, the daemon needs no binary, and errnos come back instead of text.

udev is neither needed nor waited for: every order carries the flags by which its rules leave our devices alone.

It knows nothing of pools and layers, only of devices by name.

Source: linux/dm-ioctl.h; the kernel's Documentation/admin-guide/device-mapper.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

from mini_docker.dataclasses import dataclass
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

CONTROL = Path("/dev/mapper/control")
SECTOR_BYTES = 512

# struct dm_ioctl: version, data_size, data_start, target_count, open_count, flags, event_nr, dev, name, uuid, data
_FORM = struct.Struct("=3I2IIiIIxxxxQ128s129s7x")
_VERSION = (4, 0, 0)
# struct dm_target_spec: sector_start, length, status, next, target_type; its parameters follow
_TARGET = struct.Struct("=QQiI16s")
# struct dm_name_list: dev, next; a name follows
_NAME = struct.Struct("=QI")

# _IOWR(0xfd, number, struct dm_ioctl) of asm-generic/ioctl.h
_ORDER = 3 << 30 | _FORM.size << 16 | 0xFD << 8
VERSION, LIST_DEVICES, DEV_CREATE, DEV_REMOVE, DEV_SUSPEND, DEV_STATUS, TABLE_LOAD, TABLE_STATUS, TARGET_MSG = (
    _ORDER | number for number in (0, 2, 3, 4, 6, 7, 9, 12, 14)
)

SUSPEND = 1 << 1
STATUS_TABLE = 1 << 4
ACTIVE_PRESENT = 1 << 5
BUFFER_FULL = 1 << 8
NOFLUSH = 1 << 11
DEFERRED_REMOVE = 1 << 17

# No rules of subsystems, disks or others, and no fall-back that makes nodes: bits 16 and up of event_nr.
_LEFT_ALONE_BY_UDEV = (0x2 | 0x4 | 0x8 | 0x20) << 16
_BUFFER_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Target:
    """A device's table of one line: what it is made of, from its first sector to its last.

    Attributes:
        kind: the target's type, such as ``thin-pool``.
        size_bytes: a multiple of the sector.
        parameters: the target's own.
    """

    kind: str
    size_bytes: int
    parameters: str

    def encode(self) -> bytes:
        """struct dm_target_spec and its parameters, as TABLE_LOAD takes them."""
        parameters = self.parameters.encode() + b"\0"
        parameters += bytes(-len(parameters) % 8)
        head = _TARGET.pack(
            0, self.size_bytes // SECTOR_BYTES, 0, _TARGET.size + len(parameters), self.kind.encode()
        )  # fmt: skip
        return head + parameters


@dataclass(frozen=True, slots=True)
class MappedState:
    """What the kernel says of a device.

    Attributes:
        device: its number, as stat(2) has it.
        has_table: it is made of something; one that is not was left half-made.
    """

    device: int
    open_count: int
    is_suspended: bool
    has_table: bool

    @property
    def node(self) -> Path:
        """Where devtmpfs has it."""
        return Path(f"/dev/dm-{os.minor(self.device)}")


def encode_order(
    name: str, flags: int = 0, payload: bytes = b"", *, targets: int = 0, size: int = _BUFFER_BYTES
) -> bytearray:
    """struct dm_ioctl, with what follows it, in a buffer that has room for the answer."""
    size = max(size, _FORM.size + len(payload))
    head = _FORM.pack(
        *_VERSION, size, _FORM.size, targets, 0, flags, _LEFT_ALONE_BY_UDEV, 0, name.encode(), b""
    )  # fmt: skip
    return bytearray((head + payload).ljust(size, b"\0"))


def decode_state(answer: bytes) -> MappedState:
    """The device that an answered order tells about."""
    fields = _FORM.unpack_from(answer)
    open_count, flags, device = fields[6], fields[7], fields[9]
    return MappedState(device, open_count, bool(flags & SUSPEND), bool(flags & ACTIVE_PRESENT))


def decode_names(answer: bytes) -> list[str]:
    """The devices' names in the answer to LIST_DEVICES."""
    at = _FORM.unpack_from(answer)[4]
    names: list[str] = []
    while True:
        device, following = _NAME.unpack_from(answer, at)
        if not device:
            return names
        names.append(_text(answer, at + _NAME.size))
        if not following:
            return names
        at += following


def decode_status(answer: bytes) -> str:
    """The one target's status line in the answer to TABLE_STATUS."""
    fields = _FORM.unpack_from(answer)
    data_start, targets = fields[4], fields[5]
    return _text(answer, data_start + _TARGET.size) if targets else ""


def _text(answer: bytes, at: int) -> str:
    return answer[at : answer.index(b"\0", at)].decode(errors="replace")


class DeviceMapper:
    """The kernel's device mapper, by the orders that we need.

    Each raises:
        SyscallError: ENXIO: no device of that name. ENOENT, ENODEV: this kernel has no device mapper.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def version(self) -> str:
        """The driver's version."""
        return ".".join(str(number) for number in _FORM.unpack_from(self._order(VERSION, encode_order("")))[:3])

    def names(self) -> list[str]:
        """Of all devices."""
        size = _BUFFER_BYTES
        while True:
            answer = self._order(LIST_DEVICES, encode_order("", size=size))
            if not _FORM.unpack_from(answer)[7] & BUFFER_FULL:
                return decode_names(answer)
            size *= 2

    def state(self, name: str) -> MappedState | None:
        """How the device is; None when there is none."""
        try:
            return decode_state(self._order(DEV_STATUS, encode_order(name)))
        except SyscallError as error:
            if error.errno != errno.ENXIO:
                raise
            return None

    def create(self, name: str) -> None:
        """Make a device, of nothing yet. EBUSY: there is one of that name."""
        self._order(DEV_CREATE, encode_order(name))

    def load(self, name: str, target: Target) -> None:
        """Say what the device is made of, from the next `resume` on."""
        self._order(TABLE_LOAD, encode_order(name, 0, target.encode(), targets=1))

    def suspend(self, name: str) -> None:
        """Have the device's file system write all down, and hold every write back from then on."""
        self._order(DEV_SUSPEND, encode_order(name, SUSPEND))

    def resume(self, name: str) -> None:
        """Let the writes go on."""
        self._order(DEV_SUSPEND, encode_order(name))

    def remove(self, name: str) -> None:
        """Remove the device now. EBUSY: it is in use."""
        self._order(DEV_REMOVE, encode_order(name))

    def remove_when_unused(self, name: str) -> None:
        """Remove the device as soon as nobody has it open or mounted: now, or by the kernel's own hand later."""
        self._order(DEV_REMOVE, encode_order(name, DEFERRED_REMOVE))

    def message(self, name: str, text: str) -> None:
        """Tell the device's target something."""
        self._order(TARGET_MSG, encode_order(name, 0, struct.pack("=Q", 0) + text.encode() + b"\0"))

    def status(self, name: str) -> str:
        """What the device's target says of itself."""
        return decode_status(self._order(TABLE_STATUS, encode_order(name, NOFLUSH)))

    def table(self, name: str) -> str:
        """What the device's target was made with."""
        return decode_status(self._order(TABLE_STATUS, encode_order(name, STATUS_TABLE)))

    def _order(self, request: int, form: bytearray) -> bytes:
        try:
            control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise SyscallError("open", (str(CONTROL),), error.errno or 0) from None
        try:
            return self._kernel.ioctl(control, request, form)
        finally:
            os.close(control)
