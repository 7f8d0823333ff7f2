"""A house for each test of the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.fakes import FakeHouse


@pytest.fixture
def house(tmp_path: Path) -> Iterator[FakeHouse]:
    """A daemon on fakes, with the image busybox."""
    house = FakeHouse(tmp_path)
    house.image()
    yield house
    house.daemon.shutdown()
