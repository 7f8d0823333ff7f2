"""Our client against the real registry."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.errors import NotFound
from tests.registry.debian_registry import debian_registry, fill
from tests.registry.image_fixture import make_image
from tests.registry.pull_bench import PullBench


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with debian_registry(tmp_path_factory.mktemp("debian")) as address:
        yield address


def test_pull_from_the_real_registry(host: str, tmp_path: Path) -> None:
    """The wire format is what a real registry speaks, not what our own test server does."""
    made = make_image({"a": b"1"}, {"b": b"2" * 300_000})
    fill(host, "me/app", "1", made)
    bench = PullBench(tmp_path)
    lines = bench.pull(f"{host}/me/app", "1")
    assert lines[-2]["status"] == f"Digest: {made.digest}"
    assert bench.graph.exists(made.id)
    assert bench.leftovers() == []


def test_all_tags_of_the_real_registry(host: str, tmp_path: Path) -> None:
    """The list of tags, as it comes from there."""
    for tag in ("a", "b"):
        fill(host, "me/tags", tag, make_image({tag: tag.encode()}))
    bench = PullBench(tmp_path)
    bench.pull(f"{host}/me/tags")
    assert sorted(bench.tags.all()) == [f"{host}/me/tags:a", f"{host}/me/tags:b"]


@pytest.mark.parametrize("name", ["me/app:none", "me/none:1"])
def test_missing_at_the_real_registry(host: str, tmp_path: Path, name: str) -> None:
    """Its code for a missing manifest gives Docker's sentence."""
    with pytest.raises(NotFound, match=f"manifest for {host}/{name} not found: manifest unknown: manifest unknown"):
        PullBench(tmp_path).pull(f"{host}/{name}")


def test_oci_images_as_skopeo_pushes_them(host: str, tmp_path: Path) -> None:
    """OCI manifests and zstd layers come from other tools than Docker's."""
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    made = make_image({"a": b"1" * 1000})
    fill(host, "me/docker", "1", made)
    subprocess.run(
        ["skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--format", "oci",
         "--dest-compress-format", "zstd", f"docker://{host}/me/docker:1", f"docker://{host}/me/oci:1"],
        check=True, capture_output=True,
    )  # fmt: skip
    bench = PullBench(tmp_path)
    bench.pull(f"{host}/me/oci", "1")
    (image,) = bench.graph.images()
    assert list(image.config.diff_ids) == made.diff_ids
    assert bench.leftovers() == []
