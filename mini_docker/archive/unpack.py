"""Unpacking: the removal men carry an archive's members into a tree, and trust no label on the boxes.

However hostile the archive, nothing outside the tree is touched: names are cleaned and may not climb out;
the way to a directory is opened with the tree's root as ``/`` (see `directory_cache`); the last part of a
name is never followed. Whiteouts are carried out, or written in the spelling of an overlay or of aufs.

It knows nothing of images, drivers or compression: the stream is plain tar.

Source: OCI image spec, "Applying Changesets"; tar(5).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from mini_docker.archive import member as kinds
from mini_docker.archive import removal, whiteout
from mini_docker.archive.attributes import path_in, read_attributes
from mini_docker.archive.directory_cache import DirectoryCache, opened
from mini_docker.archive.member import Member, shown
from mini_docker.archive.ownership import give_to_root, to_host
from mini_docker.archive.tar_reader import TarReader
from mini_docker.archive.whiteout import WhiteoutForm
from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid, MiniDockerError, Unsupported
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping
from mini_docker.linux.kernel import Kernel

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEVICE_TYPES = {kinds.CHARACTER_DEVICE: stat.S_IFCHR, kinds.BLOCK_DEVICE: stat.S_IFBLK, kinds.FIFO: stat.S_IFIFO}
_IMPLIED_MODE = 0o755
_FAULTS_OF_THE_ARCHIVE = {
    errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG,
    errno.EINVAL, errno.EXDEV, errno.EFBIG, errno.EMLINK, errno.ERANGE, errno.E2BIG, errno.EBUSY, errno.EOVERFLOW,
}  # fmt: skip
"""Errnos that a name, a kind or a number in the archive causes. Others (ENOSPC, EIO) are the machine's."""


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """Where unpacking gives up, so that a small archive cannot fill the machine.

    Attributes:
        content_bytes: of file content in all, holes included.
        members: how many.
    """

    content_bytes: int = 1 << 40
    members: int = 10_000_000


def unpack(
    stream: BinaryIO,
    root: int | str | Path,
    kernel: Kernel,
    *,
    whiteouts: WhiteoutForm = WhiteoutForm.DELETE,
    limits: UnpackLimits = UnpackLimits(),
    on_implied: Callable[[bytes], None] | None = None,
    ids: IdMapping = NO_MAPPING,
) -> int:
    """Unpack a tar stream into a directory, over what is there.

    Args:
        stream: an uncompressed tar; read to its end.
        root: the directory, or a descriptor of it.
        whiteouts: what ``.wh.`` files mean here.
        on_implied: is told the path of each directory that had to be made though no member names it (yet); at the
            end ``b""``, if no member names the root.
        ids: what the owners in the archive are on the host.

    Returns:
        bytes of file content, hard links counted once.

    Raises:
        Invalid: the archive is truncated, corrupt, hostile or beyond the limits; the message names the
            member. What was unpacked so far stays.
        Unsupported: the file system cannot keep an extended attribute.
    """
    with opened(root) as descriptor, DirectoryCache(kernel, descriptor, follow_links=True) as tree:
        return _Unpacking(TarReader(stream), tree, whiteouts, limits, on_implied, ids).run()


def clean_name(name: bytes) -> bytes:
    """A member's name as a path from the tree's root: without ``/`` at its ends, ``.`` and ``..``.

    Raises:
        Invalid: it climbs out of the tree, or holds a NUL byte.
    """
    if b"\0" in name:
        raise Invalid(f"the archive has a member with a NUL byte in its name: {shown(name)}")
    if b"." not in name and b"//" not in name:
        return name.strip(b"/")
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise Invalid(f"the archive has a member that leaves it: {shown(name)}")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


