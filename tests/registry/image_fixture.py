"""Makes small images for tests: layers, config and manifest as bytes, named by their digests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field

from mini_docker.media_types import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST
from mini_docker.registry.manifest import Descriptor, ImageManifest


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer_tar(files: dict[str, bytes]) -> bytes:
    """An uncompressed layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class ImageFixture:
    """An image as a registry holds it."""

    manifest: bytes
    config: bytes
    layers: list[bytes]
    media_type: str = DOCKER_MANIFEST
    diff_ids: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return digest(self.manifest)

    @property
    def id(self) -> str:
        return digest(self.config)

    @property
    def blobs(self) -> dict[str, bytes]:
        return {digest(data): data for data in [self.config, *self.layers]}


def make_image(
    *layers: dict[str, bytes], os: str = "linux", architecture: str = "amd64", level: int = 1, **config: object
) -> ImageFixture:
    """An image with a gzipped layer for each mapping of file names to contents."""
    tars = [layer_tar(files) for files in layers]
    blobs = [gzip.compress(tar, level, mtime=0) for tar in tars]
    diff_ids = [digest(tar) for tar in tars]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    text = json.dumps({"architecture": architecture, "os": os, "config": config, "rootfs": rootfs}).encode()
    manifest = ImageManifest(
        DOCKER_MANIFEST,
        Descriptor(DOCKER_CONFIG, digest(text), len(text)),
        tuple(Descriptor(DOCKER_LAYER, digest(blob), len(blob)) for blob in blobs),
    )
    return ImageFixture(manifest.encode(), text, blobs, diff_ids=diff_ids)
