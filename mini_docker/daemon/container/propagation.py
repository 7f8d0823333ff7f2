"""Whether a host folder lies on a mount that mounts can propagate from, or to: else the wish would be granted in vain.

Pure: /proc/self/mountinfo comes in as text. Source: mount_namespaces(7), "Shared subtrees"; proc_pid_mountinfo(5);
Docker's ``daemon/oci_linux.go`` (ensureShared, ensureSharedOrSlave), whose words the refusals are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mini_docker.daemon.container.mount_point import MountPoint
from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid

PRIVATE, SLAVE, SHARED = ("private", "rprivate"), ("slave", "rslave"), ("shared", "rshared")


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One mount of the host, as far as propagation goes.

    Attributes:
        path: where it is mounted.
        shared: mounts made in it show in its copies.
        slave: mounts made in what it was copied from show in it.
    """

    path: str
    shared: bool
    slave: bool


def parse_mountinfo(text: str) -> tuple[MountEntry, ...]:
    """The mounts, in the order in which they were made."""
    entries = []
    for line in text.splitlines():
        fields = line.split()
        tags = fields[6 : fields.index("-")]
        path = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        entries.append(MountEntry(path, _has(tags, "shared:"), _has(tags, "master:")))
    return tuple(entries)


def _has(tags: Iterable[str], beginning: str) -> bool:
    return any(tag.startswith(beginning) for tag in tags)


def mount_of(path: str, mounts: Iterable[MountEntry]) -> MountEntry:
    """The mount that *path* lies on: of those above it the deepest, and of several there the last."""
    above = [mount for mount in mounts if (path + "/").startswith(mount.path.rstrip("/") + "/")]
    return max(enumerate(above), key=lambda pair: (len(pair[1].path), pair[0]))[1]


def check_propagation(point: MountPoint, source: str, mounts: Iterable[MountEntry]) -> None:
    """Say no to a propagation that cannot be.

    Args:
        source: the mount point's, with all symbolic links followed.

    Raises:
        Invalid: in Docker's words.
    """
    if point.propagation not in SHARED + SLAVE:
        return
    mount = mount_of(source, mounts)
    if point.propagation in SHARED and not mount.shared:
        raise Invalid(f"path {source} is mounted on {mount.path} but it is not a shared mount")
    if point.propagation in SLAVE and not (mount.shared or mount.slave):
        raise Invalid(f"path {source} is mounted on {mount.path} but it is not a shared or slave mount")
