"""The image archive: a moving box for images. `save` packs it; `image_loader` unpacks it.

One tar that three generations of readers understand, each finding its own table of contents:

    index.json, oci-layout         OCI image layout: index → manifest → config and layers, all in blobs/
    manifest.json                  Docker since 1.10: [{"Config", "RepoTags", "Layers"}], paths into the tar
    repositories, <id>/{json,…}    Docker before: an image is a chain of ids, each with a parent and a layer

The bytes lie once, in blobs/sha256/, exactly as they came to the graph: digests stay what they were.
It knows the graph; nothing of names but that they are strings.

Source: OCI image specification 1.1, image-layout.md; Docker image specification 1.2 ("Combined Image JSON + Filesystem
Changeset Format") and 1.0 (``repositories``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from mini_docker.archive.compression import MAGIC_BYTES, Compression, detect
from mini_docker.archive.member import DIRECTORY, REGULAR, SYMLINK, Member
from mini_docker.archive.tar_writer import END_OF_ARCHIVE, encode_header, padding
from mini_docker.dataclasses import dataclass
from mini_docker.errors import Unsupported
from mini_docker.graph.digest import digest_of, hex_of
from mini_docker.graph.graph import Graph
from mini_docker.graph.image import Image
from mini_docker.graph.layer import Layer
from mini_docker.graph.taps import CHUNK_BYTES
from mini_docker.media_types import (
    OCI_CONFIG,
    OCI_GZIP_LAYER,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    OCI_ZSTD_LAYER,
)

REFERENCE_NAME = "org.opencontainers.image.ref.name"

_LAYER_TYPES = {
    Compression.NONE: OCI_LAYER,
    Compression.GZIP: OCI_GZIP_LAYER,
    Compression.ZSTD: OCI_ZSTD_LAYER,
}


class Writer(Protocol):
    """Anything that takes bytes: a file, or a job's standard output."""

    def write(self, data: bytes, /) -> object:
        """Take all of *data*."""


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image in an archive, with the names it has there.

    Attributes:
        names: ``repository:tag``, as the user or the archive writes them.
    """

    image: Image
    names: tuple[str, ...] = ()


def save(graph: Graph, entries: Sequence[ArchivedImage], out: Writer) -> None:
    """Write *entries* to *out* as one archive; what they share is in it once.

    Raises:
        NotFound: an image was deleted meanwhile.
        Unsupported: a layer's compression has no media type in OCI (xz, bzip2).
    """
    tar = _Tar(out)
    manifests, descriptors = [], []
    repositories: dict[str, dict[str, str]] = {}
    for entry in entries:
        image = entry.image
        layers = [graph.layer(chain) for chain in image.layers]
        types = [_write_layer(tar, graph, layer) for layer in layers]
        config = tar.blob(image.config_bytes)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": config, "size": len(image.config_bytes)},
            "layers": [
                {"mediaType": kind, "digest": layer.digest, "size": graph.blob_size(layer.digest)}
                for layer, kind in zip(layers, types, strict=True)
            ],
        }
        text = json.dumps(manifest).encode()
        descriptor = {"mediaType": OCI_MANIFEST, "digest": tar.blob(text), "size": len(text)}
        named = [{**descriptor, "annotations": {REFERENCE_NAME: name}} for name in entry.names]
        descriptors += named or [descriptor]
        manifests.append(
            {
                "Config": _blob_path(config),
                "RepoTags": list(entry.names),
                "Layers": [_blob_path(layer.digest) for layer in layers],
            }
        )
        old_id = _write_old_form(tar, image, layers)
        for name in entry.names:
            repository, _, tag = name.rpartition(":")
            repositories.setdefault(repository, {})[tag] = old_id
    tar.file("index.json", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors})
    tar.file("oci-layout", {"imageLayoutVersion": "1.0.0"})
    tar.file("manifest.json", manifests)
    if repositories:
        tar.file("repositories", repositories)
    out.write(END_OF_ARCHIVE)


def _write_layer(tar: _Tar, graph: Graph, layer: Layer) -> str:
    """Write the layer's blob, if it is not in the tar yet; returns its media type."""
    with graph.open_blob(layer.digest) as blob:
        compression = detect(blob.read(MAGIC_BYTES))
        if compression not in _LAYER_TYPES:
            raise Unsupported(
                f"layer {layer.digest} is compressed by {compression.value}: image archives cannot hold it"
            )
        blob.seek(0)
        if tar.begin_blob(layer.digest, graph.blob_size(layer.digest)):
            while piece := blob.read(CHUNK_BYTES):
                tar.out.write(piece)
            tar.out.write(padding(graph.blob_size(layer.digest)))
    return _LAYER_TYPES[compression]


def _write_old_form(tar: _Tar, image: Image, layers: Sequence[Layer]) -> str:
    """Write the chain of ids that Docker before 1.10 reads; returns the last one."""
    below = ""
    for number, layer in enumerate(layers):
        is_top = number == len(layers) - 1
        # Ids were random. Ours follow from what they stand for, so that equal images make equal archives.
        old_id = hex_of(digest_of(f"{below} {layer.chain_id} {image.id if is_top else ''}".encode()))
        facts: dict[str, Any] = {"id": old_id, "created": image.config.created or "1970-01-01T00:00:00Z", "os": "linux"}
        if below:
            facts["parent"] = below
        if is_top:
            facts |= {"architecture": image.config.architecture, "config": dict(image.config.config)}
        if tar.begin_folder(old_id):
            tar.raw(f"{old_id}/VERSION", b"1.0")
            tar.raw(f"{old_id}/json", json.dumps(facts).encode())
            tar.link(f"{old_id}/layer.tar", "../" + _blob_path(layer.digest))
        below = old_id
    return below


def _blob_path(digest: str) -> str:
    return "blobs/sha256/" + hex_of(digest)


class _Tar:
    """The tar under way, which writes no name twice."""

    def __init__(self, out: Writer) -> None:
        self.out = out
        self._written: set[str] = set()
        self.begin_folder("blobs")
        self.begin_folder("blobs/sha256")

    def begin_folder(self, name: str) -> bool:
        """Write a folder's header; False if it is there already."""
        if name in self._written:
            return False
        self._written.add(name)
        self.out.write(encode_header(Member(name.encode() + b"/", DIRECTORY, 0o755)))
        return True

    def begin_blob(self, digest: str, size: int) -> bool:
        """Write a blob's header, for the caller to write its content; False if it is there already."""
        name = _blob_path(digest)
        if name in self._written:
            return False
        self._written.add(name)
        self.out.write(encode_header(Member(name.encode(), REGULAR, size=size)))
        return True

    def blob(self, data: bytes) -> str:
        """Write a small blob; returns its digest."""
        digest = digest_of(data)
        if self.begin_blob(digest, len(data)):
            self.out.write(data + padding(len(data)))
        return digest

    def raw(self, name: str, data: bytes) -> None:
        """Write a small file."""
        self.out.write(encode_header(Member(name.encode(), REGULAR, size=len(data))) + data + padding(len(data)))

    def file(self, name: str, value: Any) -> None:
        """Write a small file of JSON."""
        self.raw(name, json.dumps(value).encode())

    def link(self, name: str, target: str) -> None:
        """Write a symlink."""
        self.out.write(encode_header(Member(name.encode(), SYMLINK, 0o777, link=target.encode())))
