"""kill -9 at every file operation: the store opens again, whole, with the rubbish collected.

A child process does the work with an audit hook that counts the operations Python makes on files (open, mkdir,
rename, remove, …; see "Audit events table" in Python's library reference) and kills itself with SIGKILL just before
the N-th, or, where that opens a file for writing, just after it, when the file is there and empty. The parent waits,
opens what is left, and compares it with what may be there. N grows until the child survives; so every gap between two
operations is tried, the fake driver's included.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mini_docker.graph.commit import commit
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.digest import digest_of
from mini_docker.graph.graph import Graph
from mini_docker.graph.image import Image
from mini_docker.graph.image_archive import ArchivedImage, save
from mini_docker.graph.image_loader import load
from mini_docker.graph.layer import driver_layer, init_layer
from mini_docker.graph.tag_store import TagStore
from tests.graph.fake_driver import FakeDriver
from tests.graph.layer_tars import add_image, config_for, memory_folder, squeezed, stream, tar
from tests.graph.rebasing_driver import Homemade, RebasingFakeDriver, always_side_by_side

A, B = tar({"a": "a"}), tar({"b": "b"})
OPERATIONS = ("open", "os.", "shutil.", "tempfile.")


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as name:
        yield Path(name)


def opened(root: Path, side_by_side: bool = False) -> Graph:
    """The store as it lies there."""
    if side_by_side:
        return Graph(root / "graph", RebasingFakeDriver(root / "fake"), Homemade())
    return Graph(root / "graph", FakeDriver(root / "fake"))


def store(root: Path, side_by_side: bool = False) -> Graph:
    """The store as a daemon opens it at its start."""
    graph = opened(root, side_by_side)
    assert isinstance(graph.driver, FakeDriver)
    graph.driver.cleanup()
    graph.recover()
    return graph


def killed(work: Callable[[], object], at: int) -> bool:
    """Whether a child that runs *work* is killed before its operation number *at*; else it ends well."""
    pid = os.fork()
    if pid == 0:
        left = at

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if not event.startswith(OPERATIONS) or event in ("os.kill", "os.listdir", "os.scandir"):
                return
            gaps = 2 if event == "open" and writes(arguments) else 1
            before, after, left = left == 1, left == gaps == 2, left - gaps
            if after:
                os.close(os.open(str(arguments[0]), int(str(arguments[2])), 0o600))
            if before or after:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the work failed by itself"
    return os.WIFSIGNALED(status)


def writes(arguments: tuple[object, ...]) -> bool:
    """Whether the operation opens a file by its whole path for writing."""
    path, _, flags = arguments
    return isinstance(path, str) and path.startswith("/") and isinstance(flags, int) and bool(flags & os.O_CREAT)


def check_whole(graph: Graph, root: Path) -> None:
    """Every image readable to its last layer, and not a file more than they need."""
    driver = graph.driver
    assert isinstance(driver, FakeDriver)
    needed = set()
    for image in graph.images():
        for chain in image.layers:
            layer = graph.layer(chain)
            with graph.layer_tar(chain) as plain:
                assert digest_of(plain.read()) == layer.diff_id
            needed.add(layer)
        if image.top is not None:
            assert (
                driver.tree(driver_layer(image.top)) == {"/a": "a", "/b": "b"}
                if len(image.layers) == 2
                else {"/a": "a"}
            )
    assert set(driver.layers()) == {driver_layer(layer.chain_id) for layer in needed}
    kept = {str(path.relative_to(root / "graph")) for path in (root / "graph").rglob("*") if path.is_file()}
    expected = {f"layers/{driver_layer(layer.chain_id)}.json" for layer in needed}
    expected |= {f"blobs/sha256/{layer.digest[7:]}" for layer in needed}
    expected |= {f"images/{image.id[7:]}/json" for image in graph.images()}
    expected |= {f"images/{image.id[7:]}/parent" for image in graph.images() if image.parent}
    assert kept == expected
    assert not list((root / "graph" / "tmp").iterdir())


def enumerate_crashes(
    folder: Path, prepare: Callable[[Graph], object], work: Callable[[Graph], object], side_by_side: bool = False
) -> list[set[str]]:
    """Which images there were after each crash; the last entry is that of the run that got through."""
    seen = []
    for number in range(1, 1000):
        root = folder / str(number)
        prepare(store(root, side_by_side))
        graph = opened(root, side_by_side)
        died = killed(lambda graph=graph: work(graph), number)  # type: ignore[misc]
        after = store(root, side_by_side)
        check_whole(after, root)
        seen.append({image.id for image in after.images()})
        work_again(after, work)  # a second try finds nothing in its way
        check_whole(store(root, side_by_side), root)
        if not died:
            return seen
    raise AssertionError("the work never got through")


def work_again(graph: Graph, work: Callable[[Graph], object]) -> None:
    try:
        work(graph)
    except Exception as error:
        assert type(error).__name__ == "NotFound", error  # it was deleted already


def image_id(tars: list[bytes]) -> str:
    return Image.from_config(config_for(tars)).id


@pytest.mark.parametrize("known", [True, False], ids=["one pass", "two passes"])
def test_adding_and_registering(folder: Path, known: bool) -> None:
    """Either the whole image, or nothing of it."""

    def pull(graph: Graph) -> None:
        with graph.lease():
            chain = None
            for data in (A, B):
                expected = digest_of(data) if known else None
                chain = graph.add_layer(chain, stream(squeezed(data)), expected_diff_id=expected).chain_id
            graph.register(config_for([A, B]))

    seen = enumerate_crashes(folder, lambda graph: None, pull)
    assert len(seen) > 30  # the count is of real operations
    assert seen == sorted(seen, key=len) and seen[0] == set() and seen[-1] == {image_id([A, B])}


def test_deleting(folder: Path) -> None:
    """Either the image is there, whole, or it is gone with all that only it needed; what others need stays."""

    def prepare(graph: Graph) -> None:
        add_image(graph, [A])
        add_image(graph, [A, B])

    seen = enumerate_crashes(folder, prepare, lambda graph: graph.delete(image_id([A, B])))
    assert all(image_id([A]) in images for images in seen)
    assert image_id([A, B]) in seen[0] and image_id([A, B]) not in seen[-1]
    assert seen == sorted(seen, key=len, reverse=True)


def test_committing(folder: Path) -> None:
    """A child image's record has two files: both or none."""

    def prepare(graph: Graph) -> None:
        add_image(graph, [A])

    def work(graph: Graph) -> None:
        commit(graph, graph.get(image_id([A])), stream(B))

    seen = enumerate_crashes(folder, prepare, work)
    assert [len(images) for images in seen] == sorted(len(images) for images in seen)


