"""The keeper of cgroups: makes them, fits their fuses, reads their meters, takes them away.

The thin half: plans are pure (`v1`, `v2`), and every order goes through the `Kernel` door. Which words
the kernel wants to hear is the dialect's business. It knows paths below the root of a hierarchy, such
as ``docker/<id>``, and nothing of containers.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from typing import Any

from mini_docker.errors import DeadlineExceeded, Unsupported
from mini_docker.libcontainer.cgroups.dialect import CgroupDialect
from mini_docker.libcontainer.cgroups.dialect_v1 import CgroupDialectV1
from mini_docker.libcontainer.cgroups.dialect_v2 import CgroupDialectV2
from mini_docker.libcontainer.cgroups.features import CgroupFeatures, detect_features, drop_unsupported
from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy
from mini_docker.libcontainer.cgroups.oom import OomWatch
from mini_docker.libcontainer.cgroups.plan import GONE, CgroupWrite, flat, read_or_empty
from mini_docker.libcontainer.config import Resources
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

_LACKING = (errno.ENOENT, errno.EOPNOTSUPP)


class CgroupManager:
    """Keeps the cgroups of one machine. Thread-safe: it holds no state of single cgroups.

    *Fixed*: ``hierarchy``, how cgroups are mounted here; ``features``, what the kernel can limit; the door;
    the dialect.

    Args:
        features: found out when not given.
    """

    def __init__(self, kernel: Kernel, hierarchy: Hierarchy, features: CgroupFeatures | None = None) -> None:
        self._kernel = kernel
        self.hierarchy = hierarchy
        self.features = features or detect_features(kernel, hierarchy)
        dialect = CgroupDialectV2 if hierarchy.version == 2 else CgroupDialectV1
        self._dialect: CgroupDialect = dialect(kernel, hierarchy, self.features)

    def through(self, kernel: Kernel) -> CgroupManager:
        """The same keeper at another door, such as a narrated one."""
        return CgroupManager(kernel, self.hierarchy, self.features)

    # making and changing
    def create(self, path: str, resources: Resources) -> tuple[str, ...]:
        """Make the cgroup and set its limits; one that exists is taken over.

        Returns:
            a warning, in Docker's words, for each limit that the kernel lacks.

        Raises:
            Invalid: a path that leaves the root, or limits that contradict each other.
            SyscallError: the kernel refuses a value. What was made until then is the caller's to `delete`.
        """
        self._dialect.make(path)
        return self._apply(path, resources, None)

    def rename(self, path: str, new: str) -> None:
        """Give a cgroup, with all who are in it, another name below the same parent, which v1 alone can: 0.14 ms for
        nine trees, where making them and moving there takes 0.9.

        Source: the kernel's kernel/cgroup/cgroup-v1.c, cgroup1_rename.

        Raises:
            SyscallError: the name is taken in one of the trees; in those before it the cgroup has it already.
        """
        for directory, renamed in zip(self._dialect.directories(path), self._dialect.directories(new), strict=True):
            self._kernel.rename(directory, renamed)

    def update(self, path: str, resources: Resources) -> tuple[str, ...]:
        """Change the limits that are set in *resources* and leave the others; returns warnings as `create`.

        Raises:
            SyscallError: the kernel refuses a value, or there is no such cgroup.
        """
        return self._apply(path, resources, self._dialect.memory_limit(path))

    def _apply(self, path: str, resources: Resources, current_memory_bytes: int | None) -> tuple[str, ...]:
        supported, warnings = drop_unsupported(resources, self.features)
        for write in self._dialect.plan(supported, current_memory_bytes):
            warnings += self._write(path, write)
        if supported.devices:
            self._dialect.guard_devices(path, supported.devices)
        return warnings

    def _write(self, path: str, write: CgroupWrite) -> tuple[str, ...]:
        """Carry out one write; a warning if it was optional and the kernel lacks it."""
        try:
            self._kernel.write_file(f"{self._dialect.directory(write.controller, path)}/{write.file}", write.value)
        except SyscallError as error:
            if write.optional and error.errno in _LACKING:
                return (f"Your kernel does not support {write.file}. Limitation discarded.",)
            raise
        return ()

    # processes
    def attach(self, path: str, pid: int) -> None:
        """Move a process, with all its threads, into the cgroup.

        The kernel stops all forks of the machine for that, which takes 7 to 11 ms when nobody has moved a
        process for the last 50 ms. A newborn that moves itself (`join`, v1) or is born inside
        (`open_for_clone`, v2) does not wait.

        Raises:
            SyscallError: no such process or cgroup.
        """
        for directory in self._dialect.directories(path):
            self._kernel.write_file(f"{directory}/cgroup.procs", str(pid))

    def join(self, path: str, kernel: Kernel | None = None) -> None:
        """Move the *calling* process, which has a single thread, into the cgroup: a newborn calls it for itself.

        It must still see the host's cgroup mounts, and be root of the host as far as files go.

        Args:
            kernel: the newborn's own door; ours when not given.
        """
        kernel = kernel or self._kernel
        for directory in self._dialect.directories(path):
            kernel.write_file(f"{directory}/{self._dialect.join_file}", "0")

    def open_for_clone(self, path: str) -> int:
        """A descriptor for clone3's CLONE_INTO_CGROUP, the caller's to close; -1 on v1, which cannot do it."""
        return self._dialect.open_for_clone(path)

    def pids(self, path: str) -> tuple[int, ...]:
        """Every process in the cgroup and those below it; empty when it does not exist."""
        return tuple(
            int(word)
            for directory in _tree(self._dialect.directory("cgroup", path))
            for word in read_or_empty(self._kernel, f"{directory}/cgroup.procs").split()
        )

    # freezing
    def request_freeze(self, path: str) -> None:
        """Ask the kernel to stop every process of the cgroup; done when `is_frozen` says so.

        Raises:
            Unsupported: no freezer is mounted.
        """
        self._order(path, self._dialect.freeze)

    def thaw(self, path: str) -> None:
        """Let them go on.

        Raises:
            Unsupported: no freezer is mounted.
        """
        self._order(path, self._dialect.thaw)

    def _order(self, path: str, write: CgroupWrite) -> None:
        if not self.features.freezer:
            raise Unsupported("this machine cannot pause processes: the freezer cgroup is not mounted")
        self._write(path, write)

    def is_frozen(self, path: str) -> bool:
        """Whether every process of the cgroup has stopped."""
        return self.features.freezer and self._dialect.is_frozen(path)

    def freeze(self, path: str, seconds: float = 2.0) -> None:
        """Stop every process and wait until they have stopped.

        Raises:
            DeadlineExceeded: one did not stop in time, as in an uninterruptible wait; all go on then.
            Unsupported: no freezer is mounted.
        """
        deadline = time.monotonic() + seconds
        pause = 0.0002
        self.request_freeze(path)
        while not self.is_frozen(path):
            if time.monotonic() > deadline:
                self.thaw(path)
                raise DeadlineExceeded(f"the processes of cgroup {path} did not freeze within {seconds:g} s")
            time.sleep(pause)  # v1 has nothing to wait on
            pause = min(pause * 2, 0.02)
            self.request_freeze(path)  # v1 may stick half-way when a process is born meanwhile: ask again

    # reading
    def stats(self, path: str) -> dict[str, Any]:
        """Resource use now, in the shape of the Remote API's stats, without networks and precpu."""
        return self._dialect.stats(path)

    def oom_kill_count(self, path: str) -> int:
        """How many processes the kernel has killed here for want of memory; 0 when there is no such cgroup."""
        if not self.features.memory:
            return 0
        file = f"{self._dialect.directory('memory', path)}/{self._dialect.oom_counter}"
        return flat(read_or_empty(self._kernel, file)).get("oom_kill", 0)

    def watch_oom(self, path: str) -> OomWatch | None:
        """An alarm for OOM kills, the caller's to close; None where the memory controller is missing.

        Raises:
            SyscallError: no such cgroup.
        """
        return self._dialect.watch_oom(path) if self.features.memory else None

    # taking away
    def try_delete(self, path: str, only_first: bool = False) -> bool:
        """Remove the cgroup and what is below it, without waiting; False while processes are left in it.

        Args:
            only_first: from the first of v1's trees. Who ended has left them all at once; who moved himself out of one
                may be in the others still.
        """
        directories = self._dialect.directories(path)
        left = [one for one in directories[: 1 if only_first else None] if not self._try_delete(one)]
        return not left

    def _try_delete(self, directory: str) -> bool:
        # Few containers make cgroups of their own: only when there must be some they are looked for.
        return self._rmdir(directory) or all(self._rmdir(nested) for nested in reversed(list(_tree(directory))))

    def prune(self, parent: str, prefix: str) -> None:
        """Remove the cgroups right below *parent* whose names begin so, and then *parent* itself, as far as nobody and
        nothing is in them."""
        for directory in self._dialect.directories(parent):
            for child in _children(directory) or ():
                if os.path.basename(child).startswith(prefix):
                    self._rmdir(child)
            self._rmdir(directory)

    def delete(self, path: str, seconds: float = 1.0) -> None:
        """Remove the cgroup and what is below it. One that does not exist is no error.

        A process that was just killed keeps its cgroup busy for a moment more, so this tries again for a while.

        Raises:
            DeadlineExceeded: processes are left in it.
        """
        deadline = time.monotonic() + seconds
        pause = 0.0005
        while not self.try_delete(path):
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"cgroup {path} still has processes after {seconds:g} s: {self.pids(path)}")
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def _rmdir(self, directory: str) -> bool:
        """Whether it is gone, as it may have been before; False while somebody or something is in it."""
        try:
            self._kernel.rmdir(directory)
        except SyscallError as error:
            if error.errno == errno.EBUSY:
                return False
            if error.errno not in GONE:
                raise
        return True


def parent_of(path: str) -> str:
    """The path of the cgroup right above."""
    return path.rpartition("/")[0]


def _tree(directory: str) -> Iterator[str]:
    """The directory and all below it, parents first; nothing when it does not exist."""
    children = _children(directory)
    if children is None:
        return
    yield directory
    for child in children:
        yield from _tree(child)


def _children(directory: str) -> list[str] | None:
    """The directories right below it; None when it does not exist."""
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        if error.errno in GONE:
            return None
        raise SyscallError("scandir", (directory,), error.errno or 0) from None
