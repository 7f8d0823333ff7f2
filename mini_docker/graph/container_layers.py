"""A container's two layers on its image: primer and paint.

The *init layer* is the primer: empty stubs at the places where every container gets something bind-mounted
(/etc/hosts, /dev/console, …), so that a mount finds its place and nothing is copied up or counted as a change. All
containers of an image share one. The *container's own layer* is the paint: what the container writes.

It knows images and the graph driver; nothing of containers' states, nor of who removes images: the graph takes an
init layer away together with the layer it stands on.

Source: classic Docker's ``daemon/volumes.go`` and ``graph/graph.go`` (SetupInitLayer).
"""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager
from typing import BinaryIO

from mini_docker.archive.ownership import give_to_root
from mini_docker.dataclasses import dataclass
from mini_docker.drivers.graphdriver.contract import Change, GraphDriver, MountedRoot, StorageOptions
from mini_docker.errors import Conflict, NotFound
from mini_docker.graph.image import Image
from mini_docker.graph.layer import INIT_SUFFIX, driver_layer, init_layer
from mini_docker.graph.pool import Pool
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping

log = logging.getLogger(__name__)

_ON = "-on-"


@dataclass(frozen=True, slots=True)
class Stub:
    """Something empty to stand where a mount will go.

    Attributes:
        path: relative to the root, without symlinks on the way.
        link: target, when it is a symlink.
        folder: whether it is a folder; else an empty file.
    """

    path: str
    link: str = ""
    folder: bool = False


STUBS = (
    Stub("dev", folder=True), Stub("dev/pts", folder=True), Stub("dev/shm", folder=True), Stub("dev/console"),
    Stub("proc", folder=True), Stub("sys", folder=True), Stub(".dockerenv"),
    Stub("etc", folder=True), Stub("etc/hosts"), Stub("etc/hostname"), Stub("etc/resolv.conf"),
    Stub("etc/mtab", link="/proc/mounts"),
)  # fmt: skip


