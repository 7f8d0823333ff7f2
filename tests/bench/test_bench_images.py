"""The images that are pulled, pushed and loaded: made of the same bytes in both forms."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from bench.image_maker import make_big_image, many_images_archive, small_layer


def test_archive_and_blobs_hold_the_same_layers(tmp_path: Path) -> None:
    """Load and pull are compared: they must bring the same files."""
    image = make_big_image(tmp_path, layers=2, files=20, size=200_000)
    with tarfile.open(image.archive) as tar:
        (described,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        loaded = [tar.extractfile(name).read() for name in described["Layers"]]  # type: ignore[union-attr]
    manifest = json.loads(image.manifest)
    pulled = [gzip.decompress(image.blobs[layer["digest"]].read_bytes()) for layer in manifest["layers"]]
    assert loaded == pulled
    for digest, path in image.blobs.items():
        assert digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_size_and_number_of_files_are_as_asked_and_compress_to_about_half(tmp_path: Path) -> None:
    """An image of zeros would be pulled in no time."""
    image = make_big_image(tmp_path, layers=2, files=20, size=2_000_000)
    manifest = json.loads(image.manifest)
    with tarfile.open(
        fileobj=io.BytesIO(gzip.decompress(image.blobs[manifest["layers"][0]["digest"]].read_bytes()))
    ) as tar:
        sizes = [member.size for member in tar]
    assert len(sizes) == 10 and sum(sizes) == 1_000_000
    compressed = sum(layer["size"] for layer in manifest["layers"])
    assert 0.35 < compressed / 2_000_000 < 0.65


def test_many_images_differ() -> None:
    """Equal configs would be one image with many names."""
    with tarfile.open(fileobj=io.BytesIO(many_images_archive(7, [small_layer()], "many"))) as tar:
        described = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert len({entry["Config"] for entry in described}) == 7
    assert described[6]["RepoTags"] == ["many:6"]
