"""``cp`` and ``export``: files out of a container and into one, as tar streams.

What is copied where follows the rules of cp -a: a directory that exists takes the thing in; a name
that does not exist becomes the thing's new name; a source that ends in ``/.`` stands for its contents.
Source: docs.docker.com/reference/cli/docker/container/cp.
"""

from __future__ import annotations

import os
import stat
import sys
import tarfile

from mini_docker.commands.failure import CommandFailed
from mini_docker.commands.images import write_file
from mini_docker.commands.options import STRING, SWITCH, Command, Flag
from mini_docker.http import quick_json
from mini_docker.http.client import ErrorResponse
from mini_docker.units import human_size

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options

CHUNK = 256 * 1024
GO_DIRECTORY, GO_SYMLINK = 1 << 31, 1 << 27
"""Bits of a Go FileMode (package io/fs), in which the daemon tells a path's type."""


def split_place(word: str) -> tuple[str, str]:
    """``container:path`` as (container, path); a local path, or ``-``, has the container ``""``."""
    if word.startswith(("/", ".")) or ":" not in word:
        return "", word
    container, _, path = word.partition(":")
    return container, path


def cp(client: Client, options: Options) -> int:
    """``cp``: between here and a container."""
    (from_container, source), (to_container, target) = map(split_place, options.args)
    if from_container and to_container:
        raise CommandFailed("copying between containers is not supported")
    if from_container:
        size = _copy_out(client, from_container, source, target, options["follow-link"])
        where = target
    elif to_container:
        size = _copy_in(client, to_container, source, target, options)
        where = f"{to_container}:{target}"
    else:
        raise CommandFailed("must specify at least one container source")
    if sys.stderr.isatty() and not options["quiet"] and "-" not in (source, target):
        print(f"Successfully copied {human_size(size)} to {where}", file=sys.stderr)
    return 0


# -- out of a container ---------------------------------------------------------------------------


def _copy_out(client: Client, container: str, source: str, target: str, follow: bool) -> int:
    if follow:
        found = _stat(client, container, source)
        if found is not None and found["mode"] & GO_SYMLINK:
            source = os.path.join(os.path.dirname(source), found["linkTarget"])
    response = client.open("GET", f"/containers/{container}/archive", {"path": source})
    if target == "-":
        write_file(response.pieces(), "")
        return 0
    contents = source.endswith(("/.",)) or source == "."
    counted = _Counted(response.pieces())
    with tarfile.open(fileobj=counted, mode="r|") as tar:  # type: ignore[call-overload]  # it only reads
        extract(tar, *_destination(target, contents))
    return counted.size


def _destination(target: str, contents: bool) -> tuple[str, str | None]:
    """(directory to extract into, new name of the archive's root or None to keep it)."""
    if os.path.isdir(target):
        return target, "." if contents else None
    parent = os.path.dirname(target.rstrip("/")) or "."
    if not os.path.isdir(parent):
        raise CommandFailed(f"invalid output path: directory {os.path.abspath(parent)} does not exist")
    if target.endswith("/") and not contents:
        raise CommandFailed(f"no such directory: {target}")
    return parent, os.path.basename(target.rstrip("/"))


def extract(tar: tarfile.TarFile, folder: str, root: str | None) -> None:
    """Extract *tar* into *folder*, its first path component renamed to *root* unless that is None.

    A container is a stranger: no member may lead out of *folder*, neither by ``..`` nor through a link that
    an earlier member made.

    Raises:
        CommandFailed: one tries.
    """
    base = os.path.realpath(folder)
    for member in tar:
        first, _, rest = member.name.lstrip("/").partition("/")
        name = os.path.normpath(os.path.join(first if root is None else root, rest))
        if name == ".." or name.startswith("../") or os.path.isabs(name):
            raise CommandFailed(f"the archive holds a path outside of itself: {member.name}")
        inside = os.path.realpath(os.path.dirname(os.path.join(base, name)))
        if inside != base and not inside.startswith(base.rstrip("/") + "/"):
            raise CommandFailed(f"the archive leads through a link out of {folder}: {member.name}")
        if member.islnk():
            link_first, _, link_rest = member.linkname.lstrip("/").partition("/")
            member.linkname = os.path.normpath(os.path.join(link_first if root is None else root, link_rest))
            at = os.path.realpath(os.path.join(base, member.linkname))
            if not at.startswith(base.rstrip("/") + "/"):
                raise CommandFailed(f"the archive links to a path outside of itself: {member.linkname}")
        place = os.path.join(base, name)
        if not member.isdir() and os.path.lexists(place) and (os.path.islink(place) or not os.path.isdir(place)):
            os.unlink(place)
        member.name = name
        tar.extract(member, base, numeric_owner=True, set_attrs=not member.issym())


