"""The aufs mount: branches grafted onto one another, as many as it takes. As data, and as the calls that make it.

The options of mount(2) must fit a page, which long paths fill after some forty branches (Docker's famous 42): those
that do not fit are appended one by one, each by a remount. The mount is then picked up, detached, as an overlay is on
an older kernel.

It knows nothing of layers and their ids, only of directories.

Source: aufs(5); Docker's daemon/graphdriver/aufs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.graphdriver.overlay_mount import detach_left_over
from mini_docker.errors import Unsupported
from mini_docker.linux.constants import AT_FDCWD, MNT_DETACH, MS_RDONLY, MS_REMOUNT, OPEN_TREE_CLONE
from mini_docker.linux.kernel import Kernel

MAX_BRANCHES = 127
"""CONFIG_AUFS_BRANCH_MAX_127, as distributions built it."""
PAGE_BYTES = 4096
_XINO = "/dev/shm/aufs.xino"  # noqa: S108  # aufs opens it, unlinks it and keeps it: every mount has one of its own
_SEPARATORS = set(":,=\\")


@dataclass(frozen=True, slots=True)
class AufsMount:
    """What is grafted on what.

    Attributes:
        lowers: directories that are read only, topmost first.
        upper: the directory that takes the writes; empty for a read-only mount.
        plink: names of one file below stay names of one file when it is copied up (pseudo-links). Only where
            `flush` can write them down before the mount goes.
    """

    lowers: tuple[str, ...]
    upper: str = ""
    plink: bool = False

    def branches(self) -> tuple[str, ...]:
        """Each branch with its permission: ``ro+wh`` is one whose whiteouts count."""
        return (*((f"{self.upper}=rw",) if self.upper else ()), *(f"{lower}=ro+wh" for lower in self.lowers))

    def steps(self, page_bytes: int = PAGE_BYTES) -> Iterator[str]:
        """The options of the mount, and then of each remount.

        Raises:
            Unsupported: more branches than aufs takes, or a path that its options cannot hold.
        """
        branches = self.branches()
        if len(branches) > MAX_BRANCHES:
            raise Unsupported(f"max depth exceeded: aufs takes {MAX_BRANCHES} branches, and this needs {len(branches)}")
        for path in (*self.lowers, self.upper):
            if _SEPARATORS & set(path):
                raise Unsupported(f"aufs cannot take the path {path}: it has a character that separates options")
        options = f",dio,xino={_XINO},{'plink' if self.plink else 'noplink'}"
        # One byte of the page is the string's end.
        room = page_bytes - 1 - len(b"br:") - len(options.encode())
        fitting, used = 0, 0
        for branch in branches:
            used += len(branch.encode()) + (1 if fitting else 0)
            if used > room:
                break
            fitting += 1
        yield f"br:{':'.join(branches[:fitting])}{options}"
        for branch in branches[fitting:]:
            yield f"append:{branch}"


def mount_and_detach(kernel: Kernel, mount: AufsMount, place: Path) -> int:
    """Make the mount at the empty directory *place*, pick a detached copy up, and take it off."""
    read_only = 0 if mount.upper else MS_RDONLY
    first, *appended = mount.steps()
    kernel.mount("none", str(place), "aufs", read_only, first)
    try:
        for options in appended:
            kernel.mount("none", str(place), "aufs", read_only | MS_REMOUNT, options)
        return kernel.open_tree(AT_FDCWD, str(place), OPEN_TREE_CLONE)
    finally:
        kernel.umount(str(place), MNT_DETACH)


def flush_command(place: Path) -> tuple[str, ...]:
    """What writes pseudo-links down as hard links of the writable branch: auplink(8) needs a path in a mount table."""
    return ("auplink", str(place), "flush")


__all__ = ["MAX_BRANCHES", "PAGE_BYTES", "AufsMount", "detach_left_over", "flush_command", "mount_and_detach"]