def test_loading(folder: Path) -> None:
    """An archive's files are linked into the store, not copied: neither name of one may outlive the crash alone."""
    other = store(folder / "other")
    out = io.BytesIO()
    save(other, [ArchivedImage(add_image(other, [A]))], out)
    seen = enumerate_crashes(folder, lambda graph: None, lambda graph: load(graph, stream(out.getvalue())))
    assert seen == sorted(seen, key=len) and seen[0] == set() and seen[-1] == {image_id([A])}


def test_loading_side_by_side(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers lie half unpacked beside each other when the kill comes: none of them is visible, and none stays."""
    always_side_by_side(monkeypatch)
    other = store(folder / "other")
    out = io.BytesIO()
    save(other, [ArchivedImage(add_image(other, [A, B]))], out)
    seen = enumerate_crashes(
        folder, lambda graph: None, lambda graph: load(graph, stream(out.getvalue())), side_by_side=True
    )
    assert len(seen) > 60
    assert all(images in (set(), {image_id([A, B])}) for images in seen) and seen[-1] == {image_id([A, B])}


def test_tags(folder: Path) -> None:
    """The tag file is the old one or the new one."""
    for number in range(1, 100):
        path = folder / f"{number}.json"
        TagStore(path).set("bb", "1", "sha256:1")
        died = killed(lambda path=path: TagStore(path).set("bb", "1", "sha256:2"), number)  # type: ignore[misc]
        tags = TagStore(path).all()
        assert tags in ({"bb:1": "sha256:1"}, {"bb:1": "sha256:2"})
        if not died:
            assert tags == {"bb:1": "sha256:2"}
            return
    raise AssertionError("the work never got through")


def test_container_layers(folder: Path) -> None:
    """A half-made init layer is never built upon, and a container's layer is there or not."""
    stubs = 0
    for number in range(1, 1000):
        root = folder / str(number)
        graph = store(root)
        image = add_image(graph, [A])
        assert isinstance(graph.driver, FakeDriver)
        driver = graph.driver

        def work(driver: FakeDriver = driver, image: Image = image) -> None:
            layers = ContainerLayers(driver)
            layers.recover()
            layers.create("one", image)

        died = killed(work, number)
        driver.cleanup()
        layers = ContainerLayers(driver)
        layers.recover()
        if layers.exists("one"):
            layers.remove("one")
        layers.create("two", image)
        tree = driver.tree(init_layer(image.top))
        stubs = stubs or len(tree)
        assert len(tree) == stubs and tree["/etc/mtab"] == "-> /proc/mounts"
        assert layers.containers() == ["two"] and layers.changes("two") == []
        if not died:
            return
    raise AssertionError("the work never got through")
