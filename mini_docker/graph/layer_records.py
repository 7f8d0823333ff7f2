"""The layers' records: one index card a layer, filed under its chain id. What has a card exists.

It knows nothing of drivers and blobs.

Layout: ``<folder>/sha256-<hex of chain id>.json``.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from pathlib import Path

from mini_docker.dataclasses import asdict
from mini_docker.durable import replace_file, sync
from mini_docker.graph.layer import Layer, driver_layer

log = logging.getLogger(__name__)


class LayerRecords:
    """Records on disk; each is written and removed whole, durably."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder = folder
        self._scratch = scratch
        folder.mkdir(parents=True, exist_ok=True)

    def __iter__(self) -> Iterator[Layer]:
        """All layers that have a record; a damaged record is left out and logged."""
        for record in self._folder.iterdir():
            try:
                layer = Layer(**json.loads(record.read_bytes()))
            except (ValueError, TypeError) as error:
                log.error("layer record %s is damaged, its images must be pulled again: %s", record.name, error)
            else:
                yield layer

    def write(self, layer: Layer) -> None:
        """File the layer's card."""
        scratch = self._scratch / f"record-{secrets.token_hex(8)}"
        replace_file(self._path(layer.chain_id), json.dumps(asdict(layer)).encode(), scratch)

    def remove(self, chain: str) -> None:
        """Throw the card away."""
        self._path(chain).unlink()
        sync(self._folder)

    def _path(self, chain: str) -> Path:
        return self._folder / f"{driver_layer(chain)}.json"
