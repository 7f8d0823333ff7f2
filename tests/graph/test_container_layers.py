"""A container's two layers: stubs shared by all containers of an image, and what the container writes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mini_docker.drivers.graphdriver.contract import Change, ChangeKind, StorageOptions
from mini_docker.errors import Conflict, NotFound, Unsupported
from mini_docker.graph.commit import commit
from mini_docker.graph.container_layers import STUBS, ContainerLayers, Stub, write_stubs
from mini_docker.graph.graph import Graph
from mini_docker.graph.layer import driver_layer, init_layer
from tests.graph.fake_driver import FakeDriver
from tests.graph.layer_tars import add_image, tar

A = tar({"a": "a", "etc/hosts": "the image's own"})


@pytest.fixture
def driver(tmp_path: Path) -> FakeDriver:
    return FakeDriver(tmp_path / "fake")


@pytest.fixture
def graph(tmp_path: Path, driver: FakeDriver) -> Graph:
    return Graph(tmp_path / "graph", driver)


@pytest.fixture
def layers(driver: FakeDriver) -> ContainerLayers:
    return ContainerLayers(driver)


def test_a_container_sees_image_and_stubs_and_has_changed_nothing(graph: Graph, layers: ContainerLayers) -> None:
    """The stubs are no changes: diff and commit must not show what the daemon put there."""
    layers.create("c1", add_image(graph, [A]))
    root = Path(layers.open("c1").as_path())
    assert (root / "etc/hosts").read_text() == "the image's own"
    assert (root / "etc/mtab").readlink() == Path("/proc/mounts")
    assert (root / "dev/console").is_file() and (root / "proc").is_dir() and (root / "dev/shm").is_dir()
    assert layers.changes("c1") == [] and layers.size("c1") == 0
    layers.close("c1")


def test_commit_adds_what_the_container_wrote(graph: Graph, layers: ContainerLayers, driver: FakeDriver) -> None:
    """diff against the init layer, applied on the image's own stack: no stub gets in."""
    image = add_image(graph, [A])
    layers.create("c1", image)
    root = Path(layers.open("c1").as_path())
    (root / "new").write_text("written")
    (root / "a").unlink()
    layers.close("c1")
    assert layers.changes("c1") == [Change("/a", ChangeKind.DELETED), Change("/new", ChangeKind.ADDED)]
    with layers.diff("c1") as diff:
        child = commit(graph, image, diff, comment="why", created_by="sh")
    assert driver.tree(driver_layer(child.layers[1])) == {"/etc/hosts": "the image's own", "/new": "written"}
    assert child.parent == image.id and child.config.history[-1].created_by == "sh"
    assert layers.size("c1") == graph.own_size(child) == len("written")


def test_a_commit_without_changes_adds_no_layer(graph: Graph, layers: ContainerLayers) -> None:
    """`RUN true` and metadata instructions are steps in the history, not layers."""
    image = add_image(graph, [A])
    layers.create("c1", image)
    with layers.diff("c1") as diff:
        child = commit(graph, image, diff, config={"Cmd": ["sh"]})
    again = commit(graph, child, None, config={"Cmd": ["ls"]})
    assert child.layers == again.layers == image.layers
    assert [step.empty_layer for step in again.config.history] == [True, True]
    assert again.config.config == {"Cmd": ["ls"]}


def test_containers_of_an_image_share_one_init_layer(graph: Graph, layers: ContainerLayers, driver: FakeDriver) -> None:
    """And it goes with the image."""
    image = add_image(graph, [A])
    for name in ("c1", "c2"):
        layers.create(name, image)
    assert driver.layers().count(init_layer(image.top)) == 1
    assert len(driver.layers()) == 4
    layers.remove("c1")
    layers.remove("c2")
    graph.delete(image.id)
    assert driver.layers() == []


def test_an_init_layer_is_made_again_when_its_image_is(graph: Graph, layers: ContainerLayers) -> None:
    """The graph took it away with the image; whoever cached it must notice."""
    image = add_image(graph, [A])
    layers.create("c1", image)
    layers.remove("c1")
    graph.delete(image.id)
    with pytest.raises(NotFound):
        layers.create("c1", image)
    assert not layers.exists("c1")
    layers.create("c1", add_image(graph, [A]))
    assert layers.exists("c1")


def test_a_container_without_an_image(layers: ContainerLayers) -> None:
    """An empty root with stubs."""
    layers.create("c1", None)
    assert layers.changes("c1") == []
    layers.remove("c1")


def test_what_is_wrong_is_said(graph: Graph, layers: ContainerLayers) -> None:
    """Each by its kind."""
    image = add_image(graph, [A])
    layers.create("c1", image)
    with pytest.raises(Conflict):
        layers.create("c1", image)
    layers.open("c1")
    with pytest.raises(Conflict):
        layers.remove("c1")
    layers.close("c1")
    layers.remove("c1")
    with pytest.raises(NotFound):
        layers.open("c1")
    with pytest.raises(Unsupported):
        layers.create("c2", image, StorageOptions(size_bytes=1))
    assert layers.containers() == []


def test_a_restarted_daemon_knows_all_containers(graph: Graph, layers: ContainerLayers, driver: FakeDriver) -> None:
    """By the driver's own list; and the init layer under a living container is left alone."""
    image, other = add_image(graph, [A]), add_image(graph, [tar({"b": "b"})])
    layers.create("c1", image)
    layers.create("c2", other)
    layers.remove("c2")
    again = ContainerLayers(driver)
    again.recover()
    assert again.containers() == ["c1"]
    assert init_layer(image.top) in driver.layers() and init_layer(other.top) not in driver.layers()
    (Path(again.adopt("c1", -1).as_path()) / "x").write_text("x")
    assert again.changes("c1") == [Change("/x", ChangeKind.ADDED)]


def test_an_image_s_symlinks_lead_nowhere(tmp_path: Path) -> None:
    """/etc -> /root/host in a hostile image: the daemon, root on the host, must not write through it."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (root / "etc").symlink_to(outside)
    (root / "dev").write_text("a file where a folder should be")
    (root / "proc").symlink_to(outside)
    write_stubs(str(root), STUBS)
    assert list(outside.iterdir()) == []
    assert (root / "sys").is_dir() and (root / ".dockerenv").is_file()


def test_stubs_are_at_most_one_folder_deep() -> None:
    """The wall against symlinks is O_NOFOLLOW on that one folder."""
    assert all(stub.path.count("/") <= 1 for stub in STUBS)
    assert Stub("etc", folder=True) in STUBS


def test_names_fit_every_driver(graph: Graph, layers: ContainerLayers, driver: FakeDriver) -> None:
    """A container's id has 64 digits, and a driver allows a layer's id 128 characters."""
    layers.create("c" * 64, add_image(graph, [A]))
    assert max(len(name) for name in driver.layers()) <= 128


def test_many_first_containers_at_once(graph: Graph, layers: ContainerLayers, driver: FakeDriver) -> None:
    """One makes the init layer, the others wait for it."""
    image = add_image(graph, [A])
    gate, errors = threading.Barrier(6), []

    def create(number: int) -> None:
        gate.wait(10)
        try:
            layers.create(f"c{number}", image)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert errors == [] and len(layers.containers()) == 6
    assert all(layers.changes(name) == [] for name in layers.containers())
