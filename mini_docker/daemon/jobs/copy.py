"""The jobs ``container_stat``, ``container_copy``, ``container_extract``: files in and out of a container.

The container is not trusted: a path is always resolved inside its own root (openat2, RESOLVE_IN_ROOT), and what
is unpacked cannot leave the folder it is unpacked into. Classic Docker's ContainerCopy (``daemon/copy.go``).
"""

from __future__ import annotations

import io
import json
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from mini_docker.archive.change import Change, ChangeKind
from mini_docker.archive.compression import open_decompressing
from mini_docker.archive.directory_cache import DirectoryCache, walk
from mini_docker.archive.pack import pack, pack_changes
from mini_docker.archive.unpack import unpack
from mini_docker.archive.whiteout import WhiteoutForm
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.timestamps import format_time
from mini_docker.daemon.jobs.answers import argument
from mini_docker.daemon.jobs.events import log_event
from mini_docker.daemon.jobs.image_import import InputStream
from mini_docker.dataclasses import dataclass
from mini_docker.engine import Job
from mini_docker.errors import Denied, Invalid, NotFound
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.linux.constants import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping
from mini_docker.linux.kernel import Kernel

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GO_KINDS = (
    (stat.S_ISDIR, 1 << 31), (stat.S_ISLNK, 1 << 27), (stat.S_ISBLK, 1 << 26), (stat.S_ISCHR, 1 << 26 | 1 << 21),
    (stat.S_ISFIFO, 1 << 25), (stat.S_ISSOCK, 1 << 24),
)  # fmt: skip
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def go_mode(mode: int) -> int:
    """A file mode as Go's ``os.FileMode`` has it, which is what travels. Source: Go's ``io/fs``."""
    kind = next((bit for test, bit in _GO_KINDS if test(mode)), 0)
    return kind | sum(bit for flag, bit in _GO_BITS if mode & flag) | mode & 0o777


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """A container and an absolute path in it; *itself* when the path ends in ``/.``: the folder's content."""

    container: str
    path: str
    itself: bool

    @classmethod
    def decode(cls, job: Job) -> CopyRequest:
        """Read the job's arguments and environment.

        Raises:
            Invalid: no path.
        """
        path = job.env.get("path", "")
        if not path or "\0" in path:
            raise Invalid("bad parameter: path cannot be empty")
        absolute = posixpath.normpath(f"/{path}")
        return cls(argument(job), "/" + absolute.lstrip("/"), path.endswith("/."))


@dataclass(frozen=True, slots=True)
class Place:
    """A path found in a container.

    Attributes:
        root: descriptor of the root that it was found in; path: where in there.
        folder: descriptor of the folder that holds it.
        name: its name there; ``.`` for the root itself.
        status: of itself: a link is not followed.
        read_only: nothing can be written there.
    """

    root: int
    path: str
    folder: int
    name: str
    status: os.stat_result
    read_only: bool


