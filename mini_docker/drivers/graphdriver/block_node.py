"""Block devices by path: the node in /dev that devtmpfs has, or one made for the moment where nobody makes any.

It knows nothing of what the device is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mini_docker.linux.kernel import Kernel

_MODE = stat.S_IFBLK | 0o600


@contextmanager
def block_node(kernel: Kernel, path: Path, device: int) -> Iterator[str]:
    """A path to open the block device *device* by: *path*, which is made for the block's length if it is not there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISBLK(status.st_mode) and status.st_rdev == device:
            yield str(path)
            return
        path = path.with_name(f"{path.name}.{os.getpid()}")
    kernel.mknod(str(path), _MODE, device)
    try:
        yield str(path)
    finally:
        path.unlink()


def device_name(device: int) -> str:
    """A device's number as the device mapper's tables want it."""
    return f"{os.major(device)}:{os.minor(device)}"


def size_of_device(descriptor: int) -> int:
    """Bytes of an open block device."""
    return os.lseek(descriptor, 0, os.SEEK_END)
