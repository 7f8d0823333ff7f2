"""What btrfs is asked for by ioctl(2): the order forms for subvolumes, snapshots and quotas, and their carriers.

It knows nothing of layers.

Source: linux/btrfs.h; btrfs-subvolume(8), btrfs-quota(8).
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

from mini_docker.archive.directory_cache import opened
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

# _IOW(0x94, number, size) of asm-generic/ioctl.h: direction in bits 30-31, size in 16-29.
_MAGIC = 0x94
_WRITE, _READ = 1 << 30, 2 << 30
_VOLUME_ARGUMENTS_BYTES = 4096
SUBVOL_CREATE = _WRITE | _VOLUME_ARGUMENTS_BYTES << 16 | _MAGIC << 8 | 14
SNAP_DESTROY = _WRITE | _VOLUME_ARGUMENTS_BYTES << 16 | _MAGIC << 8 | 15
SNAP_CREATE_V2 = _WRITE | _VOLUME_ARGUMENTS_BYTES << 16 | _MAGIC << 8 | 23
QUOTA_CTL = _READ | _WRITE | 16 << 16 | _MAGIC << 8 | 40
QGROUP_LIMIT = _READ | 48 << 16 | _MAGIC << 8 | 43
QUOTA_RESCAN_WAIT = _MAGIC << 8 | 46

_QUOTA_ENABLE = 1
_LIMIT_REFERENCED = 1


def volume_arguments(name: bytes, descriptor: int = 0) -> bytearray:
    """struct btrfs_ioctl_vol_args: a descriptor and a name of at most 255 bytes."""
    return bytearray(struct.pack("q4088s", descriptor, name))


def snapshot_arguments(name: bytes, source: int) -> bytearray:
    """struct btrfs_ioctl_vol_args_v2: the source's descriptor, no flags, and the snapshot's name."""
    return bytearray(struct.pack("qQQ32x4040s", source, 0, 0, name))


def limit_arguments(size_bytes: int) -> bytes:
    """struct btrfs_ioctl_qgroup_limit_args: at most *size_bytes* for group 0, the subvolume that is called on."""
    return struct.pack("QQQQQQ", 0, _LIMIT_REFERENCED, size_bytes, 0, 0, 0)


def create_subvolume(kernel: Kernel, path: Path) -> None:
    """Make an empty subvolume at *path*."""
    with opened(path.parent) as parent:
        kernel.ioctl(parent, SUBVOL_CREATE, volume_arguments(os.fsencode(path.name)))


def create_snapshot(kernel: Kernel, path: Path, source: Path) -> None:
    """Make a writable snapshot of the subvolume *source* at *path*."""
    with opened(path.parent) as parent, opened(source) as origin:
        kernel.ioctl(parent, SNAP_CREATE_V2, snapshot_arguments(os.fsencode(path.name), origin))


def destroy_subvolume(kernel: Kernel, path: Path) -> bool:
    """Destroy the subvolume at *path*, whatever is in it; False when other subvolumes are, which prevents it."""
    with opened(path.parent) as parent:
        try:
            kernel.ioctl(parent, SNAP_DESTROY, volume_arguments(os.fsencode(path.name)))
        except SyscallError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return False
    return True


def enable_quota(kernel: Kernel, path: Path) -> None:
    """Have the file system that *path* lies in count what each subvolume takes."""
    with opened(path) as directory:
        kernel.ioctl(directory, QUOTA_CTL, struct.pack("QQ", _QUOTA_ENABLE, 0))
        kernel.ioctl(directory, QUOTA_RESCAN_WAIT)


def limit_subvolume(kernel: Kernel, path: Path, size_bytes: int) -> None:
    """Let the subvolume at *path* refer to no more than *size_bytes*, shared data included."""
    with opened(path) as subvolume:
        kernel.ioctl(subvolume, QGROUP_LIMIT, limit_arguments(size_bytes))