class ContainerFiles:
    """Finds paths in containers, running or not. Stateless but for its collaborators."""

    def __init__(
        self, containers: ContainerStore, layers: ContainerLayers, kernel: Kernel, ids: IdMapping = NO_MAPPING
    ) -> None:
        self._containers = containers
        self._layers = layers
        self.kernel = kernel
        self.ids = ids

    @contextmanager
    def find(self, request: CopyRequest) -> Iterator[tuple[Container, Place]]:
        """The place that is meant, while the block lasts.

        Raises:
            NotFound: no such container or path.
        """
        container = self._containers.get(request.container)
        with self._root(container, request.path) as (root, path, read_only):
            parent, name = posixpath.split(path)
            try:
                folder = self.kernel.openat2(root, parent, _FOLDER, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
            except SyscallError:
                raise self._missing(request) from None
            try:
                try:
                    status = os.stat(name or ".", dir_fd=folder, follow_symlinks=False)
                except OSError:
                    raise self._missing(request) from None
                yield container, Place(root, path, folder, name or ".", status, read_only)
            finally:
                os.close(folder)

    @contextmanager
    def _root(self, container: Container, path: str) -> Iterator[tuple[int, str, bool]]:
        """The root in which *path* is to be looked up, the path there, and whether it is read-only.

        A running container has all its mounts in its root. Of one that does not run, the mount that the
        path lies in is its own root.
        """
        mounts = sorted(container.mounts, key=lambda mount: len(mount.destination), reverse=True)
        mount = next((one for one in mounts if path == one.destination or path.startswith(one.destination + "/")), None)
        read_only = not mount.rw if mount else container.host_config.readonly_rootfs
        pid = container.state.pid
        if pid:
            with _opened(f"/proc/{pid}/root") as root:
                yield root, path, read_only
        elif mount is not None and mount.source and os.path.isdir(mount.source):
            with _opened(mount.source) as root:
                yield root, "/" + path.removeprefix(mount.destination).lstrip("/"), read_only
        else:
            mounted = self._layers.open(container.id)
            try:
                with _opened(mounted.as_path()) as root:
                    yield root, path, read_only
            finally:
                self._layers.close(container.id)

    def open_folder(self, place: Place) -> int:
        """A descriptor of the folder that the place is, or that it links to; the caller's to close.

        Raises:
            Invalid: it is no folder.
        """
        try:
            return self.kernel.openat2(place.root, place.path, _FOLDER, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        except SyscallError:
            raise Invalid("extraction point is not a directory") from None

    @staticmethod
    def _missing(request: CopyRequest) -> NotFound:
        return NotFound(f"Could not find the file {request.path} in container {request.container}")


@contextmanager
def _opened(path: str) -> Iterator[int]:
    try:
        descriptor = os.open(path, _FOLDER)
    except FileNotFoundError:
        raise NotFound("the container has just ended") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def path_stat(request: CopyRequest, place: Place) -> bytes:
    """The line that becomes the header X-Docker-Container-Path-Stat."""
    link = ""
    if stat.S_ISLNK(place.status.st_mode):
        target = os.readlink(place.name, dir_fd=place.folder)
        link = posixpath.normpath(posixpath.join(posixpath.dirname(request.path), target))
    form = {
        "name": posixpath.basename(request.path) or "/",
        "size": place.status.st_size,
        "mode": go_mode(place.status.st_mode),
        "mtime": format_time(place.status.st_mtime_ns),
        "linkTarget": link,
    }
    return json.dumps(form).encode() + b"\n"


class ContainerStat:
    """``container_stat CONTAINER``: what stands at a path, as one line of JSON. Env: path."""

    def __init__(self, files: ContainerFiles) -> None:
        self._files = files

    def __call__(self, job: Job) -> None:
        request = CopyRequest.decode(job)
        with self._files.find(request) as (_, place):
            job.stdout.write(path_stat(request, place))


class ContainerCopy:
    """``container_copy CONTAINER``: the same line, then a tar of what stands there. Env: path."""

    def __init__(self, files: ContainerFiles) -> None:
        self._files = files

    def __call__(self, job: Job) -> None:
        request = CopyRequest.decode(job)
        with self._files.find(request) as (container, place):
            job.stdout.write(path_stat(request, place))
            for piece in self._pack(request, place):
                job.check_cancelled()
                job.stdout.write(piece)
            log_event(job, container, "archive-path", path=request.path)

    def _pack(self, request: CopyRequest, place: Place) -> Iterator[bytes]:
        if place.name == "." or (request.itself and stat.S_ISDIR(place.status.st_mode)):
            folder = self._files.open_folder(place)
            try:
                yield from pack(folder, self._files.kernel, self._files.ids)
            finally:
                os.close(folder)
        else:
            yield from pack_changes(place.folder, self._below(place), self._files.kernel, self._files.ids)

    def _below(self, place: Place) -> Iterator[Change]:
        """The place and all below it, as additions to the folder that holds it."""
        yield Change(f"/{place.name}", ChangeKind.ADDED)
        if stat.S_ISDIR(place.status.st_mode):
            with DirectoryCache(self._files.kernel, place.folder, follow_links=False) as tree:
                for path, _ in walk(tree, os.fsencode(place.name)):
                    yield Change(f"/{os.fsdecode(path)}", ChangeKind.ADDED)


class ContainerExtract:
    """``container_extract CONTAINER``: unpack a tar from standard input into a folder of the container. Env: path."""

    def __init__(self, files: ContainerFiles) -> None:
        self._files = files

    def __call__(self, job: Job) -> None:
        request = CopyRequest.decode(job)
        with self._files.find(request) as (container, place):
            if place.read_only:
                raise Denied(f"{request.path} in container {container.name} is read-only")
            folder = self._files.open_folder(place)
            try:
                source = cast(BinaryIO, io.BufferedReader(InputStream(job.stdin), 1 << 18))
                unpack(
                    open_decompressing(source), folder, self._files.kernel, whiteouts=WhiteoutForm.LITERAL,
                    ids=self._files.ids,
                )  # fmt: skip
            finally:
                os.close(folder)
            log_event(job, container, "extract-to-dir", path=request.path)
