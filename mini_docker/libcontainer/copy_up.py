"""Copy-up: a new tmpfs begins with what it covers, as podman's ``--tmpfs`` and Docker's volumes do.

Called inside the container, between the pivot and the mount: every path is the container's own. It
follows no symbolic link and copies what is a folder, a regular file or a link; nothing else belongs
into a fresh tmpfs.
"""

from __future__ import annotations

import os
import stat

CHUNK_BYTES = 1 << 20


def copy_up(source: str, target: int) -> None:
    """Copy the tree at *source* into the directory that the descriptor *target* stands for.

    Raises:
        OSError: the new file system is too small, or a file cannot be read.
    """
    theirs = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        # A mount's own descriptor only stands for a path; owners and modes need one that is open.
        ours = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=target)
        try:
            _copy_folder(theirs, ours)
        finally:
            os.close(ours)
    finally:
        os.close(theirs)


def _copy_folder(source: int, target: int) -> None:
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISDIR(status.st_mode):
            os.mkdir(name, dir_fd=target)
            _copy_inside(name, source, target, os.O_RDONLY | os.O_DIRECTORY)
        elif stat.S_ISREG(status.st_mode):
            _copy_inside(name, source, target, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    _copy_attributes(os.fstat(source), target)


def _copy_inside(name: str, source: int, target: int, flags: int) -> None:
    """Copy one folder or file; *flags* open its place in the target."""
    folder = flags & os.O_DIRECTORY
    theirs = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | folder, dir_fd=source)
    try:
        ours = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            if folder:
                _copy_folder(theirs, ours)
            else:
                while os.sendfile(ours, theirs, None, CHUNK_BYTES):
                    pass
                _copy_attributes(os.fstat(theirs), ours)
        finally:
            os.close(ours)
    finally:
        os.close(theirs)


def _copy_attributes(status: os.stat_result, target: int) -> None:
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
