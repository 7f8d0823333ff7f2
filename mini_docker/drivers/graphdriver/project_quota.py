"""Project quotas: folders with a lid. What lies in a folder, whoever owns it, is counted and limited together.

A *project* is a number that files carry. A folder that hands its number down (`FS_XFLAG_PROJINHERIT`) gives it to all
that is made in it, and the file system limits what a number takes. xfs does so when it is mounted with ``pquota``,
ext4 with ``prjquota``. The number is written on the folder alone: there is no record that could disagree with it.

It knows nothing of layers.

Source: quotactl(2); linux/dqblk_xfs.h; linux/fs.h (struct fsxattr); xfs_quota(8); Docker's quota/projectquota.go.
"""

from __future__ import annotations

import errno
import stat
import struct
import threading
from contextlib import suppress
from pathlib import Path

from mini_docker.archive.directory_cache import opened
from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid, Unsupported
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

FIRST_PROJECT = 1 << 20
"""Administrators number from 1 and Docker from its folder's own number: we begin far from both, and look before."""

MOST_BYTES = (1 << 63) - 1  # off_t

BLOCK_BYTES = 512
"""A quota's unit (linux/dqblk_xfs.h: BBs, basic blocks)."""

GET_ATTRIBUTES, SET_ATTRIBUTES = 0x801C581F, 0x401C5820  # _IOR('X', 31, fsxattr), _IOW('X', 32, fsxattr)
_ATTRIBUTES = struct.Struct("=5I8x")  # xflags, extsize, nextents, projid, cowextsize
_INHERITED = 0x200  # FS_XFLAG_PROJINHERIT

_PROJECTS = 2  # PRJQUOTA
_COMMANDS = ord("X") << 8
GET_QUOTA = (_COMMANDS + 3) << 8 | _PROJECTS  # Q_XGETQUOTA
SET_LIMIT = (_COMMANDS + 4) << 8 | _PROJECTS  # Q_XSETQLIM
GET_STATE = (_COMMANDS + 8) << 8 | _PROJECTS  # Q_XGETQSTATV

# struct fs_disk_quota: version, flags, field mask, id; limits of blocks, hard and soft, and of inodes; used of both.
_QUOTA = struct.Struct("=bbHI6Q56x")
_QUOTA_VERSION, _OF_PROJECT = 1, 2  # FS_DQUOT_VERSION, FS_PROJ_QUOTA
_BLOCK_LIMITS = 1 << 2 | 1 << 3  # FS_DQ_BSOFT, FS_DQ_BHARD

# struct fs_quota_statv: version, a pad, flags; the rest is of no interest here.
_STATE = struct.Struct("=bBH252x")
_STATE_VERSION = 1  # FS_QSTATV_VERSION1
_PROJECTS_ENFORCED = 1 << 5  # FS_QUOTA_PDQ_ENFD


@dataclass(frozen=True, slots=True)
class ProjectUse:
    """What the file system knows of a project.

    Attributes:
        limit_bytes: the most that it may take; 0 for no limit.
        used_bytes: what it takes.
        used_inodes: how many files and folders carry its number.
    """

    limit_bytes: int = 0
    used_bytes: int = 0
    used_inodes: int = 0


def check_size(size_bytes: int) -> None:
    """Refuse a limit that the kernel could not count to: it would be none at all.

    Raises:
        Invalid: it is more than any file system can hold.
    """
    if size_bytes > MOST_BYTES:
        raise Invalid(f"a size of {size_bytes} bytes is more than any file system holds, {MOST_BYTES}")


