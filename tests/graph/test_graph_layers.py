"""Layers enter the graph once, verified, and leave when nobody counts on them."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from mini_docker.errors import Conflict, Invalid, NotFound
from mini_docker.graph.digest import digest_of
from mini_docker.graph.graph import Graph
from mini_docker.graph.image import Image
from mini_docker.graph.layer import chain_ids, driver_layer, init_layer
from tests.graph.fake_driver import FakeDriver
from tests.graph.layer_tars import add_image, config_for, memory_folder, squeezed, stream, tar

A, B, C = (tar({name: name}) for name in "abc")
TARS = {"A": A, "B": B, "C": C}
ZEROS = "sha256:254bcc3fc4f27172636df4bf32de9f107f620d559b20d760197e452b97453917"  # of 128 MiB of them


@pytest.fixture
def driver(tmp_path: Path) -> FakeDriver:
    return FakeDriver(tmp_path / "fake")


@pytest.fixture
def graph(tmp_path: Path, driver: FakeDriver) -> Graph:
    return Graph(tmp_path / "graph", driver)


def left(tmp_path: Path) -> list[str]:
    """Every file that the graph or the driver keeps."""
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("known", [True, False], ids=["diff id known", "diff id found out"])
@pytest.mark.parametrize("compress", [squeezed, bytes], ids=["gzip", "plain"])
def test_a_layer_is_kept_as_it_came(graph: Graph, driver: FakeDriver, known: bool, compress) -> None:  # type: ignore[no-untyped-def]
    """Unpacked for the containers; its blob byte for byte, so that a push has the digest of the pull."""
    blob = compress(A)
    layer = graph.add_layer(
        None, stream(blob), expected_diff_id=digest_of(A) if known else None, expected_digest=digest_of(blob),
        media_type="application/x",
    )  # fmt: skip
    assert (layer.diff_id, layer.digest, layer.size) == (digest_of(A), digest_of(blob), 1)
    assert layer.media_type == "application/x"
    assert driver.tree(driver_layer(layer.chain_id)) == {"/a": "a"}
    with graph.open_blob(layer.digest) as kept:
        assert kept.read() == blob
    assert graph.blob_size(layer.digest) == len(blob)
    with graph.layer_tar(layer.chain_id) as plain:
        assert plain.read() == A
    assert graph.layer(layer.chain_id) == layer


def test_a_layer_that_is_here_is_not_read_again(graph: Graph, driver: FakeDriver) -> None:
    """A pull of an image whose layers are here costs nothing."""
    layer = graph.add_layer(None, stream(A))
    unread = stream(b"whatever")
    assert graph.add_layer(None, unread, expected_diff_id=digest_of(A)) == layer
    assert unread.tell() == 0
    assert len(driver.applied) == 1


@pytest.mark.parametrize(
    "case",
    ["wrong diff id", "wrong digest", "wrong digest, two passes", "truncated", "flipped", "not a tar", "driver fails"],
)
def test_a_bad_layer_leaves_nothing(graph: Graph, driver: FakeDriver, tmp_path: Path, case: str) -> None:
    """Whatever is wrong with it: one error of a kind, and the store as it was before."""
    before = left(tmp_path)
    blob = squeezed(A)
    diff_id: str | None = digest_of(A)
    digest = digest_of(blob)
    if case == "wrong diff id":
        diff_id = digest_of(B)
    elif case.startswith("wrong digest"):
        digest = digest_of(B)
        diff_id = diff_id if case == "wrong digest" else None
    elif case == "truncated":
        blob = blob[: len(blob) // 2]
    elif case == "flipped":
        blob = blob[:-6] + bytes([blob[-6] ^ 1]) + blob[-5:]
    elif case == "not a tar":
        blob, diff_id = b"this is no tar" * 100, None
        digest = digest_of(blob)
    else:

        def fail(layer_id: str) -> None:
            raise Invalid("hostile")

        driver.before_apply = fail
    with pytest.raises(Invalid):
        graph.add_layer(None, stream(blob), expected_diff_id=diff_id, expected_digest=digest)
    assert left(tmp_path) == before
    assert driver.layers() == []


def test_what_follows_the_archive_counts(graph: Graph) -> None:
    """Padding after a tar's end is part of its digest though nobody unpacks it."""
    padded = A + bytes(20_000)
    layer = graph.add_layer(None, stream(squeezed(padded)), expected_diff_id=digest_of(padded))
    with graph.layer_tar(layer.chain_id) as plain:
        assert plain.read() == padded


