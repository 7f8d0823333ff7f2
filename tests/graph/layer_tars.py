"""Layers for tests: tars from a mapping of names to contents."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Sequence
from typing import BinaryIO

from mini_docker.graph.digest import digest_of
from mini_docker.graph.graph import Graph
from mini_docker.graph.image import Image


def memory_folder() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder in memory where there is one: for tests with thousands of fsyncs and no need of a disk."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def tar(files: dict[str, str]) -> bytes:
    """A tar that holds *files*; the same for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


def stream(data: bytes) -> BinaryIO:
    return io.BytesIO(data)


def squeezed(data: bytes) -> bytes:
    """By gzip, the same for the same data."""
    return gzip.compress(data, mtime=0)


def config_for(tars: Sequence[bytes], **fields: object) -> bytes:
    """An image's configuration with *tars* as its layers."""
    rootfs = {"type": "layers", "diff_ids": [digest_of(data) for data in tars]}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, **fields}).encode()


def add_image(graph: Graph, tars: Sequence[bytes], parent: str | None = None, **fields: object) -> Image:
    """Add the layers and register the image, as a pull does."""
    with graph.lease():
        chain = None
        for data in tars:
            chain = graph.add_layer(chain, stream(squeezed(data)), expected_diff_id=digest_of(data)).chain_id
        return graph.register(config_for(tars, **fields), parent=parent)
