"""The unpacked layers: the graph's own corner of the graph driver. Each lies there under a name that tells its content.

The driver holds containers' layers too; those are other people's and stay untouched. It knows nothing of records,
blobs' places, or who counts on a layer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import BinaryIO

from mini_docker.drivers.graphdriver.contract import GraphDriver, Rebasing
from mini_docker.errors import Conflict
from mini_docker.graph.ahead import LayerAhead
from mini_docker.graph.blob_store import Spool
from mini_docker.graph.digest import expect_digest
from mini_docker.graph.incoming import Incoming
from mini_docker.graph.layer import LAYER_PREFIX, chain_id, driver_layer, init_layer

log = logging.getLogger(__name__)


class UnpackedLayers:
    """Image layers in a driver. Stateless: the driver's own list is the truth."""

    def __init__(self, driver: GraphDriver) -> None:
        self._driver = driver

    @property
    def rebasing(self) -> Rebasing | None:
        """The driver's part that unpacks layers before those below them are here, if it has one."""
        return self._driver.rebasing

    def unpack(self, parent: str | None, diff_id: str, stream: BinaryIO, fill: Spool | None) -> int:
        """Unpack *stream* on top of the stack *parent*; returns the bytes it added.

        Args:
            diff_id: what the layer must turn out to be.
            fill: gets the stream's bytes as they come.

        Raises:
            Invalid: the stream is corrupt, hostile or another layer. Nothing of it is left.
        """
        name, below = self._place(parent, diff_id)
        self._driver.create(name, below)
        try:
            with Incoming(stream, fill) as incoming:
                size = self._driver.apply(name, below, incoming.tar)
            expect_digest("layer", diff_id, incoming.diff_id)
        except BaseException:
            self._driver.remove(name)
            raise
        return size

    def stack(self, parent: str | None, diff_id: str, ahead: LayerAhead, spool: Spool) -> int:
        """Lay a layer that is, or is being, unpacked on top of the stack *parent*; as `unpack`.

        Args:
            spool: has the layer's bytes already, and learns their digest.
        """
        rebasing = self._driver.rebasing
        assert rebasing is not None  # who else would have begun?
        unpacked = ahead.result()
        expect_digest("layer", diff_id, unpacked.diff_id)
        spool.note(unpacked.digest)
        name, below = self._place(parent, diff_id)
        rebasing.rebase(ahead.loose, name, below, unpacked.implied)
        return unpacked.content_bytes

    def _place(self, parent: str | None, diff_id: str) -> tuple[str, str | None]:
        """The driver's ids of a layer to be, whose place is free, and of the one below it."""
        name = driver_layer(chain_id(parent, diff_id))
        if self._driver.exists(name):  # without a record: left by an addition that failed to clean up
            self._driver.remove(name)
        return name, None if parent is None else driver_layer(parent)

    def discard(self, chain: str) -> None:
        """Remove a layer that nothing stands on."""
        self._driver.remove(driver_layer(chain))

    def let_go(self, chain: str) -> bool:
        """Whether the driver removed the layer, with the init layer that containers left on it."""
        for name in (init_layer(chain), driver_layer(chain)):
            try:
                if self._driver.exists(name):
                    self._driver.remove(name)
            except Conflict as error:
                log.info("layer %s stays for now: %s", chain, error)
                return False
        return True

    def missing(self, chains: Iterable[str]) -> set[str]:
        """Those of *chains* that the driver has not."""
        present = set(self._driver.layers())
        return {chain for chain in chains if driver_layer(chain) not in present}

    def remove_all_but(self, chains: Iterable[str]) -> None:
        """Remove every other layer of the graph's, upper ones first."""
        kept = {name for chain in chains for name in (driver_layer(chain), init_layer(chain))}
        rubbish = {name for name in self._driver.layers() if name.startswith(LAYER_PREFIX) and name not in kept}
        while rubbish:
            removed = set()
            for name in rubbish:
                try:
                    self._driver.remove(name)
                    removed.add(name)
                except Conflict as error:
                    log.debug("%s", error)  # another piece of rubbish stands on it: next round
            if not removed:
                log.warning("layers without a record are still in use and stay: %s", ", ".join(sorted(rubbish)))
                return
            rubbish -= removed
