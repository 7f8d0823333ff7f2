"""Extended attributes: the labels sewn into a file. Which of them travel in an archive, read and written.

Source: xattr(7), capabilities(7) "File capabilities", acl(5).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping

from mini_docker.archive.member import NO_ATTRIBUTES
from mini_docker.archive.whiteout import is_overlay_attribute

TRAVELLING = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
TRAVELLING_PREFIXES = ("user.", "trusted.")
"""The others belong to the machine (security.selinux) or to the file system (btrfs.compression)."""


def read_attributes(file: int | str | bytes) -> Mapping[str, bytes]:
    """The attributes of an open file, or of a path (a link itself, not its target) that may travel.

    A file system without attributes has none.
    """
    follow = isinstance(file, int)
    try:
        names = os.listxattr(file, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return NO_ATTRIBUTES
        raise
    if not names:
        return NO_ATTRIBUTES
    return {name: os.getxattr(file, name, follow_symlinks=follow) for name in sorted(names) if travels(name)}


def travels(name: str) -> bool:
    """Whether an attribute of that name belongs into an archive."""
    return (name in TRAVELLING or name.startswith(TRAVELLING_PREFIXES)) and not is_overlay_attribute(name)


def copy_directory_metadata(source: int, target: int) -> None:
    """Give the open directory *target* the owner, mode and travelling attributes of *source*."""
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name, value in read_attributes(source).items():
        os.setxattr(target, name, value)


def path_in(directory: int, name: bytes) -> bytes:
    """A path for calls that take no directory descriptor, as the attributes' do."""
    return b"/proc/self/fd/%d/%s" % (directory, name)