class _Unpacking:
    """One archive's way into one tree."""

    def __init__(
        self,
        reader: TarReader,
        tree: DirectoryCache,
        whiteouts: WhiteoutForm,
        limits: UnpackLimits,
        on_implied: Callable[[bytes], None] | None,
        ids: IdMapping,
    ) -> None:
        self._reader = reader
        self._tree = tree
        self._form = whiteouts
        self._limits = limits
        self._on_implied = on_implied
        self._ids = ids
        self._made: set[bytes] = set()  # paths that this archive put there: whiteouts spare them
        self._directory_times: dict[bytes, int] = {}
        self._content_bytes = 0

    def run(self) -> int:
        for count, member in enumerate(self._reader, 1):
            if count > self._limits.members:
                raise Invalid(f"the archive has more than {self._limits.members} members")
            try:
                self._place(to_host(member, self._ids))
            except OSError as error:
                raise _explained(member, error) from error
            except (OverflowError, ValueError) as error:
                raise Invalid(f"the archive's member {member.shown_name} has a number out of range") from error
        self._set_directory_times()
        if self._on_implied and b"" not in self._directory_times:
            self._on_implied(b"")
        return self._content_bytes

    def _place(self, member: Member) -> None:
        path = clean_name(member.name)
        parent, _, name = path.rpartition(b"/")
        if name.startswith(whiteout.PREFIX) and self._form is not WhiteoutForm.LITERAL:
            self._white_out(member, parent, name)
            return
        if not path:
            if member.kind != kinds.DIRECTORY:
                raise Invalid(f"the archive's member {member.shown_name} would replace the root directory itself")
            _dress_directory(self._tree.open(b""), member, stood_before=True)
            self._directory_times[b""] = member.mtime_ns
            return
        directory = self._parent(parent)
        self._claim(path, parent)
        was_marked = self._form is WhiteoutForm.AUFS and _unmark(directory, name)
        kind = member.kind
        if kind == kinds.REGULAR:
            self._place_file(directory, name, member)
        elif kind == kinds.DIRECTORY:
            self._place_directory(directory, name, member, path)
            if was_marked:
                self._hide_below(directory, name)
        elif kind == kinds.HARD_LINK:
            self._place_hard_link(directory, name, member, path)
        else:
            self._place_special(directory, name, member)

    # Each kind of member. Making is tried first, and clears the place only when it is taken: in a new
    # layer it never is, and no call is lost.

    def _place_file(self, directory: int, name: bytes, member: Member) -> None:
        self._content_bytes += member.size
        if self._content_bytes > self._limits.content_bytes:
            raise Invalid(
                f"the archive's content passes the limit of {self._limits.content_bytes} bytes at {member.shown_name}"
            )
        try:
            file = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        except FileExistsError:
            self._clear(directory, name)
            file = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            if member.segments is None:
                for chunk in self._reader.content():
                    _write(file, chunk)
            else:
                self._write_segments(file, member)
            # chown first, as it clears setuid bits and capabilities; times last, as all else changes them.
            os.fchown(file, member.uid, member.gid)
            os.fchmod(file, member.mode)
            if member.attributes:
                _set_attributes(file, member)
            os.utime(file, ns=(member.mtime_ns, member.mtime_ns))
        finally:
            os.close(file)

    def _write_segments(self, file: int, member: Member) -> None:
        """Write each stretch of data where it belongs; holes stay holes."""
        os.ftruncate(file, member.size)
        segments = iter(member.segments or ())
        left = 0
        for chunk in self._reader.content():
            rest = memoryview(chunk)
            while rest:
                while not left:
                    offset, left = next(segments)
                    os.lseek(file, offset, os.SEEK_SET)
                piece = rest[:left]
                _write(file, piece)
                left -= len(piece)
                rest = rest[len(piece) :]

    def _place_directory(self, directory: int, name: bytes, member: Member, path: bytes) -> None:
        stood_before = False
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            stood_before = stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode)
            if not stood_before:
                self._clear(directory, name)
                os.mkdir(name, 0o700, dir_fd=directory)
                self._hide_below(directory, name)
        made = os.open(name, _DIRECTORY, dir_fd=directory)
        try:
            _dress_directory(made, member, stood_before=stood_before)
        finally:
            os.close(made)
        self._directory_times[path] = member.mtime_ns

    def _place_hard_link(self, directory: int, name: bytes, member: Member, path: bytes) -> None:
        target = clean_name(member.link)
        if target == path:
            return  # a name linked to itself: it is there, or the archive is wrong, and either way nothing changes
        target_parent, _, target_name = target.rpartition(b"/")
        source = self._tree.open(target_parent)
        status = os.lstat(target_name or b".", dir_fd=source)
        if stat.S_ISDIR(status.st_mode):
            raise Invalid(f"the archive's member {member.shown_name} is a hard link to a directory")
        if self._form is WhiteoutForm.OVERLAY and whiteout.is_overlay_whiteout(status):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            os.link(target_name, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        except FileExistsError:
            self._clear(directory, name)
            os.link(
                target_name, name, src_dir_fd=self._tree.open(target_parent), dst_dir_fd=directory,
                follow_symlinks=False,
            )  # fmt: skip

    def _place_special(self, directory: int, name: bytes, member: Member) -> None:
        """Symlinks, devices and fifos: what has no descriptor to hold it by."""
        if member.kind == kinds.CHARACTER_DEVICE and member.device == (0, 0):
            raise Invalid(f"the archive's member {member.shown_name} is a device 0/0, an overlay's deletion mark")
        try:
            self._make_special(directory, name, member)
        except FileExistsError:
            self._clear(directory, name)
            self._make_special(directory, name, member)
        os.chown(name, member.uid, member.gid, dir_fd=directory, follow_symlinks=False)
        if member.kind != kinds.SYMLINK:
            os.chmod(name, member.mode, dir_fd=directory)  # just made by us, and no link
        if member.attributes:
            _set_attributes(path_in(directory, name), member)
        os.utime(name, ns=(member.mtime_ns, member.mtime_ns), dir_fd=directory, follow_symlinks=False)

    def _make_special(self, directory: int, name: bytes, member: Member) -> None:
        if member.kind == kinds.SYMLINK:
            os.symlink(member.link, name, dir_fd=directory)
        else:
            os.mknod(name, _DEVICE_TYPES[member.kind] | 0o600, os.makedev(*member.device), dir_fd=directory)

    # Whiteouts.

    def _white_out(self, member: Member, parent: bytes, mark: bytes) -> None:
        if mark == whiteout.OPAQUE:
            self._make_opaque(self._parent(parent), parent)
            return
        if mark.startswith(whiteout.META_PREFIX):
            return  # aufs' own book-keeping (.wh..wh.plnk, .wh..wh.orph): no mark, and no file of the image
        name = mark.removeprefix(whiteout.PREFIX)
        if name in (b"", b".", b".."):
            raise Invalid(f"the archive has a whiteout that leaves its directory: {member.shown_name}")
        directory = self._parent(parent)
        path = parent + b"/" + name if parent else name
        if path in self._made and (status := self._tree.lstat(path)) is not None:
            # A mark speaks of the layers below alone: what this layer has there itself stays.
            if stat.S_ISDIR(status.st_mode):
                self._make_opaque(self._tree.open(path), path)
            return
        try:
            self._clear(directory, name)
        except FileNotFoundError:
            pass  # nothing below had it
        if self._form is WhiteoutForm.OVERLAY:
            os.mknod(name, stat.S_IFCHR | 0o600, os.makedev(0, 0), dir_fd=directory)
        elif self._form is WhiteoutForm.AUFS:
            _mark(directory, mark)

    def _make_opaque(self, directory: int, path: bytes) -> None:
        if self._form is WhiteoutForm.OVERLAY:
            os.setxattr(directory, whiteout.OVERLAY_OPAQUE, whiteout.OVERLAY_OPAQUE_VALUE)
            return
        if self._form is WhiteoutForm.AUFS:
            _mark(directory, whiteout.OPAQUE)
            return
        for child in self._tree.names(path):
            child_path = path + b"/" + child if path else child
            if child_path not in self._made:
                self._clear(self._tree.open(path), child)

    def _hide_below(self, directory: int, name: bytes) -> None:
        """A new directory stands where something else (a whiteout?) did: nothing below may shine through."""
        if self._form is WhiteoutForm.OVERLAY:
            os.setxattr(path_in(directory, name), whiteout.OVERLAY_OPAQUE, whiteout.OVERLAY_OPAQUE_VALUE)
        elif self._form is WhiteoutForm.AUFS:
            made = os.open(name, _DIRECTORY, dir_fd=directory)
            try:
                _mark(made, whiteout.OPAQUE)
            finally:
                os.close(made)

    # Ways and places.

    def _claim(self, path: bytes, parent: bytes) -> None:
        """Note that this archive has something at *path*, and so in all directories above."""
        self._made.add(path)
        while parent and parent not in self._made:
            self._made.add(parent)
            parent = parent.rpartition(b"/")[0]

    def _parent(self, path: bytes) -> int:
        """The descriptor of a member's directory, which is made if no member brought it."""
        try:
            return self._tree.open(path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        directory = self._tree.open(b"")
        parts = path.split(b"/")
        for depth in range(1, len(parts) + 1):
            here = b"/".join(parts[:depth])
            try:
                directory = self._tree.open(here)
            except (FileNotFoundError, NotADirectoryError):
                self._make_implied(directory, parts[depth - 1], here)
                directory = self._tree.open(here)
        return directory

    def _make_implied(self, directory: int, name: bytes, path: bytes) -> None:
        status = self._tree.lstat(path)
        if status is not None:
            # A file of the layers below (or a mark that deletes it) gives way to this layer's directory.
            if stat.S_ISLNK(status.st_mode) or path in self._made:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            os.unlink(name, dir_fd=directory)
        was_marked = self._form is WhiteoutForm.AUFS and _unmark(directory, name)
        os.mkdir(name, _IMPLIED_MODE, dir_fd=directory)
        os.chmod(name, _IMPLIED_MODE, dir_fd=directory)  # whatever the umask is
        give_to_root(name, self._ids, dir_fd=directory)
        if status is not None or was_marked:
            self._hide_below(directory, name)
        elif self._on_implied:
            self._on_implied(path)

    def _clear(self, directory: int, name: bytes) -> None:
        """Remove what stands at a place. Ways that led through it are forgotten."""
        status = os.lstat(name, dir_fd=directory)
        removal.remove(name, dir_fd=directory)
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            self._tree.forget(keep=directory)

    def _set_directory_times(self) -> None:
        """Last of all, as each file placed in a directory changed its time."""
        for path, time_ns in self._directory_times.items():
            try:
                os.utime(self._tree.open(path), ns=(time_ns, time_ns))
            except (FileNotFoundError, NotADirectoryError):
                continue  # a later member replaced it
            except OverflowError as error:
                raise Invalid(f"the archive's member {shown(path)} has a number out of range") from error


def _mark(directory: int, mark: bytes) -> None:
    """Put an aufs branch's mark, an empty file, into a directory, if it is not there."""
    os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o444, dir_fd=directory))