class _Counted:
    """Pieces as a file to read from; counts what went through."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""
        self.size = 0

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        self.size += len(data)
        return data


# -- into a container -----------------------------------------------------------------------------


def _copy_in(client: Client, container: str, source: str, target: str, options: Options) -> int:
    query: dict[str, object] = {"noOverwriteDirNonDir": "true", "copyUIDGID": "true" if options["archive"] else None}
    path = f"/containers/{container}/archive"
    found = _stat(client, container, target)
    if found is not None and found["mode"] & GO_SYMLINK:
        # The thing goes where the link leads, as with cp.
        target = os.path.join(os.path.dirname(target), found["linkTarget"])
        found = _stat(client, container, target)
    is_directory = found is not None and bool(found["mode"] & GO_DIRECTORY)
    headers = {"Content-Type": "application/x-tar"}
    if source == "-":
        if not is_directory:
            raise CommandFailed(f'destination "{container}:{target}" must be a directory')
        body: Iterable[bytes] = iter(lambda: os.read(0, CHUNK), b"")
        client.open("PUT", path, query | {"path": target}, headers, body)
        return 0
    if not os.path.lexists(source):
        raise CommandFailed(f"lstat {os.path.abspath(source)}: no such file or directory")
    contents = source.endswith("/.") or source == "."
    local = os.path.realpath(source) if options["follow-link"] or contents else os.path.abspath(source)
    if is_directory:
        folder, root = target, "." if contents else os.path.basename(local)
    else:
        if target.endswith("/") and not os.path.isdir(local):
            raise CommandFailed(f"no such directory: {container}:{target}")
        if found is not None and os.path.isdir(local):
            raise CommandFailed("cannot copy directory to a file")
        folder, root = os.path.dirname(target.rstrip("/")) or "/", os.path.basename(target.rstrip("/"))
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in pack(local, root):
            size += len(piece)
            yield piece

    client.open("PUT", path, query | {"path": folder}, headers, counted())
    return size


def _stat(client: Client, container: str, path: str) -> dict[str, Any] | None:
    """What the daemon says of a path in the container; None when there is no such path."""
    from base64 import b64decode

    try:
        response = client.open("HEAD", f"/containers/{container}/archive", {"path": path})
    except ErrorResponse as error:
        if error.status == 404:
            # A missing container answers the same, without a body: ask for it by name to tell the two apart.
            client.get(f"/containers/{container}/json")
            return None
        raise
    found: dict[str, Any] = quick_json.loads(b64decode(response.headers["x-docker-container-path-stat"]))
    return found


def pack(path: str, root: str) -> Iterator[bytes]:
    """The tar stream of *path* (a file, link or tree), named *root* in it; nothing is kept in memory.

    Source: POSIX.1-2001 pax format, through `tarfile.TarInfo.tobuf`.
    """
    seen: dict[tuple[int, int], str] = {}
    for place, name in _walk(path, root):
        info = _info(place, name, seen)
        yield info.tobuf(tarfile.PAX_FORMAT)
        if info.isreg():
            left = info.size
            with open(place, "rb") as file:
                while left and (piece := file.read(min(CHUNK, left))):
                    left -= len(piece)
                    yield piece
            if left:
                raise CommandFailed(f"{place} became shorter while it was read")
            yield b"\0" * (-info.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _walk(path: str, root: str) -> Iterator[tuple[str, str]]:
    """Every (path, name in the archive), folders before what is in them; sockets can't be archived."""
    mode = os.lstat(path).st_mode
    if stat.S_ISSOCK(mode):
        return
    yield path, root
    if stat.S_ISDIR(mode):
        for entry in sorted(os.listdir(path)):
            yield from _walk(os.path.join(path, entry), f"{root}/{entry}")


def _info(place: str, name: str, seen: dict[tuple[int, int], str]) -> tarfile.TarInfo:
    status = os.lstat(place)
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid, info.mtime = (
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime,
    )
    key = status.st_dev, status.st_ino
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(place)
    elif stat.S_ISFIFO(status.st_mode):
        info.type = tarfile.FIFOTYPE
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        info.type = tarfile.CHRTYPE if stat.S_ISCHR(status.st_mode) else tarfile.BLKTYPE
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    elif status.st_nlink > 1 and key in seen:
        info.type, info.linkname = tarfile.LNKTYPE, seen[key]
    else:
        seen[key] = name
        info.size = status.st_size
    return info


def export(client: Client, options: Options) -> int:
    """``export``: the container's whole file system as one tar file."""
    if not options["output"] and os.isatty(1):
        raise CommandFailed("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    write_file(client.open("GET", f"/containers/{options.args[0]}/export").pieces(), options["output"])
    return 0


COMMANDS: dict[str, Any] = {
    "cp": Command(
        "cp", "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tmini-docker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
        "Copy files/folders between a container and the local filesystem", cp,
        (
            Flag("archive", "a", SWITCH, "Archive mode (copy all uid/gid information)"),
            Flag("follow-link", "L", SWITCH, "Always follow symbol link in SRC_PATH"),
            Flag("quiet", "q", SWITCH, "Suppress progress output during copy"),
        ),
        (2, 2),
    ),
    "export": Command(
        "export", "[OPTIONS] CONTAINER", "Export a container's filesystem as a tar archive", export,
        (Flag("output", "o", STRING, "Write to a file, instead of STDOUT"),), (1, 1),
    ),
}  # fmt: skip
