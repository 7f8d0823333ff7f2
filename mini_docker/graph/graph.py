"""The Graph: all images of this machine, stacked from layers like strokes on a drawing board.

It registers, finds, counts and deletes images, and holds each only whole: its configuration, and every
layer below it. It knows nothing of names (`TagStore`), of containers or of registries.

Layout of the root folder: ``images/<hex of image id>/{json,parent}`` (the configuration, byte for byte;
the id of the image it was made from), and what `LayerStore` keeps.

Source: classic Docker's ``graph/graph.go`` (Get, Exists, Register, Delete, Map, ByParent, Heads); ids by
content since Docker 1.10.
"""

from __future__ import annotations

import bisect
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from mini_docker.drivers.graphdriver.contract import GraphDriver
from mini_docker.durable import publish, sync, write_file
from mini_docker.errors import Conflict, Invalid, NotFound
from mini_docker.graph.ahead import Ahead, LayerAhead
from mini_docker.graph.digest import hex_of
from mini_docker.graph.image import Image
from mini_docker.graph.layer import Layer
from mini_docker.graph.layer_store import LayerStore, Lease
from mini_docker.graph.unpackers import Unpackers

log = logging.getLogger(__name__)


class Graph:
    """Images by id.

    *Fixed*: ``driver``, the folders.
    *Persisted*: the images' records; what is in memory mirrors them.
    *Guarded by the lock*, which readers hold for moments: the maps. *Guarded by the writers' lock*, which is
    held over fsync but never over unpacking: changes of the records.

    Opening a graph reads it; `recover` tidies it after a crash.
    """

    def __init__(self, root: Path, driver: GraphDriver, unpackers: Unpackers | None = None) -> None:
        self.driver = driver
        self._folder = root / "images"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._layers = LayerStore(root, driver, unpackers)
        self._lock = threading.Lock()
        self._writers = threading.Lock()
        self._images: dict[str, Image] = {}
        self._children: dict[str, set[str]] = {}
        self._sorted: list[str] = []  # the ids, for finding by prefix
        for name in os.listdir(self._folder):
            self._load(name)

    def _load(self, name: str) -> None:
        try:
            parent_file = self._folder / name / "parent"
            parent = parent_file.read_text() if parent_file.exists() else None
            image = Image.from_config((self._folder / name / "json").read_bytes(), parent)
            if hex_of(image.id) != name:
                raise Invalid(f"its configuration has the digest {image.id}")
            if image.top is not None:
                self._layers.acquire(image.top)
        except (OSError, Invalid, NotFound) as error:
            # Only damage from outside brings this about. The record stays, for someone to look at, until the image
            # comes again.
            log.error("image %s is damaged and left out, pull it again: %s", name, error)
            return
        self._enter(image)

    def recover(self) -> None:
        """Collect what a crash left half-made. For a daemon's start: nothing else may use the graph meanwhile."""
        self._layers.recover()

    # -- looking ----------------------------------------------------------------------------------

    def get(self, image_id: str) -> Image:
        """The image of exactly this id.

        Raises:
            NotFound: no such image.
        """
        with self._lock:
            image = self._images.get(image_id)
        if image is None:
            raise NotFound(f"No such image: {image_id}")
        return image

    def find(self, prefix: str) -> Image:
        """The image whose id starts with *prefix*, with or without ``sha256:``.

        Raises:
            NotFound: there is none. Invalid: there are several.
        """
        start = "sha256:" + hex_of(prefix)
        with self._lock:
            index = bisect.bisect_left(self._sorted, start)
            found = [image_id for image_id in self._sorted[index : index + 2] if image_id.startswith(start)]
            if start == "sha256:" or not found:
                raise NotFound(f"No such image: {prefix}")
            if len(found) > 1:
                raise Invalid(f"image id prefix {prefix!r} is ambiguous: give more of its digits")
            return self._images[found[0]]

    def exists(self, image_id: str) -> bool:
        """Whether the image is here, whole."""
        with self._lock:
            return image_id in self._images

    def images(self) -> list[Image]:
        """All images."""
        with self._lock:
            return list(self._images.values())

    def children(self, image_id: str) -> list[Image]:
        """The images that were made from this one."""
        with self._lock:
            return [self._images[child] for child in sorted(self._children.get(image_id, ()))]

    def size(self, image: Image) -> int:
        """Bytes of file content in all its layers."""
        return sum(self._layers.get(chain).size for chain in image.layers)

    def own_size(self, image: Image) -> int:
        """Bytes of file content in the layers that its parent image lacks."""
        inherited = set(self.get(image.parent).layers) if image.parent and self.exists(image.parent) else set()
        return sum(self._layers.get(chain).size for chain in image.layers if chain not in inherited)

    # -- images in and out --------------------------------------------------------------------------

    def register(self, config_bytes: bytes, *, parent: str | None = None) -> Image:
        """Make an image from its configuration and layers that are here. An image that exists is returned as it is.

        Args:
            parent: id of the image it was made from, when that was on this machine.

        Raises:
            Invalid: *config_bytes* is no image configuration.
            NotFound: a layer, or the parent, is not here.
        """
        image = Image.from_config(config_bytes, parent)
        with self._writers:
            if self.exists(image.id):
                return self.get(image.id)
            if parent is not None:
                self.get(parent)
            if image.top is not None:
                self._layers.acquire(image.top)
            try:
                self._write(image)
            except BaseException:
                if image.top is not None:
                    self._layers.release(image.top)
                raise
            with self._lock:
                self._enter(image)
        return image

    def _write(self, image: Image) -> None:
        scratch = self._layers.scratch / f"image-{secrets.token_hex(8)}"
        scratch.mkdir()
        write_file(scratch / "json", image.config_bytes)
        if image.parent is not None:
            write_file(scratch / "parent", image.parent.encode())
        sync(scratch)
        target = self._folder / hex_of(image.id)
        if target.exists():  # a damaged one, which was left out when the graph was opened
            shutil.rmtree(target)
        publish(scratch, target)

    def _enter(self, image: Image) -> None:
        self._images[image.id] = image
        bisect.insort(self._sorted, image.id)
        if image.parent is not None:
            self._children.setdefault(image.parent, set()).add(image.id)

    def delete(self, image_id: str) -> list[Layer]:
        """Forget the image, and drop the layers that nothing counts on any more.

        Returns:
            the layers that were dropped, the topmost first.

        Raises:
            NotFound: no such image.
            Conflict: other images were made from it.
        """
        with self._writers:
            image = self.get(image_id)
            with self._lock:
                if self._children.get(image_id):
                    raise Conflict(
                        f"conflict: unable to delete {hex_of(image_id)[:12]} (cannot be forced)"
                        " - image has dependent child images"
                    )
            dropped = self._layers.scratch / f"image-{secrets.token_hex(8)}"
            publish(self._folder / hex_of(image_id), dropped)
            sync(self._folder)
            with self._lock:
                del self._images[image_id]
                del self._sorted[bisect.bisect_left(self._sorted, image_id)]
                self._children.pop(image_id, None)
                if image.parent is not None:
                    self._children.get(image.parent, set()).discard(image_id)
        shutil.rmtree(dropped)
        return [] if image.top is None else self._layers.release(image.top)

    # -- layers -------------------------------------------------------------------------------------

    def add_layer(
        self, parent_chain: str | None, stream: BinaryIO, *, expected_diff_id: str | None = None,
        expected_digest: str | None = None, media_type: str = "", file: Path | None = None,
        ahead: LayerAhead | None = None,
    ) -> Layer:  # fmt: skip
        """Unpack a layer, compressed or not, on top of a stack; see `LayerStore.add`.

        Args:
            file: lies in `scratch` and holds what *stream* reads, if such a file exists: it becomes the blob uncopied.
            ahead: *stream*, which has a file and a known diff id, is being unpacked from there already.

        It is safe from being dropped only while a `lease` lasts, until an image is registered on it.

        Raises:
            NotFound: no such parent.
            Invalid: the stream is corrupt or hostile, or not what was expected. Nothing of it is left.
        """
        return self._layers.add(parent_chain, stream, expected_diff_id, expected_digest, media_type, file, ahead)

    def ahead(self, sizes: Sequence[int], *, compressed: bool) -> AbstractContextManager[Ahead | None]:
        """To unpack layers side by side before they are added; see `LayerStore.ahead`."""
        return self._layers.ahead(sizes, compressed=compressed)

    def lease(self) -> AbstractContextManager[Lease]:
        """Keep the layers that are added while the block lasts; see `LayerStore.lease`."""
        return self._layers.lease()

    def count_present(self, stack: Sequence[str]) -> int:
        """How many layers of a stack are here, counted from the bottom.

        Args:
            stack: its chain ids, bottom first.
        """
        return self._layers.count_present(stack)

    def layer(self, chain_id: str) -> Layer:
        """The layer that ends the stack.

        Raises:
            NotFound: no such layer.
        """
        return self._layers.get(chain_id)

    def layer_tar(self, chain_id: str) -> AbstractContextManager[BinaryIO]:
        """The layer's uncompressed tar, byte for byte the one its diff id fingerprints.

        Raises:
            NotFound: no such layer.
        """
        return self._layers.tar(chain_id)

    def open_blob(self, digest: str) -> BinaryIO:
        """A layer's bytes as they came; to be closed by the caller.

        Raises:
            NotFound: no such blob.
        """
        return self._layers.blobs.open(digest)

    def blob_size(self, digest: str) -> int:
        """The length of a blob in bytes.

        Raises:
            NotFound: no such blob.
        """
        return self._layers.blobs.size(digest)

    @property
    def scratch(self) -> Path:
        """A folder for files that need not outlive the work they are made for; `recover` empties it."""
        return self._layers.scratch

    def collect(self) -> None:
        """Drop the layers of deleted images that a container stood on; call it after a container was removed."""
        self._layers.collect()