def test_no_layer_without_its_parent(graph: Graph) -> None:
    """A stack has no holes."""
    with pytest.raises(NotFound):
        graph.add_layer(digest_of(b"nowhere"), stream(A))


def test_a_lease_protects_what_no_image_counts_on(graph: Graph, driver: FakeDriver) -> None:
    """A pull adds layers first and the image last; what lies between must stay, and go if the pull fails."""
    with graph.lease():
        layer = graph.add_layer(None, stream(A))
        image = add_image(graph, [A, B])
        graph.delete(image.id)
        assert graph.layer(layer.chain_id) == layer
    with pytest.raises(NotFound):
        graph.layer(layer.chain_id)
    assert driver.layers() == []


def test_two_threads_add_one_layer_once(graph: Graph, driver: FakeDriver) -> None:
    """Two pulls that share a layer: one unpacks, the other waits; and nobody else is held up meanwhile."""
    unpacking, go = threading.Event(), threading.Event()

    def pause(layer_id: str) -> None:
        if layer_id == driver_layer(digest_of(A)):
            unpacking.set()
            assert go.wait(10)

    driver.before_apply = pause
    results = []

    def add() -> None:
        results.append(graph.add_layer(None, stream(squeezed(A)), expected_diff_id=digest_of(A)))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert unpacking.wait(10)
    other = add_image(graph, [B])  # the locks are free while A is being unpacked
    assert graph.images() == [other]
    go.set()
    for thread in threads:
        thread.join(10)
    assert len(results) == 4 and len(set(results)) == 1
    assert driver.applied.count(driver_layer(digest_of(A))) == 1


def test_a_waiter_tries_itself_when_the_first_fails(graph: Graph, driver: FakeDriver) -> None:
    """Its own stream may be sound though the first one's was not."""
    unpacking, go = threading.Event(), threading.Event()

    def pause(layer_id: str) -> None:
        driver.before_apply = lambda layer_id: None
        unpacking.set()
        assert go.wait(10)

    driver.before_apply = pause
    outcomes = []

    def add(blob: bytes) -> None:
        try:
            outcomes.append(graph.add_layer(None, stream(blob), expected_diff_id=digest_of(A)).size)
        except Invalid:
            outcomes.append("Invalid")

    first = threading.Thread(target=add, args=(squeezed(A)[:-20],))
    first.start()
    assert unpacking.wait(10)
    second = threading.Thread(target=add, args=(squeezed(A),))
    second.start()
    go.set()
    first.join(10)
    second.join(10)
    assert sorted(outcomes, key=str) == [1, "Invalid"]


def test_many_threads_add_and_delete_overlapping_images(graph: Graph, driver: FakeDriver) -> None:
    """Pulls and removals of images that share layers, all at once: afterwards nothing is left and nothing was lost."""
    stacks = [[A], [A, B], [A, B, C], [A, C]]
    errors = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                image = add_image(graph, stacks[(number + turn) % 4], comment=f"{number} {turn}")
                assert driver.exists(driver_layer(image.layers[-1]))
                graph.delete(image.id)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert graph.images() == [] and driver.layers() == []


def test_a_layer_outlives_its_image_while_a_container_stands_on_it(
    graph: Graph, driver: FakeDriver, tmp_path: Path
) -> None:
    """`rmi -f` of an image in use: the image goes, the container runs on, the layer goes with the container."""
    image = add_image(graph, [A])
    top = driver_layer(image.layers[0])
    init = init_layer(image.top)
    driver.create(init, top)
    driver.create("container", init)
    graph.delete(image.id)
    assert not graph.exists(image.id) and driver.exists(top)
    assert Graph(tmp_path / "graph", driver).layer(image.layers[0])  # also for the next daemon
    driver.remove("container")
    graph.collect()
    assert driver.layers() == []
    with pytest.raises(NotFound):
        graph.layer(image.layers[0])


