"""The words of fstab, sorted: which belong to the mount, which to its propagation, which to the file system.

``ro`` is an attribute of one mount, ``rro`` of a whole tree, ``size=64k`` is tmpfs's own business: classic
mount(2) takes all of them in one call, the newer calls want each in its place. Pure.

Source: OCI runtime specification 1.2, config.md, "Linux mount options"; mount(8), mount_setattr(2).
"""

from __future__ import annotations

import functools

from mini_docker.dataclasses import dataclass
from mini_docker.libcontainer.config import Mount
from mini_docker.linux import constants as c

ATTRIBUTES = {
    "ro": c.MOUNT_ATTR_RDONLY, "nosuid": c.MOUNT_ATTR_NOSUID, "nodev": c.MOUNT_ATTR_NODEV,
    "noexec": c.MOUNT_ATTR_NOEXEC, "noatime": c.MOUNT_ATTR_NOATIME, "strictatime": c.MOUNT_ATTR_STRICTATIME,
    "nodiratime": c.MOUNT_ATTR_NODIRATIME, "nosymfollow": c.MOUNT_ATTR_NOSYMFOLLOW,
}  # fmt: skip
"""Words that set an attribute."""

CLEARED = {
    "rw": c.MOUNT_ATTR_RDONLY, "suid": c.MOUNT_ATTR_NOSUID, "dev": c.MOUNT_ATTR_NODEV, "exec": c.MOUNT_ATTR_NOEXEC,
    "atime": c.MOUNT_ATTR_NOATIME, "nostrictatime": c.MOUNT_ATTR_STRICTATIME, "norelatime": 0,
    "diratime": c.MOUNT_ATTR_NODIRATIME, "symfollow": c.MOUNT_ATTR_NOSYMFOLLOW, "relatime": c.MOUNT_ATTR__ATIME,
}  # fmt: skip
"""Words that take one back. ``relatime`` is what is left when no other rule for access times is set."""

PROPAGATION = {
    "private": c.MS_PRIVATE, "rprivate": c.MS_PRIVATE | c.MS_REC, "slave": c.MS_SLAVE, "rslave": c.MS_SLAVE | c.MS_REC,
    "shared": c.MS_SHARED, "rshared": c.MS_SHARED | c.MS_REC,
    "unbindable": c.MS_UNBINDABLE, "runbindable": c.MS_UNBINDABLE | c.MS_REC,
}  # fmt: skip

_SAYS_NOTHING = frozenset({"defaults", "bind", "rbind", "loud", "silent", "remount", "iversion", "noiversion"})
"""Words without an effect of their own here: the default, said aloud, or what other words decide."""

_SUPERBLOCK = frozenset({"sync", "async", "dirsync", "mand", "nomand", "lazytime", "nolazytime"})
"""Words that the kernel takes as flags of a file system instance; a bind mount has no say in them."""

COPY_UP = "tmpcopyup"


@dataclass(frozen=True, slots=True)
class Changes:
    """Attributes to set and to take away, MOUNT_ATTR_* each."""

    set: int = 0
    clear: int = 0

    def __bool__(self) -> bool:
        return bool(self.set or self.clear)

    def with_word(self, word: str) -> Changes:
        """These changes, and the one that *word* asks for: the later word wins."""
        if word in ATTRIBUTES:
            attribute = ATTRIBUTES[word]
            # The rules for access times exclude each other, and are one field to the kernel.
            excluded = c.MOUNT_ATTR__ATIME if attribute & c.MOUNT_ATTR__ATIME else attribute
            return Changes(self.set & ~excluded | attribute, self.clear & ~excluded)
        attribute = CLEARED[word]
        return Changes(self.set & ~attribute, self.clear | attribute)

    def for_setattr(self) -> tuple[int, int]:
        """(set, clear) as mount_setattr(2) wants them: access times are cleared as a whole before they are set."""
        if (self.set | self.clear) & c.MOUNT_ATTR__ATIME:
            return self.set, self.clear | c.MOUNT_ATTR__ATIME
        return self.set, self.clear


NO_CHANGES = Changes()


@dataclass(frozen=True, slots=True)
class MountOptions:
    """A mount's options, sorted.

    Attributes:
        changes: to the mount itself.
        tree_changes: to it and every mount below (``rro`` and its kind).
        propagation: MS_PRIVATE and so on; 0 says nothing.
        data: (key, value) of the file system's own options; a value of "" is a flag.
        recursive: ``rbind``.
        copy_up: fill the new file system with what it covers (``tmpcopyup``).
    """

    changes: Changes = NO_CHANGES
    tree_changes: Changes = NO_CHANGES
    propagation: int = 0
    data: tuple[tuple[str, str], ...] = ()
    recursive: bool = False
    copy_up: bool = False


def is_bind(mount: Mount) -> bool:
    """Whether a mount shows files that are mounted already."""
    return mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options


@functools.lru_cache(128)  # a cgroup v1 container has nine mounts with the same words
def sort_options(options: tuple[str, ...], bind: bool) -> MountOptions:
    """Each word in its place; what no table knows is the file system's own.

    Args:
        bind: a bind mount, where ``sync`` and its kind have no meaning and are passed over.
    """
    changes, tree_changes = NO_CHANGES, NO_CHANGES
    propagation = 0
    recursive = copy_up = False
    data: list[tuple[str, str]] = []
    for word in options:
        if word in ATTRIBUTES or word in CLEARED:
            changes = changes.with_word(word)
        elif word in PROPAGATION:
            propagation = PROPAGATION[word]
        elif word[:1] == "r" and (word[1:] in ATTRIBUTES or word[1:] in CLEARED):
            tree_changes = tree_changes.with_word(word[1:])
        elif word == COPY_UP:
            copy_up = True
        elif word in _SAYS_NOTHING or (bind and word in _SUPERBLOCK):
            recursive = recursive or word == "rbind"
        else:
            key, _, value = word.partition("=")
            data.append((key, value))
    return MountOptions(changes, tree_changes, propagation, tuple(data), recursive, copy_up)
