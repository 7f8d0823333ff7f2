"""A side room: commands run in a mount namespace that has no cgroup v2 beside v1.

crun (and podman, which uses it) refuses a hybrid machine, on which cgroup v2 is mounted with controllers beside v1;
without that mount it uses v1, as the others do. Nobody else's mounts are touched.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mini_docker.linux.constants import CLONE_NEWNS
from mini_docker.linux.linux_kernel import LinuxKernel

UNIFIED = "/sys/fs/cgroup/unified"

T = TypeVar("T")


class SideRoom:
    """One thread that left the bench's mount namespace; what it starts, starts in its own."""

    def __init__(self) -> None:
        # A thread may leave alone: unshare(2) with CLONE_NEWNS gives it a root and a working folder of its own, too.
        self._thread = ThreadPoolExecutor(1, initializer=_leave)

    def run(self, act: Callable[[], T]) -> T:
        """Do *act* in there; its result or its exception."""
        return self._thread.submit(act).result()

    def close(self) -> None:
        """End the thread; its mount namespace ends with the last process in it."""
        self._thread.shutdown()


def _leave() -> None:
    kernel = LinuxKernel()
    kernel.unshare(CLONE_NEWNS)
    if os.path.ismount(UNIFIED):
        kernel.umount(UNIFIED)
