"""save and load: what went into the box comes out of it, ours and other tools'."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mini_docker.errors import Invalid, Unsupported
from mini_docker.graph.digest import digest_of
from mini_docker.graph.graph import Graph
from mini_docker.graph.image_archive import ArchivedImage, save
from mini_docker.graph.image_loader import load
from mini_docker.graph.layer import driver_layer
from tests.graph.fake_driver import FakeDriver
from tests.graph.layer_tars import add_image, config_for, squeezed, stream, tar

A, B = tar({"a": "a"}), tar({"b": "b"})

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed (apt install skopeo)")


@pytest.fixture
def graphs(tmp_path: Path) -> Callable[[], Graph]:
    """Makes empty graphs: another machine each."""
    made: list[Graph] = []

    def make() -> Graph:
        root = tmp_path / f"machine{len(made)}"
        made.append(Graph(root / "graph", FakeDriver(root / "fake")))
        return made[-1]

    return make


def packed(graph: Graph, *entries: ArchivedImage) -> bytes:
    out = io.BytesIO()
    save(graph, entries, out)
    return out.getvalue()


def contents(data: bytes) -> dict[str, bytes]:
    """The regular files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]


def repacked(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def without(data: bytes, *names: str) -> bytes:
    """The archive without these tables of contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            if member.name not in names:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return out.getvalue()


@pytest.mark.parametrize("form", ["docker", "oci", "docker, gzipped"])
def test_save_then_load_is_the_same(graphs: Callable[[], Graph], form: str) -> None:
    """Ids, names, blobs and trees, on a machine that had nothing."""
    here, there = graphs(), graphs()
    one, two = add_image(here, [A]), add_image(here, [A, B], config={"Cmd": ["sh"]})
    data = packed(here, ArchivedImage(one, ("bb:1", "bb:latest")), ArchivedImage(two))
    if form == "oci":
        data = without(data, "manifest.json", "repositories")
    elif form.endswith("gzipped"):
        data = squeezed(data)
    loaded = load(there, stream(data))
    assert loaded == [ArchivedImage(one, ("bb:1", "bb:latest")), ArchivedImage(two)]
    assert there.get(two.id).config_bytes == two.config_bytes
    for chain in two.layers:
        assert there.layer(chain).digest == here.layer(chain).digest
    assert isinstance(there.driver, FakeDriver)
    assert there.driver.tree(driver_layer(two.layers[1])) == {"/a": "a", "/b": "b"}
    assert not list(there.scratch.iterdir())


def test_what_images_share_is_in_the_archive_once(graphs: Callable[[], Graph]) -> None:
    """And equal images make equal archives: no clock and no chance in it."""
    graph = graphs()
    one, two = add_image(graph, [A]), add_image(graph, [A, B])
    entries = (ArchivedImage(one, ("bb:1",)), ArchivedImage(two, ("bb:2",)), ArchivedImage(one, ("bb:3",)))
    data = packed(graph, *entries)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    assert packed(graph, *entries) == data


def test_the_old_form_loads(graphs: Callable[[], Graph]) -> None:
    """Docker before 1.10 wrote chains of ids; the layers and how to run them come through."""
    here, there = graphs(), graphs()
    image = add_image(here, [A, B], config={"Cmd": ["sh"], "Env": ["A=1"]}, created="2014-08-20T00:00:00Z")
    data = without(packed(here, ArchivedImage(image, ("127.0.0.1:5000/bb:1",))), "manifest.json", "index.json")
    [loaded] = load(there, stream(data))
    assert loaded.names == ("127.0.0.1:5000/bb:1",)
    assert loaded.image.layers == image.layers
    assert loaded.image.config.config == image.config.config
    assert loaded.image.config.created == "2014-08-20T00:00:00Z"


def docker_archive(**changes: Any) -> dict[str, bytes]:
    entry = {"Config": "c.json", "RepoTags": ["bb:1"], "Layers": ["l.tar"], **changes}
    return {"c.json": config_for([A]), "l.tar": A, "manifest.json": json.dumps([entry]).encode()}


@pytest.mark.parametrize(
    "files",
    [
        {}, {"manifest.json": b"{"}, {"manifest.json": b"{}"}, {"manifest.json": b"[3]"},
        docker_archive(Config="../../../etc/passwd"), docker_archive(Config=None), docker_archive(Layers=[]),
        docker_archive(Layers=["absent"]), docker_archive(Layers=[3]), docker_archive(RepoTags="bb:1"),
        {**docker_archive(), "l.tar": B}, {**docker_archive(), "l.tar": b"no tar"},
        {**docker_archive(), "c.json": b"[]"},
        {"index.json": b"{}"}, {"index.json": b'{"manifests": [{"digest": "sha256:../../x"}]}'},
        {"repositories": b'{"bb": {"1": "x"}}', "x/json": b'{"parent": "x"}'}, {"repositories": b'{"bb": ["1"]}'},
    ],
)  # fmt: skip
def test_a_bad_archive_leaves_nothing(graphs: Callable[[], Graph], files: dict[str, bytes]) -> None:
    """Names that lead out, layers that are others, tables that are none: one clear error, and an empty graph."""
    graph = graphs()
    with pytest.raises(Invalid):
        load(graph, stream(repacked(files)))
    assert graph.images() == [] and graph.driver.layers() == []
    assert not list(graph.scratch.iterdir())


def test_a_blob_under_a_wrong_digest_is_refused(graphs: Callable[[], Graph]) -> None:
    """In an OCI layout every name is a digest, and each is checked."""
    here = graphs()
    image = add_image(here, [A])
    files = contents(without(packed(here, ArchivedImage(image)), "manifest.json"))
    for name, content in files.items():
        if name.startswith("blobs/"):
            with pytest.raises(Invalid):
                load(graphs(), stream(repacked({**files, name: content + b" "})))


def test_links_in_an_archive_lead_to_members_only(graphs: Callable[[], Graph]) -> None:
    """Docker wrote a repeated layer as a symlink to the first; a link out of the archive finds nothing."""
    for target, good in [("../l.tar", True), ("/etc/hostname", False), ("../x/layer.tar", False)]:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, content in docker_archive(Layers=["x/layer.tar"]).items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            info = tarfile.TarInfo("x/layer.tar")
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
        if good:
            [loaded] = load(graphs(), stream(out.getvalue()))
            assert loaded.image.config.diff_ids == (digest_of(A),)
        else:
            with pytest.raises(Invalid, match="no file"):
                load(graphs(), stream(out.getvalue()))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 20_000), flip=st.integers(0, 8 * 20_000))
def test_a_damaged_archive_is_refused_or_harmless(graphs: Callable[[], Graph], cut: int, flip: int) -> None:
    """Truncated and bit-flipped: Invalid, or (where the damage hit padding or a name) whole images only."""
    here = graphs()
    data = bytearray(packed(here, ArchivedImage(add_image(here, [A, B]), ("bb:1",))))
    data[flip // 8 % len(data)] ^= 1 << flip % 8
    there = graphs()
    try:
        load(there, stream(bytes(data[: len(data) - cut % len(data)])))
    except Invalid:
        pass
    for image in there.images():
        for chain in image.layers:
            with there.layer_tar(chain) as plain:
                assert digest_of(plain.read()) == there.layer(chain).diff_id
    assert not list(there.scratch.iterdir())


def test_a_layer_without_an_oci_name_is_refused(graphs: Callable[[], Graph]) -> None:
    """OCI has no media type for xz; better said than written wrong."""
    import lzma

    graph = graphs()
    with graph.lease():
        graph.add_layer(None, stream(lzma.compress(A)))
        image = graph.register(config_for([A]))
    with pytest.raises(Unsupported, match="xz"):
        packed(graph, ArchivedImage(image))


def skopeo(*arguments: str) -> str:
    done = subprocess.run(
        ["skopeo", "--insecure-policy", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_skopeo
@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_skopeo_reads_what_we_save(graphs: Callable[[], Graph], tmp_path: Path, transport: str) -> None:
    """And finds the digests that we have."""
    graph = graphs()
    image = add_image(graph, [A, B], config={"Cmd": ["sh"]})
    path = tmp_path / "saved.tar"
    path.write_bytes(packed(graph, ArchivedImage(image, ("me/bb:1",))))
    skopeo("copy", f"{transport}:{path}:me/bb:1", f"dir:{tmp_path / 'dir'}")
    manifest = json.loads((tmp_path / "dir" / "manifest.json").read_text())
    assert manifest["config"]["digest"] == image.id
    if transport == "oci-archive":
        assert [layer["digest"] for layer in manifest["layers"]] == [
            graph.layer(chain).digest for chain in image.layers
        ]


@needs_skopeo
@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_we_load_what_skopeo_writes(graphs: Callable[[], Graph], tmp_path: Path, transport: str) -> None:
    """The image's id is the same on both sides."""
    here, there = graphs(), graphs()
    image = add_image(here, [A, B])
    ours, theirs = tmp_path / "ours.tar", tmp_path / "theirs.tar"
    ours.write_bytes(packed(here, ArchivedImage(image, ("me/bb:1",))))
    skopeo("copy", f"oci-archive:{ours}", f"{transport}:{theirs}:me/bb:2")
    with open(theirs, "rb") as file:
        [loaded] = load(there, file)
    assert loaded.image == image
    assert [name.removeprefix("docker.io/") for name in loaded.names] == ["me/bb:2"]
