"""What the two dialects of cgroups, v1 and v2, have different words for.

The contract between the manager, which knows what is to be done, and `dialect_v1` and `dialect_v2`, which
know how this machine's kernel is told. Nothing but the contract stands here.
"""

from __future__ import annotations

from typing import Any, Protocol

from mini_docker.errors import Invalid
from mini_docker.libcontainer.cgroups.oom import OomWatch
from mini_docker.libcontainer.cgroups.plan import CgroupWrite
from mini_docker.libcontainer.config import DeviceRule, Resources


class CgroupDialect(Protocol):
    """How one version of cgroups is spoken. Paths are below the root of a hierarchy: ``docker/<id>``.

    *Fixed*: ``freeze`` and ``thaw``, the orders to stop and go on; ``oom_counter``, the memory controller's file
    that counts kills; ``join_file``, to which a newborn writes to move itself.
    """

    freeze: CgroupWrite
    thaw: CgroupWrite
    oom_counter: str
    join_file: str

    def directory(self, controller: str, path: str) -> str:
        """Where the cgroup's files of that controller are; ``cgroup`` stands for where its processes are listed."""

    def directories(self, path: str) -> tuple[str, ...]:
        """All directories of the cgroup."""

    def make(self, path: str) -> None:
        """Make them, and what is missing above them."""

    def plan(self, resources: Resources, current_memory_bytes: int | None) -> tuple[CgroupWrite, ...]:
        """The writes for *resources*; the current memory limit is None for a new cgroup."""

    def memory_limit(self, path: str) -> int | None:
        """The memory limit that holds now, if the order of writes depends on it."""

    def guard_devices(self, path: str, rules: tuple[DeviceRule, ...]) -> None:
        """Enforce the device list, where writes do not do it."""

    def open_for_clone(self, path: str) -> int:
        """A descriptor for CLONE_INTO_CGROUP, or -1."""

    def is_frozen(self, path: str) -> bool:
        """Whether every process has stopped."""

    def stats(self, path: str) -> dict[str, Any]:
        """Resource use in the Remote API's shape."""

    def watch_oom(self, path: str) -> OomWatch:
        """An alarm for OOM kills."""


def checked_path(path: str) -> str:
    """The path without slashes around it.

    Raises:
        Invalid: it is empty or leaves the root: deleting it would hit what is not ours.
    """
    parts = [part for part in path.split("/") if part]
    if not parts or any(part in (".", "..") for part in parts):
        raise Invalid(f"invalid cgroup path {path!r}: it must name a cgroup below the root")
    return "/".join(parts)
