"""The LayerStore: a rack of layers, each put there once, however many images are stacked from it.

A layer is whole exactly when its record exists *and* the driver has it. It enters by unpacking while its
digests are computed, and leaves when nobody counts on it any more: no image, no layer above, no lease,
and no container (the driver refuses to remove what a container stands on). It knows nothing of image
configurations, tags or registries.

Layout of the folder: ``layers/`` (see `LayerRecords`), ``blobs/`` (see `BlobStore`), ``tmp/``.

The order of files when a layer is added, so that a crash leaves at worst rubbish that `recover` knows:

    driver layer ──▶ blob ──▶ record (from here on it exists)

and when it is dropped:

    driver layer ──▶ record ──▶ blob
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mini_docker.archive.compression import open_decompressing
from mini_docker.drivers.graphdriver.contract import GraphDriver
from mini_docker.errors import Invalid, NotFound
from mini_docker.graph.ahead import Ahead, LayerAhead, cores, is_worthwhile
from mini_docker.graph.blob_store import BlobStore, Spool
from mini_docker.graph.digest import expect_digest
from mini_docker.graph.incoming import Incoming
from mini_docker.graph.layer import Layer, chain_id
from mini_docker.graph.layer_records import LayerRecords
from mini_docker.graph.unpacked_layers import UnpackedLayers
from mini_docker.graph.unpackers import Unpackers

log = logging.getLogger(__name__)


class Lease:
    """A promise that the layers added while it lasts stay, though no image counts on them yet."""

    def __init__(self) -> None:
        self.chains: set[str] = set()


class LayerStore:
    """Layers by chain id, counted.

    *Fixed*: ``scratch``, ``blobs``, the records, the unpacked layers, the unpackers.
    *Persisted*: records and blobs; everything in memory is derived from them and from the images' `acquire`.
    *Guarded by the lock*, which is never held while anything is unpacked or deleted: the maps below.
    A chain id in ``_busy`` belongs to one thread, which adds or drops it; others wait for the lock's bell.
    """

    def __init__(self, folder: Path, driver: GraphDriver, unpackers: Unpackers | None = None) -> None:
        self.scratch = folder / "tmp"
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._unpacked = UnpackedLayers(driver)
        self._unpackers = unpackers
        self._records = LayerRecords(folder / "layers", self.scratch)
        self.blobs = BlobStore(folder / "blobs", self.scratch)
        self._lock = threading.Condition()
        self._busy: set[str] = set()
        self._layers: dict[str, Layer] = {}
        self._references: Counter[str] = Counter()  # images whose top it is, and layers that stand on it
        self._blob_users: Counter[str] = Counter()
        self._leases: list[Lease] = []
        self._orphans: set[str] = set()  # unreferenced, but the driver could not let go of them
        for layer in self._records:
            self._enter(layer)

    # -- looking ----------------------------------------------------------------------------------

    def get(self, chain: str) -> Layer:
        """The layer that ends the stack.

        Raises:
            NotFound: it is not here.
        """
        with self._lock:
            layer = self._layers.get(chain)
        if layer is None:
            raise NotFound(f"no such layer: {chain}")
        return layer

    def count_present(self, stack: Sequence[str]) -> int:
        """How many layers of a stack are here, counted from the bottom.

        Args:
            stack: its chain ids, bottom first.
        """
        with self._lock:
            return next((depth for depth, chain in enumerate(stack) if chain not in self._layers), len(stack))

    def chains(self) -> set[str]:
        """The chain ids of all layers."""
        with self._lock:
            return set(self._layers)

    @contextmanager
    def tar(self, chain: str) -> Iterator[BinaryIO]:
        """The layer's uncompressed tar, byte for byte the one its diff id fingerprints.

        Raises:
            NotFound: no such layer.
        """
        with self.blobs.open(self.get(chain).digest) as blob, open_decompressing(blob) as stream:
            yield stream

    # -- counting ---------------------------------------------------------------------------------

    def acquire(self, chain: str) -> None:
        """Count one more image on the layer.

        Raises:
            NotFound: no such layer.
        """
        with self._lock:
            if chain not in self._layers:
                raise NotFound(f"no such layer: {chain}")
            self._references[chain] += 1

    def release(self, chain: str) -> list[Layer]:
        """Count one image less; a layer that nobody counts on is dropped, and so are those below.

        Returns:
            what was dropped, the topmost first.
        """
        with self._lock:
            self._references[chain] -= 1
        return self._drop(chain)

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Keep every layer that is added, or found to be here already, until the block ends.

        Layers added by other threads meanwhile are kept too: too many for a while is harmless, one too few is not.
        """
        lease = Lease()
        with self._lock:
            self._leases.append(lease)
        try:
            yield lease
        finally:
            with self._lock:
                self._leases.remove(lease)
            for chain in lease.chains:
                self._drop(chain)

    # -- adding -----------------------------------------------------------------------------------

    def add(
        self, parent: str | None, stream: BinaryIO, expected_diff_id: str | None = None,
        expected_digest: str | None = None, media_type: str = "", file: Path | None = None,
        ahead: LayerAhead | None = None,
    ) -> Layer:  # fmt: skip
        """Unpack a layer on top of *parent*, verifying it while it streams.

        Args:
            file: lies in `scratch` and holds what *stream* reads, if such a file exists: it becomes the blob uncopied.
            ahead: *stream*, which has a file and a known diff id, is being unpacked from there already.

        With a known diff id it is one pass; without, the stream is spooled first, because the layer's
        name is only known after its last byte. A layer that is here already is returned unread; one that
        another thread is adding is waited for.

        Raises:
            NotFound: no such parent.
            Invalid: the stream is corrupt or hostile, or not what was expected. Nothing of it is left.
        """
        with self._standing_on(parent), self.blobs.spool(file) as spool:
            diff_id = expected_diff_id
            if diff_id is not None:
                if ahead is not None:
                    unpack = partial(self._unpacked.stack, parent, diff_id, ahead, spool)
                else:
                    unpack = partial(self._unpacked.unpack, parent, diff_id, stream, spool)
                return self._add_once(parent, diff_id, unpack, spool, expected_digest, media_type)
            with Incoming(stream, spool) as incoming:
                pass
            with spool.reopen() as again:
                unpack = partial(self._unpacked.unpack, parent, incoming.diff_id, again, None)
                return self._add_once(parent, incoming.diff_id, unpack, spool, expected_digest, media_type)

    def ahead(self, sizes: Sequence[int], *, compressed: bool) -> AbstractContextManager[Ahead | None]:
        """To unpack layers side by side before they are added; None where that is not possible or not worth while.

        Args:
            sizes: of the layers to come, in bytes, as they travel.
            compressed: whether they are.
        """
        rebasing = self._unpacked.rebasing
        if rebasing is None or self._unpackers is None or not is_worthwhile(sizes, cores(), compressed=compressed):
            return nullcontext()
        return Ahead(rebasing, self._unpackers)

    @contextmanager
    def _standing_on(self, parent: str | None) -> Iterator[None]:
        """Keep *parent* while something is built on it."""
        if parent is None:
            yield
            return
        self.acquire(parent)
        try:
            yield
        finally:
            self.release(parent)

    def _add_once(
        self, parent: str | None, diff_id: str, unpack: Callable[[], int], spool: Spool,
        expected_digest: str | None, media_type: str,
    ) -> Layer:  # fmt: skip
        """Have it unpacked, unless the layer is here; *spool* holds its blob then."""
        chain = chain_id(parent, diff_id)
        with self._lock:
            self._lock.wait_for(lambda: chain not in self._busy)
            for lease in self._leases:
                lease.chains.add(chain)
            if chain in self._layers:
                return self._layers[chain]
            self._busy.add(chain)
        try:
            size = unpack()
            try:
                expect_digest("layer blob", expected_digest, spool.digest)
                layer = Layer(chain, diff_id, parent, size, spool.digest, media_type)
                self._record(layer, spool)
            except BaseException:
                self._unpacked.discard(chain)
                raise
            return layer
        finally:
            with self._lock:
                self._busy.discard(chain)
                self._lock.notify_all()

    def _record(self, layer: Layer, spool: Spool) -> None:
        """Make the layer exist: blob, then record, then memory."""
        with self._lock:
            self._blob_users[layer.digest] += 1  # before the blob is there, so that no drop takes it away again
        try:
            self.blobs.keep(spool)
            self._records.write(layer)
        except BaseException:
            self._forget_blob(layer.digest)
            raise
        with self._lock:
            self._blob_users[layer.digest] -= 1
            self._enter(layer)

    def _enter(self, layer: Layer) -> None:
        self._layers[layer.chain_id] = layer
        self._blob_users[layer.digest] += 1
        if layer.parent is not None:
            self._references[layer.parent] += 1

    # -- dropping ---------------------------------------------------------------------------------

    def collect(self) -> None:
        """Try again to drop what the driver could not let go of, after a container was removed."""
        with self._lock:
            orphans = list(self._orphans)
        for chain in orphans:
            self._drop(chain)

    def _drop(self, chain: str | None) -> list[Layer]:
        """Remove the layer if nobody counts on it, then look at the one below; returns those removed."""
        gone: list[Layer] = []
        while chain is not None:
            with self._lock:
                layer = self._layers.get(chain)
                counted = self._references[chain] > 0 or any(chain in lease.chains for lease in self._leases)
                if layer is None or counted or chain in self._busy:
                    break
                self._busy.add(chain)
                del self._layers[chain]
                self._orphans.discard(chain)
            dropped = False
            try:
                dropped = self._unpacked.let_go(chain)
                if dropped:
                    self._records.remove(chain)
                    self._forget_blob(layer.digest)
            finally:
                with self._lock:
                    if not dropped:
                        self._layers[chain] = layer
                        self._orphans.add(chain)
                    else:
                        self._references.pop(chain, None)
                        if layer.parent is not None:
                            self._references[layer.parent] -= 1
                    self._busy.discard(chain)
                    self._lock.notify_all()
            if not dropped:
                break
            gone.append(layer)
            chain = layer.parent
        return gone

    def _forget_blob(self, digest: str) -> None:
        dropped = None
        with self._lock:
            self._blob_users[digest] -= 1
            if self._blob_users[digest] <= 0:
                del self._blob_users[digest]
                if self.blobs.path(digest).exists():
                    dropped = self.blobs.discard(digest)
        if dropped is not None:
            dropped.unlink()

    # -- after a crash ----------------------------------------------------------------------------

    def recover(self) -> None:
        """Collect what a crash left. For a daemon's start: nothing else may use the store meanwhile."""
        for rubbish in self.scratch.iterdir():
            if rubbish.is_dir():
                shutil.rmtree(rubbish)
            else:
                rubbish.unlink()
        self._unpacked.remove_all_but(self._layers)
        self._unpack_missing()
        for chain in self.chains():
            self._drop(chain)
        for digest in set(self.blobs.digests()) - self._blob_users.keys():
            self.blobs.discard(digest).unlink()

    def _unpack_missing(self) -> None:
        """Unpack again, from their blobs, the layers that the driver lost."""
        missing = [self._layers[chain] for chain in self._unpacked.missing(self._layers)]
        for layer in sorted(missing, key=self._depth):
            if self._references[layer.chain_id] == 0:
                continue  # a drop was interrupted: recover finishes it next
            if layer.parent is not None and layer.parent not in self._layers:
                log.error(
                    "layer %s is lost, and the record of the one below it: its images must be removed and pulled again",
                    layer.chain_id,
                )
                continue
            log.warning("layer %s was lost by the graph driver: unpacking it again", layer.chain_id)
            try:
                with self.blobs.open(layer.digest) as blob:
                    self._unpacked.unpack(layer.parent, layer.diff_id, blob, None)
            except (Invalid, NotFound) as error:
                log.error("layer %s is lost, its images must be removed and pulled again: %s", layer.chain_id, error)

    def _depth(self, layer: Layer) -> int:
        """How many layers lie below it, as far as there are records of them."""
        depth = 0
        while layer.parent is not None and layer.parent in self._layers:
            layer, depth = self._layers[layer.parent], depth + 1
        return depth