class ProjectQuota:
    """The lids of one file system.

    Args:
        kernel: the door to the kernel.
        root: a folder on the file system; it is there when a lid is put on.
    """

    def __init__(self, kernel: Kernel, root: Path) -> None:
        self._kernel = kernel  # fixed
        self._root = root  # fixed
        self._lock = threading.Lock()
        self._next = FIRST_PROJECT  # guarded by _lock

    def check(self) -> None:
        """Say whether limits can be kept here.

        Raises:
            Unsupported: they cannot, with the reason and what to do.
        """
        advice = (
            f"a container's size cannot be limited: the file system of {self._root} enforces no project quotas"
            " (mount an xfs with pquota, or an ext4 with prjquota there; Linux 5.14 or newer)"
        )
        try:
            with opened(self._root) as root:
                state = self._kernel.quotactl_fd(root, GET_STATE, 0, _STATE.pack(_STATE_VERSION, 0, 0))
                enforced = bool(_STATE.unpack(state)[2] & _PROJECTS_ENFORCED)
                owned = enforced and self._project(root)
        except SyscallError as error:
            raise Unsupported(f"{advice}: {error}") from None
        if not enforced:
            raise Unsupported(advice)
        if owned:  # a folder of another project could not be renamed into it
            raise Unsupported(
                f"a container's size cannot be limited: {self._root} belongs to the project {owned} itself"
            )

    def limit(self, folder: Path, size_bytes: int) -> None:
        """Let *folder*, with the empty folders in it, take *size_bytes* at most, with all that comes into them.

        The number is on the folder before it means something: who finds what a crash left finds what to take back.

        Raises:
            Unsupported: see `check`. Invalid: see `check_size`.
        """
        self.check()
        check_size(size_bytes)
        inner = [path for path in folder.iterdir() if stat.S_ISDIR(path.lstat().st_mode)]
        with opened(folder) as directory:
            while True:
                project = self._free_project(directory)
                for path in (folder, *inner):
                    self._mark(path, project)
                # Another daemon may have looked at the same moment: then the number counts more than ours.
                if self.use(directory, project).used_inodes <= 1 + len(inner):
                    break
            self._set_limit(directory, project, size_bytes)

    def take_off(self, folder: Path) -> None:
        """Lift the limit of *folder*, which is about to be removed. Its number is free when the last file of it goes.

        In this order: who is killed in between leaves a folder that tells what to take back, or nothing to take back.
        """
        with suppress(OSError, SyscallError), opened(folder) as directory:  # or no such folder, or no such numbers
            project = self._project(directory)
            if project >= FIRST_PROJECT:
                with opened(self._root) as root:
                    if self._project(root) != project:  # or it was inherited, and is somebody else's
                        self._set_limit(root, project, 0)

    def _free_project(self, directory: int) -> int:
        with self._lock:
            while self.use(directory, self._next) != ProjectUse():
                self._next += 1
            self._next += 1
            return self._next - 1

    def _mark(self, path: Path, project: int) -> None:
        with opened(path) as directory:
            flags, extent, extents, _, copied = self._attributes(directory)
            wanted = _ATTRIBUTES.pack(flags | _INHERITED, extent, extents, project, copied)
            self._kernel.ioctl(directory, SET_ATTRIBUTES, wanted)

    def use(self, directory: int, project: int) -> ProjectUse:
        """What the project takes and may take, of the file system that the open *directory* is on."""
        try:
            answer = self._kernel.quotactl_fd(directory, GET_QUOTA, project, bytes(_QUOTA.size))
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
            return ProjectUse()
        _, _, _, _, hard, _, _, _, blocks, inodes = _QUOTA.unpack(answer)
        return ProjectUse(hard * BLOCK_BYTES, blocks * BLOCK_BYTES, inodes)

    def _set_limit(self, directory: int, project: int, size_bytes: int) -> None:
        blocks = -(-size_bytes // BLOCK_BYTES)
        order = _QUOTA.pack(_QUOTA_VERSION, _OF_PROJECT, _BLOCK_LIMITS, project, blocks, blocks, 0, 0, 0, 0)
        self._kernel.quotactl_fd(directory, SET_LIMIT, project, order)

    def _project(self, directory: int) -> int:
        """The number that the open *directory* hands down; 0 for none."""
        flags, _, _, project, _ = self._attributes(directory)
        return project if flags & _INHERITED else 0

    def _attributes(self, directory: int) -> tuple[int, ...]:
        return _ATTRIBUTES.unpack(self._kernel.ioctl(directory, GET_ATTRIBUTES, bytes(_ATTRIBUTES.size)))
