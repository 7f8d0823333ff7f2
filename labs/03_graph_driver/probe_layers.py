"""Layers seen from outside: by lstat in the driver's folder, by the mount table, and by containers of a whole Docker."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.drivers.graphdriver.contract import StorageOptions
from mini_docker.drivers.graphdriver.overlay import OverlayDriver
from mini_docker.drivers.graphdriver.vfs import VfsDriver
from mini_docker.lab.house import House
from mini_docker.linux.linux_kernel import LinuxKernel

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="mounts overlays: needs root")]


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[OverlayDriver]:
    """A driver in a folder of its own, or a skip with its reason."""
    driver = OverlayDriver(tmp_path / "driver", LinuxKernel())
    available = driver.available()
    if not available:
        pytest.skip(available.reason)
    yield driver
    driver.cleanup()


def test_the_upper_sheet_has_the_strokes_and_nothing_else(overlay: OverlayDriver, tmp_path: Path) -> None:
    """A write lies in the container's own sheet, a deletion as a device 0/0; the image's sheet is as it was."""
    kept, gone, new = (secrets.token_hex(6) for _ in range(3))
    overlay.create("image", None)
    sheet = tmp_path / "driver/image/diff"
    for name in (kept, gone):
        (sheet / name).write_text(name)
    overlay.create_read_write("box", "image", StorageOptions())
    root = Path(overlay.open("box").as_path())
    assert sorted(os.listdir(root)) == sorted([kept, gone])
    (root / new).write_text(new)
    (root / gone).unlink()
    overlay.close("box")
    overlay.cleanup()
    upper = tmp_path / "driver/box/diff"
    assert sorted(os.listdir(upper)) == sorted([gone, new])
    status = (upper / gone).lstat()
    assert stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
    assert {name: (sheet / name).read_text() for name in (kept, gone)} == {kept: kept, gone: gone}


def test_an_open_layer_stands_in_no_mount_table(overlay: OverlayDriver) -> None:
    """Whoever crashes now leaks nothing."""
    before = Path("/proc/self/mountinfo").read_text()
    overlay.create("image", None)
    overlay.create_read_write("box", "image", StorageOptions())
    overlay.open("box")
    during = Path("/proc/self/mountinfo").read_text()
    overlay.close("box")
    assert during == before


def test_an_image_layer_cannot_be_written_to(overlay: OverlayDriver) -> None:
    """Two images may stand on it: what one container wrote, others would see."""
    overlay.create("base", None)
    overlay.create("child", "base")
    for layer in ("base", "child"):
        root = Path(overlay.open(layer).as_path())
        with pytest.raises(OSError):
            (root / secrets.token_hex(4)).touch()
        overlay.close(layer)


def test_a_file_that_happens_to_be_named_like_a_mark_is_a_file(tmp_path: Path) -> None:
    """In a whole tree nothing is a mark: a copy has the file and its neighbour."""
    name = secrets.token_hex(4)
    driver = VfsDriver(tmp_path / "driver", LinuxKernel())
    driver.create("base", None)
    base = Path(driver.open("base").as_path())
    for written in (name, f".wh.{name}"):
        (base / written).write_text(written)
    driver.create("copy", "base")
    copied = os.listdir(driver.open("copy").as_path())
    for layer in ("base", "copy"):
        driver.close(layer)
    assert sorted(copied) == [f".wh.{name}", name]


@pytest.mark.parametrize("driver", ["vfs", "overlay"])
def test_a_whole_docker_stands_on_your_layers(driver: str, tmp_path: Path) -> None:
    """A commit carries a random file into an image, a container of it reads it, and the first image lacks it."""
    word = secrets.token_hex(8)
    with House(tmp_path, "-s", driver) as house:
        house.run("run", "--name", word, "busybox", "sh", "-c", f"echo {word} > /note; rm /bin/wc")
        assert {"A /note", "D /bin/wc"} <= set(house.run("diff", word).splitlines())
        house.run("commit", word, "noted")
        assert house.run("run", "--rm", "noted", "cat", "/note") == f"{word}\n"
        assert house.run("run", "--rm", "noted", "sh", "-c", "ls /bin/wc 2>/dev/null || echo none") == "none\n"
        assert house.run("run", "--rm", "busybox", "sh", "-c", "ls /note 2>/dev/null || echo none") == "none\n"
        house.run("rm", word)
