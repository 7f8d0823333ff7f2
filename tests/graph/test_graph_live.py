"""The graph on the real drivers: images, containers, commit, save and load, with a kernel below."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.drivers.graphdriver.contract import Change, ChangeKind, GraphDriver
from mini_docker.drivers.graphdriver.overlay import OverlayDriver
from mini_docker.drivers.graphdriver.vfs import VfsDriver
from mini_docker.graph.commit import commit
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.graph import Graph
from mini_docker.graph.image_archive import ArchivedImage, save
from mini_docker.graph.image_loader import load
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.graph.layer_tars import add_image

pytestmark = pytest.mark.root

if os.geteuid() != 0:
    pytest.skip("needs root: real graph drivers mount and change owners", allow_module_level=True)


def layer(**files: str | None) -> bytes:
    """A tar of folders (None) and files, owned by root."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO((content or "").encode()))
    return out.getvalue()


BASE = layer(etc=None, etc__hosts="the image's own", bin=None, bin__sh="#!")
UPPER = layer(srv=None, srv__data="data")


@pytest.fixture(params=[OverlayDriver, VfsDriver], ids=["overlay", "vfs"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GraphDriver]:
    made: GraphDriver = request.param(tmp_path / "driver", LinuxKernel())
    available = made.available()
    if not available:
        pytest.skip(available.reason)
    yield made
    made.cleanup()


def test_from_image_to_container_to_image(driver: GraphDriver, tmp_path: Path) -> None:
    """An image, a container that changes it, a commit, a save, a load on another machine, and nothing left behind."""
    graph, layers = Graph(tmp_path / "graph", driver), ContainerLayers(driver)
    image = add_image(graph, [BASE, UPPER])
    layers.create("c" * 64, image)
    root = layers.open("c" * 64).as_path()
    assert Path(root, "etc/hosts").read_text() == "the image's own"
    assert os.readlink(f"{root}/etc/mtab") == "/proc/mounts"
    assert layers.changes("c" * 64) == []
    Path(root, "srv/data").unlink()
    Path(root, "bin/new").write_text("new")
    layers.close("c" * 64)
    assert layers.changes("c" * 64) == [
        Change("/bin", ChangeKind.MODIFIED), Change("/bin/new", ChangeKind.ADDED),
        Change("/srv", ChangeKind.MODIFIED), Change("/srv/data", ChangeKind.DELETED),
    ]  # fmt: skip
    assert layers.size("c" * 64) == 3
    with layers.diff("c" * 64) as diff:
        child = commit(graph, image, diff)
    assert graph.own_size(child) == 3

    saved = io.BytesIO()
    save(graph, [ArchivedImage(child, ("me/child:1",))], saved)
    saved.seek(0)
    other_driver = type(driver)(tmp_path / "other-driver", LinuxKernel())  # type: ignore[call-arg]
    other, others_layers = Graph(tmp_path / "other", other_driver), ContainerLayers(other_driver)
    [loaded] = load(other, saved)
    assert (loaded.image.id, loaded.image.layers, loaded.names) == (child.id, child.layers, ("me/child:1",))
    others_layers.create("d" * 64, other.get(child.id))
    root = others_layers.open("d" * 64).as_path()
    assert Path(root, "bin/new").read_text() == "new" and not Path(root, "srv/data").exists()
    assert Path(root, "srv").is_dir() and Path(root, "bin/sh").read_text() == "#!"
    others_layers.close("d" * 64)
    others_layers.remove("d" * 64)
    other.delete(child.id)
    assert list(other_driver.layers()) == []
    other_driver.cleanup()

    layers.remove("c" * 64)
    graph.delete(child.id)
    graph.delete(image.id)
    assert list(driver.layers()) == []
    assert [path for path in (tmp_path / "graph").rglob("*") if path.is_file()] == []


def test_an_image_removed_under_a_container(driver: GraphDriver, tmp_path: Path) -> None:
    """The container keeps its root over a restart of the daemon; its end takes the layers along."""
    graph, layers = Graph(tmp_path / "graph", driver), ContainerLayers(driver)
    image = add_image(graph, [BASE])
    layers.create("c" * 64, image)
    graph.delete(image.id)
    driver.cleanup()
    graph, layers = Graph(tmp_path / "graph", driver), ContainerLayers(driver)
    graph.recover()
    layers.recover()
    assert Path(layers.open("c" * 64).as_path(), "bin/sh").read_text() == "#!"
    layers.close("c" * 64)
    layers.remove("c" * 64)
    graph.collect()
    assert list(driver.layers()) == []


def test_a_container_without_an_image(driver: GraphDriver) -> None:
    """An empty root, with the stubs only."""
    layers = ContainerLayers(driver)
    layers.create("c" * 64, None)
    root = layers.open("c" * 64).as_path()
    assert sorted(os.listdir(root)) == [".dockerenv", "dev", "etc", "proc", "sys"]
    layers.close("c" * 64)
    layers.remove("c" * 64)
    layers.recover()
    assert list(driver.layers()) == []
