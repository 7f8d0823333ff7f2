"""Makes the big image: 200 MB in 5 layers and 13,000 files, in both forms in which images travel.

Its files compress to about half, as programs and texts do. The same seed makes the same image every time.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zlib_ng import zlib_ng

LAYERS = 5
FILES = 13_000
SIZE_BYTES = 200_000_000
NAME = "big"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True, slots=True)
class BigImage:
    """The image on disk.

    Attributes:
        archive: as ``docker save`` writes it, layers uncompressed.
        blobs: digest → file: the config and the gzipped layers, as a registry holds them.
        manifest: the registry's, schema 2.
    """

    archive: Path
    blobs: dict[str, Path]
    manifest: bytes


def make_big_image(folder: Path, layers: int = LAYERS, files: int = FILES, size: int = SIZE_BYTES) -> BigImage:
    """Write the image below *folder*: *size* bytes in all, evenly spread."""
    chance = random.Random(20131114)
    tars = [_layer(chance, number, files // layers, size // files) for number in range(layers)]
    diff_ids = [_digest(tar) for tar in tars]
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]}, "created": "2013-11-14T00:00:00Z",
         "history": [{"created": "2013-11-14T00:00:00Z"}] * layers,
         "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    ).encode()  # fmt: skip
    archive = folder / "archive.tar"
    _write_archive(archive, config, tars)
    blobs: dict[str, Path] = {}
    described = []
    for data, kind in [(config, DOCKER_CONFIG), *((_gzip(tar), DOCKER_LAYER) for tar in tars)]:
        path = folder / _digest(data).removeprefix("sha256:")
        path.write_bytes(data)
        blobs[_digest(data)] = path
        described.append({"mediaType": kind, "size": len(data), "digest": _digest(data)})
    manifest = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": described[0], "layers": described[1:]}
    return BigImage(archive, blobs, json.dumps(manifest).encode())


def many_images_archive(count: int, layers: Sequence[bytes], prefix: str) -> bytes:
    """*count* images that differ in their config only, named ``PREFIX:0`` and up, all over *layers* (tar archives)."""
    described = []
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, layer in zip(names, layers, strict=True):
            _add(tar, name, layer)
        for number in range(count):
            config = json.dumps(
                {"architecture": "amd64", "os": "linux", "config": {"Env": [f"NUMBER={number}"]},
                 "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]}}
            ).encode()  # fmt: skip
            config_name = _digest(config).removeprefix("sha256:") + ".json"
            _add(tar, config_name, config)
            described.append({"Config": config_name, "RepoTags": [f"{prefix}:{number}"], "Layers": names})
        _add(tar, "manifest.json", json.dumps(described).encode())
    return buffer.getvalue()


def small_layer(name: str = "file") -> bytes:
    """A layer of one file, as a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, name, b"content\n")
    return buffer.getvalue()


def _layer(chance: random.Random, number: int, files: int, file_bytes: int) -> bytes:
    text = b" ".join(b"%d" % chance.randrange(1000) for _ in range(file_bytes))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for index in range(files):
            start = chance.randrange(len(text) - file_bytes)
            half = file_bytes * 3 // 10
            content = chance.randbytes(half) + text[start : start + file_bytes - half]
            _add(tar, f"usr/share/layer{number}/{index // 100}/file{index}", content)
    return buffer.getvalue()


def _write_archive(path: Path, config: bytes, layers: Sequence[bytes]) -> None:
    config_name = _digest(config).removeprefix("sha256:") + ".json"
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    with tarfile.open(path, "w") as tar:
        _add(tar, config_name, config)
        for name, layer in zip(names, layers, strict=True):
            _add(tar, name, layer)
        described = [{"Config": config_name, "RepoTags": [f"{NAME}:1"], "Layers": names}]
        _add(tar, "manifest.json", json.dumps(described).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(content), 0o644, 1_384_387_200
    tar.addfile(member, io.BytesIO(content))


def _gzip(data: bytes) -> bytes:
    made = zlib_ng.compressobj(6, zlib_ng.DEFLATED, 31)
    return bytes(made.compress(data) + made.flush())


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