class ContainerLayers:
    """The layers of all containers.

    *Fixed*: the driver; what owners in containers are on the host.
    *In memory*: which init layers are known to be whole, and what each container stands on. The latter is part of its
    layer's name, ``<container id>-on-<init layer>``: no record can disagree with it, none has to be written, and after
    a restart the driver's own list tells all.
    """

    def __init__(self, driver: GraphDriver, ids: IdMapping = NO_MAPPING) -> None:
        self._driver = driver
        self._ids = ids
        self._whole: set[str] = set()
        self._making: Pool[None] = Pool()
        self._layers = {name.partition(_ON)[0]: name for name in driver.layers() if _ON in name}

    def recover(self) -> None:
        """Remove every init layer that no container stands on: making it again is cheaper than proving it whole.

        For a daemon's start, before `create`.
        """
        for name in self._driver.layers():
            if name.endswith(INIT_SUFFIX) and _ON not in name:
                self._remove_unless_used(name)

    def _remove_unless_used(self, init: str) -> None:
        try:
            self._driver.remove(init)
        except Conflict:
            self._whole.add(init)  # a container stands on it, and none is put on a half-made one

    def containers(self) -> list[str]:
        """The ids of all containers that have a layer."""
        return list(self._layers)

    def exists(self, container_id: str) -> bool:
        """Whether the container has its layers."""
        return container_id in self._layers

    def create(self, container_id: str, image: Image | None, options: StorageOptions | None = None) -> None:
        """Make the container's layers on its image; None is an empty root.

        Raises:
            Conflict: it has them already. NotFound: the image was deleted meanwhile.
            Unsupported: a limit is asked for that the driver cannot keep.
        """
        if container_id in self._layers:
            raise Conflict(f"the layers of container {container_id} exist already")
        chain = None if image is None else image.top
        init = init_layer(chain)
        name = container_id + _ON + init.removesuffix(INIT_SUFFIX)
        self._prime(image, init)
        try:
            self._driver.create_read_write(name, init, options or StorageOptions())
        except NotFound:  # the graph dropped the init layer, and its image is back since
            self._whole.discard(init)
            self._prime(image, init)
            self._driver.create_read_write(name, init, options or StorageOptions())
        self._layers[container_id] = name

    def prepare(self) -> None:
        """Hear that an answer is out: see `GraphDriver.prepare`."""
        self._driver.prepare()

    def remove(self, container_id: str) -> None:
        """Remove the container's layer. The init layer stays for the next container of the image.

        Raises:
            NotFound: it has none. Conflict: it is open.
        """
        self._driver.remove(self._name(container_id))
        del self._layers[container_id]

    def open(self, container_id: str) -> MountedRoot:
        """Mount the container's root file system; opens are counted.

        Raises:
            NotFound: it has no layers.
        """
        return self._driver.open(self._name(container_id))

    def adopt(self, container_id: str, descriptor: int) -> MountedRoot:
        """Take over the mount of a container that outlived an earlier daemon, in place of `open`."""
        return self._driver.adopt(self._name(container_id), descriptor)

    def close(self, container_id: str) -> None:
        """Give one open back."""
        self._driver.close(self._name(container_id))

    def changes(self, container_id: str) -> list[Change]:
        """What the container changed of its image, sorted by path."""
        name = self._name(container_id)
        return self._driver.changes(name, _init_of(name))

    def diff(self, container_id: str) -> AbstractContextManager[BinaryIO]:
        """The same as a layer's tar: what commit adds to the image."""
        name = self._name(container_id)
        return self._driver.diff(name, _init_of(name))

    def size(self, container_id: str) -> int:
        """Bytes of file content that the container added."""
        name = self._name(container_id)
        return self._driver.size(name, _init_of(name))

    def _name(self, container_id: str) -> str:
        try:
            return self._layers[container_id]
        except KeyError:
            raise NotFound(f"container {container_id} has no layer") from None

    def _prime(self, image: Image | None, init: str) -> None:
        """Make sure that the init layer is there, whole."""
        if init not in self._whole:
            self._making.run(init, lambda: self._make_init(image, init))

    def _make_init(self, image: Image | None, init: str) -> None:
        if init in self._whole:
            return
        parent = None if image is None or image.top is None else driver_layer(image.top)
        if self._driver.exists(init):  # an earlier daemon's
            self._remove_unless_used(init)
            if init in self._whole:
                return
        self._driver.create_read_write(init, parent, StorageOptions())  # an image layer may open read-only
        try:
            root = self._driver.open(init)
            try:
                write_stubs(root.as_path(), STUBS, self._ids)
            finally:
                self._driver.close(init)
        except BaseException:
            self._driver.remove(init)
            raise
        self._whole.add(init)


def _init_of(name: str) -> str:
    return name.partition(_ON)[2] + INIT_SUFFIX


def write_stubs(root: str, stubs: tuple[Stub, ...], ids: IdMapping = NO_MAPPING) -> None:
    """Put each stub where the image has nothing.

    An image is foreign: a folder on the way may be a symlink that would lead out to the host. Such a way is not
    taken, and the stub left out; the container's init makes mount points inside its own root anyway.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for stub in stubs:
            try:
                _write_stub(descriptor, stub, ids)
            except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
                log.debug("stub %s is left to the image: %s", stub.path, error)
    finally:
        os.close(descriptor)


def _write_stub(root: int, stub: Stub, ids: IdMapping) -> None:
    folder, _, name = stub.path.rpartition("/")
    # One folder deep at most, so O_NOFOLLOW on it is the whole wall.
    parent = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        if stub.link:
            os.symlink(stub.link, name, dir_fd=parent)
        elif stub.folder:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o755 if folder == "dev" else 0o644, dir_fd=parent))
        give_to_root(name, ids, dir_fd=parent)
    finally:
        os.close(parent)
