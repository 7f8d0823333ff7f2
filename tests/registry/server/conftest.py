"""Our registry, running, and an image for it; a module that needs another one has its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.image_fixture import ImageFixture, make_image
from tests.registry.server.own_registry import OwnRegistry, own_registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[OwnRegistry]:
    with own_registry(tmp_path / "own") as running:
        yield running


@pytest.fixture
def image() -> ImageFixture:
    return make_image({"a": b"1"}, {"b": bytes(range(256)) * 2000})
