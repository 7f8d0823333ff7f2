"""podman with our registry, and podman with another registry beside our client: digests and ids are equal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.debian_registry import debian_registry, fill
from tests.registry.image_fixture import ImageFixture, digest
from tests.registry.podman import Podman, podman
from tests.registry.pull_bench import PullBench
from tests.registry.server.own_registry import OwnRegistry

CLEAR = "--tls-verify=false"


@pytest.fixture
def theirs() -> Iterator[Podman]:
    with podman() as running:
        yield running


def test_podman_pulls_from_our_registry_and_pushes_to_it(
    theirs: Podman, registry: OwnRegistry, image: ImageFixture
) -> None:
    """By tag and by digest it shows our digest; and what it pushed (compressed anew) we know by the digest it tells."""
    registry.push("me/app", "1", image)
    name = f"{registry.host}/me/app:1"
    assert theirs.pull(name, CLEAR) == image.id
    assert theirs.digest(name) == image.digest
    assert theirs.pull(f"{registry.host}/me/app@{image.digest}", CLEAR) == image.id
    pushed = theirs.push(name, f"{registry.host}/you/app:2", CLEAR)
    kept = registry.ask("GET", "/v2/you/app/manifests/2")
    assert digest(kept.body) == kept.headers["Docker-Content-Digest"] == pushed
    assert json.loads(kept.body)["config"]["digest"] == image.id


@pytest.mark.parametrize("form", ["v2s2", "oci"])
def test_what_podman_pushes_our_client_pulls(
    theirs: Podman, registry: OwnRegistry, image: ImageFixture, tmp_path: Path, form: str
) -> None:
    """In both forms of a manifest, compressed anew by podman: our client finds the same layers in it."""
    registry.push("me/app", "1", image)
    theirs.pull(f"{registry.host}/me/app:1", CLEAR)
    name = f"{registry.host}/their/{form}"
    flags = (CLEAR, "--format", form, "--remove-signatures")
    pushed = theirs.push(f"{registry.host}/me/app:1", f"{name}:1", *flags)
    ours = PullBench(tmp_path / "ours")
    lines = ours.pull(name, "1")
    assert lines[-2]["status"] == f"Digest: {pushed}"
    (found,) = ours.graph.images()
    assert list(found.config.diff_ids) == image.diff_ids


def test_what_our_client_pushes_podman_pulls(
    theirs: Podman, registry: OwnRegistry, image: ImageFixture, tmp_path: Path
) -> None:
    """Through our registry, and through Debian's: podman shows the digest that our push reported."""
    with debian_registry(tmp_path) as debian:
        fill(debian, "me/app", "1", image)
        ours = PullBench(tmp_path / "ours")
        ours.pull(f"{debian}/me/app", "1")
        for host in (registry.host, debian):
            ours.tags.set(f"{host}/ours/app", "2", image.id)
            pushed = ours.push(f"{host}/ours/app", "2")[-1]["aux"]["Digest"]
            assert theirs.pull(f"{host}/ours/app:2", CLEAR) == image.id
            assert theirs.digest(f"{host}/ours/app:2") == pushed == image.digest
