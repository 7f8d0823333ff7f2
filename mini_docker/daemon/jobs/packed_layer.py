"""A layer packed for the road: as it came, if it came compressed; else compressed now, in a file without a name.

It knows the graph and the press, and no registry.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mini_docker.archive.compression import MAGIC_BYTES, Compression, detect, open_compressing
from mini_docker.dataclasses import dataclass
from mini_docker.graph.graph import Graph
from mini_docker.graph.layer import Layer
from mini_docker.media_types import DOCKER_LAYER, OCI_ZSTD_LAYER

COPY_BYTES = 1 << 20
_TRAVELS_AS_IT_IS = {Compression.GZIP: DOCKER_LAYER, Compression.ZSTD: OCI_ZSTD_LAYER}


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer's bytes as they travel.

    Attributes:
        size: bytes.
        open: gives them from the start; for the caller to close.
    """

    media_type: str
    digest: str
    size: int
    open: Callable[[], BinaryIO]


@contextmanager
def packed(graph: Graph, layer: Layer, folder: Path) -> Iterator[PackedLayer]:
    """While the block runs, the layer can be read as it travels.

    Args:
        folder: where it waits if it must be compressed first.

    Raises:
        NotFound: the layer is not here any more.
    """
    with graph.open_blob(layer.digest) as blob:
        compression = detect(blob.read(MAGIC_BYTES))
    if compression in _TRAVELS_AS_IT_IS:
        size = graph.blob_size(layer.digest)
        yield PackedLayer(_TRAVELS_AS_IT_IS[compression], layer.digest, size, lambda: graph.open_blob(layer.digest))
        return
    with tempfile.TemporaryFile(dir=folder) as file:
        fingerprint = _Fingerprint(file)
        with graph.layer_tar(layer.chain_id) as tar, open_compressing(fingerprint, Compression.GZIP) as press:  # type: ignore[arg-type]
            shutil.copyfileobj(tar, press, COPY_BYTES)
        file.flush()
        # Opened through /proc each reader has a position of its own.
        path = f"/proc/self/fd/{file.fileno()}"
        digest = "sha256:" + fingerprint.hash.hexdigest()
        size = os.fstat(file.fileno()).st_size
        yield PackedLayer(DOCKER_LAYER, digest, size, lambda: open(path, "rb"))  # noqa: SIM115  the caller closes it


class _Fingerprint:
    """A writer that hashes what passes to *file*."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Hash and pass on."""
        self.hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Pass on."""
        self._file.flush()
