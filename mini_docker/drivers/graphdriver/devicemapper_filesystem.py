"""The file system on a thin device: made once, copied by snapshots ever after, mounted in no mount table, and grown.

It knows nothing of pools and layers.

Source: mkfs.ext4(8), ext4(5), mkfs.xfs(8), xfs(5); linux/ext4.h and xfs_fs.h for the growing; fsopen(2).
"""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Sequence

from mini_docker.archive.ownership import give_to_root
from mini_docker.dataclasses import dataclass
from mini_docker.errors import MiniDockerError, Unsupported
from mini_docker.linux import constants as c
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping
from mini_docker.linux.kernel import Kernel

ATTRIBUTES = {
    "ro": c.MOUNT_ATTR_RDONLY, "nosuid": c.MOUNT_ATTR_NOSUID, "nodev": c.MOUNT_ATTR_NODEV,
    "noexec": c.MOUNT_ATTR_NOEXEC, "noatime": c.MOUNT_ATTR_NOATIME, "nodiratime": c.MOUNT_ATTR_NODIRATIME,
}  # fmt: skip
"""Mount options that are the mount's and not the file system's."""

# _IOW('f', 16, __u64), _IOR('X', 100, struct xfs_fsop_geom_v1), _IOW('X', 110, struct xfs_growfs_data)
EXT4_RESIZE = 1 << 30 | 8 << 16 | ord("f") << 8 | 16
XFS_GEOMETRY = 2 << 30 | 112 << 16 | ord("X") << 8 | 100
XFS_GROW = 1 << 30 | 16 << 16 | ord("X") << 8 | 110
_XFS_IMAXPCT_AT = 28
_EMPTY_MODE = 0o755


@dataclass(frozen=True, slots=True)
class FileSystemMount:
    """A mount of a block device.

    Attributes:
        parameters: for fsconfig(2), as (key, value); None for one without a value.
        attributes: for fsmount(2).
    """

    kind: str
    parameters: tuple[tuple[str, str | None], ...]
    attributes: int


def mkfs_command(kind: str, device: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """What makes the file system. A thin device reads as zeros: nothing need be zeroed or discarded before."""
    if kind == "xfs":
        return ("mkfs.xfs", "-q", "-f", "-K", *arguments, device)
    extended = "nodiscard,lazy_itable_init=1,lazy_journal_init=1"
    return ("mkfs.ext4", "-q", "-F", "-E", extended, *arguments, device)


def make_file_system(
    kernel: Kernel, kind: str, device: str, arguments: Sequence[str], ids: IdMapping = NO_MAPPING
) -> None:
    """Make a file system that is empty: its root is root's, mode 0755, with nothing in it.

    Raises:
        Unsupported: its mkfs is not installed. MiniDockerError: mkfs failed; with its words.
    """
    command = mkfs_command(kind, device, arguments)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        package = {"ext4": "e2fsprogs", "xfs": "xfsprogs"}[kind]
        raise Unsupported(f"{command[0]} is not installed (Debian's package {package})") from None
    if done.returncode:
        raise MiniDockerError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    root = mount_device(kernel, plan_mount(kind, ()), device)
    try:
        if kind == "ext4":
            os.rmdir("lost+found", dir_fd=root)  # no file of the image; e2fsck(8) makes it again when it needs it
        os.chmod(f"/proc/self/fd/{root}", _EMPTY_MODE)
        give_to_root(root, ids)
    finally:
        os.close(root)


def plan_mount(kind: str, options: Sequence[str]) -> FileSystemMount:
    """The mount of a layer, with the administrator's ``dm.mountopt``."""
    parameters: list[tuple[str, str | None]] = []
    if kind == "xfs":
        parameters.append(("nouuid", None))  # a snapshot has the UUID of its origin, and both may be mounted
    else:
        parameters.append(("noinit_itable", None))  # else a thread would write all inode tables, in every snapshot
    attributes = 0
    for option in options:
        key, equals, value = option.partition("=")
        if not equals and key in ATTRIBUTES:
            attributes |= ATTRIBUTES[key]
        else:
            parameters.append((key, value if equals else None))
    return FileSystemMount(kind, tuple(parameters), attributes)


def mount_device(kernel: Kernel, mount: FileSystemMount, device: str) -> int:
    """Mount the device, detached; returns its root's descriptor."""
    context = kernel.fsopen(mount.kind)
    try:
        kernel.fsconfig_string(context, "source", device)
        for key, value in mount.parameters:
            if value is None:
                kernel.fsconfig_flag(context, key)
            else:
                kernel.fsconfig_string(context, key, value)
        kernel.fsconfig_create(context)
        return kernel.fsmount(context, mount.attributes)
    finally:
        os.close(context)


def grow(kernel: Kernel, kind: str, root: int, size_bytes: int) -> None:
    """Let the mounted file system, whose device has grown, fill *size_bytes*."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        blocks = size_bytes // os.fstatvfs(descriptor).f_bsize
        if kind == "xfs":
            geometry = kernel.ioctl(descriptor, XFS_GEOMETRY, bytes(112))
            (inode_percent,) = struct.unpack_from("=I", geometry, _XFS_IMAXPCT_AT)  # stays as it is
            kernel.ioctl(descriptor, XFS_GROW, struct.pack("=QIxxxx", blocks, inode_percent))
        else:
            kernel.ioctl(descriptor, EXT4_RESIZE, struct.pack("=Q", blocks))
    finally:
        os.close(descriptor)
