"""One daemon for each test module, with busybox in it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.house import House, opened


def root_tar(root: Path) -> bytes:
    """A folder as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(root, arcname=".", filter=_as_root)
    return out.getvalue()


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


@pytest.fixture(scope="session")
def busybox_tar(busybox_root: Path) -> bytes:
    """The busybox root as `docker import` takes it."""
    return root_tar(busybox_root)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, busybox_tar: bytes) -> Iterator[House]:
    """A running daemon with the image busybox."""
    with opened(House(tmp_path_factory.mktemp("house")), busybox_tar) as house:
        yield house


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """The daemon lives for the whole module, so here the count is taken in terms of containers."""
    house: House = request.getfixturevalue("house")
    yield
    ids = house.ours("ps", "-aq").out.split() if house.daemon is not None else []
    if ids:
        assert house.ours("rm", "-f", *ids).code == 0