def test_images_are_found_by_truncated_ids(graph: Graph) -> None:
    """With and without the algorithm; never by a guess."""
    images = [add_image(graph, [A], comment=str(number)) for number in range(40)]
    image = images[0]
    assert graph.find(image.id) == graph.find(image.id[7:19]) == graph.find(image.id[:20]) == image
    with pytest.raises(NotFound, match="No such image: zz"):
        graph.find("zz")
    with pytest.raises(NotFound):
        graph.find("")
    first = [one.id[7] for one in images]
    with pytest.raises(Invalid, match="ambiguous"):
        graph.find(next(digit for digit in first if first.count(digit) > 1))


def test_an_image_with_children_stays(graph: Graph) -> None:
    """What was built from it still names it."""
    base = add_image(graph, [A])
    child = add_image(graph, [A, B], parent=base.id)
    assert graph.children(base.id) == [child]
    with pytest.raises(Conflict, match="has dependent child images"):
        graph.delete(base.id)
    assert graph.size(child) == 2 and graph.own_size(child) == 1
    graph.delete(child.id)
    assert graph.images() == [base]
    graph.delete(base.id)
    with pytest.raises(NotFound, match="No such image: " + base.id):
        graph.delete(base.id)


def test_register_wants_all_layers_and_a_parent_that_exists(graph: Graph) -> None:
    """A visible image is a whole image."""
    graph.add_layer(None, stream(A))
    with pytest.raises(NotFound):
        graph.register(config_for([A, B]))
    with pytest.raises(NotFound):
        graph.register(config_for([A]), parent="sha256:" + "0" * 64)
    with pytest.raises(Invalid):
        graph.register(b"no json")
    assert graph.images() == []
    image = graph.register(config_for([A]))
    assert graph.register(config_for([A])) is image


def test_a_reopened_graph_is_the_same(graph: Graph, driver: FakeDriver, tmp_path: Path) -> None:
    """All that counts is on disk."""
    base = add_image(graph, [A])
    child = add_image(graph, [A, B], parent=base.id)
    again = Graph(tmp_path / "graph", driver)
    again.recover()
    assert sorted(image.id for image in again.images()) == sorted([base.id, child.id])
    assert again.get(child.id).config_bytes == child.config_bytes
    assert again.children(base.id) == [child]
    assert again.layer(child.layers[1]) == graph.layer(child.layers[1])


