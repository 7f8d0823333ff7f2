"""Loop devices: a file that plays a disk, until the last who uses the disk has gone.

It knows nothing of what is on the disk.

Source: loop(4); linux/loop.h.
"""

from __future__ import annotations

import errno
import itertools
import os
import struct
from pathlib import Path

from mini_docker.drivers.graphdriver.block_node import block_node
from mini_docker.errors import Unavailable
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

CONTROL = Path("/dev/loop-control")
CONFIGURE = 0x4C0A
CONTROL_ADD = 0x4C80
_AUTOCLEAR = 4
_MOST = 1 << 12
_SYSFS = Path("/sys/block")


def configuration(file: int, name: bytes) -> bytes:
    """struct loop_config: the file's descriptor, and struct loop_info64 with its flags and its name.

    Autoclear: the loop device frees itself when its last user is gone, even one that was killed.
    """
    info = struct.pack("=3Q2Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, _AUTOCLEAR, name[:63], b"", b"", 0, 0)
    return struct.pack("=II", file, 0) + info + bytes(64)


def attach(kernel: Kernel, file: Path) -> int:
    """Make *file* a disk; returns the loop device's descriptor, with which it goes unless others use it by then.

    Raises:
        SyscallError: this machine has no loop devices, or the file cannot be one.
        Unavailable: all are taken.
    """
    backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        for number in itertools.count():
            if number == _MOST:
                raise Unavailable(f"all {_MOST} loop devices are taken")
            _add(kernel, number)
            loop = _open(kernel, number)
            try:
                kernel.ioctl(loop, CONFIGURE, configuration(backing, os.fsencode(file)))
                return loop
            except SyscallError as error:
                os.close(loop)
                if error.errno != errno.EBUSY:  # EBUSY: another file has it
                    raise
        raise AssertionError
    finally:
        os.close(backing)


def is_attached(file: Path) -> bool:
    """Whether some loop device still is this file."""
    wanted = os.path.realpath(file)
    for entry in _SYSFS.glob("loop*/loop/backing_file"):
        try:
            if entry.read_text().rstrip("\n") == wanted:
                return True
        except OSError:  # it was freed while we looked
            continue
    return False


def _add(kernel: Kernel, number: int) -> None:
    """Have the loop device of that number exist."""
    try:
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise SyscallError("open", (str(CONTROL),), error.errno or 0) from None
    try:
        kernel.ioctl(control, CONTROL_ADD, number)
    except SyscallError as error:
        if error.errno != errno.EEXIST:
            raise
    finally:
        os.close(control)


def _open(kernel: Kernel, number: int) -> int:
    major, minor = (_SYSFS / f"loop{number}" / "dev").read_text().split(":")
    with block_node(kernel, Path(f"/dev/loop{number}"), os.makedev(int(major), int(minor))) as path:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