def _unmark(directory: int, name: bytes) -> bool:
    """Take away the mark that deletes *name* from an aufs branch; whether there was one."""
    try:
        os.unlink(whiteout.PREFIX + name, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):
            raise
        return False
    return True


def _write(file: int, data: bytes | memoryview) -> None:
    written = os.write(file, data)
    while written < len(data):
        data = data[written:]
        written = os.write(file, data)


def _dress_directory(directory: int, member: Member, *, stood_before: bool) -> None:
    """Give a directory the member's owner, mode and attributes, and none that it had from below."""
    os.fchown(directory, member.uid, member.gid)
    os.fchmod(directory, member.mode)
    if stood_before:
        for name in read_attributes(directory):
            if name not in member.attributes:
                os.removexattr(directory, name)
    _set_attributes(directory, member)


def _set_attributes(file: int | bytes, member: Member) -> None:
    for name, value in member.attributes.items():
        if whiteout.is_overlay_attribute(name):
            raise Invalid(f"the archive's member {member.shown_name} has {name}, which only an overlay may set")
        try:
            os.setxattr(file, name, value, follow_symlinks=isinstance(file, int))
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            raise Unsupported(
                f"the file system cannot keep the extended attribute {name} of {member.shown_name}"
            ) from error


def _explained(member: Member, error: OSError) -> MiniDockerError:
    reason = os.strerror(error.errno or 0).lower()
    if error.errno in _FAULTS_OF_THE_ARCHIVE:
        return Invalid(f"the archive's member {member.shown_name} cannot be placed: {reason}")
    return MiniDockerError(f"cannot unpack the archive's member {member.shown_name}: {reason}")