def test_a_damaged_image_is_left_out(
    graph: Graph, driver: FakeDriver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One flipped bit on the disk must not keep the daemon from starting, nor pass for the image."""
    good, bad = add_image(graph, [A]), add_image(graph, [B])
    record = tmp_path / "graph" / "images" / bad.id[7:] / "json"
    record.write_bytes(record.read_bytes().replace(b"amd64", b"amd65"))
    again = Graph(tmp_path / "graph", driver)
    assert again.images() == [good]
    assert bad.id[7:] in caplog.text
    again.recover()
    assert add_image(again, [B]) == bad and again.get(bad.id) == bad


def test_a_damaged_layer_record_is_left_out(
    graph: Graph, driver: FakeDriver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the images on it; they can be pulled again."""
    image = add_image(graph, [A])
    (tmp_path / "graph" / "layers" / (driver_layer(image.layers[0]) + ".json")).write_text("{")
    again = Graph(tmp_path / "graph", driver)
    again.recover()
    assert again.images() == [] and driver.layers() == []
    assert "damaged" in caplog.text
    assert add_image(again, [A]) == image


def test_layers_that_the_driver_lost_are_unpacked_again(graph: Graph, driver: FakeDriver, tmp_path: Path) -> None:
    """The blobs hold everything: a wiped driver folder costs time, no image."""
    image = add_image(graph, [A, B])
    driver.remove(driver_layer(image.layers[1]))
    driver.remove(driver_layer(image.layers[0]))
    Graph(tmp_path / "graph", driver).recover()
    assert driver.tree(driver_layer(image.layers[1])) == {"/a": "a", "/b": "b"}


def test_a_record_without_the_one_below_it_does_not_stop_the_daemon(
    graph: Graph, driver: FakeDriver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a layer can't be unpacked again: it is named in the log, it stays, and all others are unpacked."""
    lost, sound = add_image(graph, [A, B, C]), add_image(graph, [B])
    for chain in (*reversed(lost.layers), *sound.layers):
        driver.remove(driver_layer(chain))
    (tmp_path / "graph" / "layers" / f"{driver_layer(lost.layers[0])}.json").unlink()
    again = Graph(tmp_path / "graph", driver)
    again.recover()
    assert f"layer {lost.layers[1]} is lost, and the record of the one below it" in caplog.text
    assert f"layer {lost.layers[2]} is lost" in caplog.text
    assert driver.tree(driver_layer(sound.layers[0])) == {"/b": "b"}
    again.delete(lost.id)
    assert add_image(again, [A, B, C]) == lost, "removed and pulled again, it is whole again"
    assert driver.tree(driver_layer(lost.layers[2])) == {"/a": "a", "/b": "b", "/c": "c"}


class ReferenceMachine(RuleBasedStateMachine):
    """Random images over few layers: the layers that exist are exactly those that some image needs."""

    images = Bundle("images")

    def __init__(self) -> None:
        super().__init__()
        self.folder = memory_folder()
        self.root = Path(self.folder.name)
        self.driver = FakeDriver(self.root / "fake")
        self.graph = Graph(self.root / "graph", self.driver)
        self.stacks: dict[str, tuple[str, ...]] = {}
        self.number = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(target=images, stack=st.text("ABC", max_size=3))
    def add(self, stack: str) -> Image:
        self.number += 1
        tars = [TARS[name] for name in stack]
        image = add_image(self.graph, tars, comment=str(self.number))
        self.stacks[image.id] = chain_ids(digest_of(data) for data in tars)
        return image

    @rule(image=consumes(images))
    def delete(self, image: Image) -> None:
        self.graph.delete(image.id)
        del self.stacks[image.id]

    @rule(target=images, stack=st.text("ABC", min_size=1, max_size=3))
    def fail(self, stack: str):  # type: ignore[no-untyped-def]
        """A pull that breaks off before it registers anything."""
        with self.graph.lease():
            chain = None
            for name in stack:
                chain = self.graph.add_layer(chain, stream(TARS[name])).chain_id
        return multiple()

    @rule()
    def restart(self) -> None:
        self.graph = Graph(self.root / "graph", self.driver)
        self.graph.recover()

    @invariant()
    def only_what_is_needed(self) -> None:
        needed = {chain for stack in self.stacks.values() for chain in stack}
        assert set(self.driver.layers()) == {driver_layer(chain) for chain in needed}
        records = {path.name for path in (self.root / "graph" / "layers").iterdir()}
        assert records == {driver_layer(chain) + ".json" for chain in needed}
        blobs = {path.name for path in (self.root / "graph" / "blobs" / "sha256").iterdir()}
        assert blobs == {self.graph.layer(chain).digest[7:] for chain in needed}
        assert not list((self.root / "graph" / "tmp").iterdir())
        assert {image.id for image in self.graph.images()} == self.stacks.keys()


TestReferenceCounting = ReferenceMachine.TestCase
TestReferenceCounting.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)


def test_memory_is_bounded_whatever_the_layer_s_size(tmp_path: Path) -> None:
    """A layer passes through in pieces: blob, digests and tar at once, none of them ever whole in memory."""

    class Sink(FakeDriver):
        def apply(self, layer_id: str, parent: str | None, layer: BinaryIO) -> int:
            return sum(len(piece) for piece in iter(lambda: layer.read(1 << 16), b""))

    size = 128 << 20
    plain = tmp_path / "plain"
    with open(plain, "wb") as file:
        file.truncate(size)  # zeros, on no disk; what the tar says is no matter here
    tracemalloc.start()
    try:
        with open(plain, "rb") as source:
            layer = Graph(tmp_path / "graph", Sink(tmp_path / "sink")).add_layer(None, source, expected_diff_id=ZEROS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert layer.size == size
    assert peak < 16 << 20
