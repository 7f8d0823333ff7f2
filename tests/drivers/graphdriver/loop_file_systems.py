"""File systems on loop files, for tests that need another one than the machine's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mini_docker.linux.constants import AT_FDCWD, MNT_DETACH
from tests.archive.trees import folder
from tests.drivers.graphdriver.contract_suite import KERNEL

SIZE_BYTES = 512 << 20


@contextmanager
def loop_file_system(
    name: str, mkfs_options: tuple[str, ...] = (), flags: tuple[str, ...] = (), attached: bool = False
) -> Iterator[Path]:
    """A fresh file system in no mount table: when the descriptor goes, so do mount and loop device.

    Args:
        name: ``btrfs``, ``xfs``, ``ext4``.
        flags: mount options without a value.
        attached: in the mount table all the same. Before Linux 6.15 nothing can be mounted on what is in none.

    Raises:
        SyscallError: this kernel does not mount it so.
    """
    with folder() as place:
        image = place / f"{name}.img"
        with open(image, "wb") as file:
            file.truncate(SIZE_BYTES)
        subprocess.run([f"mkfs.{name}", "-q", *mkfs_options, image], check=True, stdout=subprocess.DEVNULL)
        command = ["losetup", "--find", "--show", image]
        device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        try:
            context = KERNEL.fsopen(name)
            try:
                KERNEL.fsconfig_string(context, "source", device)
                for flag in flags:
                    KERNEL.fsconfig_flag(context, flag)
                KERNEL.fsconfig_create(context)
                mount = KERNEL.fsmount(context)
            finally:
                os.close(context)
        finally:
            # Marks the device to be freed when its last user, the mount, is gone.
            subprocess.run(["losetup", "--detach", device], check=True)
        try:
            if attached:
                point = place / "mount"
                point.mkdir()
                KERNEL.move_mount(mount, AT_FDCWD, str(point))
                try:
                    yield point
                finally:
                    KERNEL.umount(str(point), MNT_DETACH)
            else:
                yield Path(f"/proc/self/fd/{mount}")
        finally:
            os.close(mount)
