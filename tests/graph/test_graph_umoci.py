"""umoci beside us: the image tool of another house unpacks what we save, and we load what it packs, digests equal."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mini_docker.archive.pack import pack as pack_tree
from mini_docker.drivers.graphdriver.contract import GraphDriver
from mini_docker.drivers.graphdriver.overlay import OverlayDriver
from mini_docker.drivers.graphdriver.vfs import VfsDriver
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.digest import digest_of
from mini_docker.graph.graph import Graph
from mini_docker.graph.image_archive import ArchivedImage, save
from mini_docker.graph.image_loader import load
from mini_docker.graph.layer import driver_layer
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.archive.trees import Node, build, describe
from tests.graph.layer_tars import add_image, memory_folder

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="layers hold files of many owners: needs root"),
    pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed (apt install umoci)"),
]
KERNEL = LinuxKernel()
TREE = {
    b"etc": Node("directory", 0o755, children={
        b"passwd": Node("file", 0o644, content=b"root:x:0:0\n"),
        b"shadow": Node("file", 0o640, 0, 42, content=b"!"),
        b"mtab": Node("symlink", target=b"/proc/mounts"),
    }),
    b"bin": Node("directory", 0o755, children={
        b"su": Node("file", 0o4755, content=b"#!", attributes={"user.note": b"1"}),
        b"ping": Node("file", 0o755, content=b"#!", attributes={
            "security.capability": bytes.fromhex("0100000200200000" + "00" * 12),
        }),
    }),
    b"home": Node("directory", 0o1777, 1000, 1000, children={b"fifo": Node("fifo", 0o600, 1000, 1000)}),
}  # fmt: skip


@pytest.fixture
def place() -> Iterator[Path]:
    with memory_folder() as name:
        yield Path(name)


@pytest.fixture(params=[OverlayDriver, VfsDriver], ids=["overlay", "vfs"])
def graph(request: pytest.FixtureRequest, place: Path) -> Iterator[Graph]:
    driver: GraphDriver = request.param(place / "driver", KERNEL)
    if not (available := driver.available()):
        pytest.skip(available.reason)
    yield Graph(place / "graph", driver)
    driver.cleanup()


def umoci(*words: object) -> None:
    done = subprocess.run(["umoci", *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def blob(layout: Path, digest: str) -> Any:
    return json.loads((layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_text())


def as_umoci_has_it(tree: dict[bytes, Any]) -> dict[bytes, Any]:
    """umoci rounds times to seconds, and dresses the root directory itself as it likes."""
    for facts in tree.values():
        facts[4] = round(facts[4] / 1e9)
    return {path: facts for path, facts in tree.items() if path}


def test_umoci_unpacks_what_we_save(graph: Graph, place: Path) -> None:
    """Two layers, with a deletion and a hard link in the second: its tree is the one that our driver shows."""
    os.mkdir(place / "tree")
    build(place / "tree", TREE)
    lower = b"".join(pack_tree(place / "tree", KERNEL))
    graph_with_one = add_image(graph, [lower], os="linux")
    containers = ContainerLayers(graph.driver)
    containers.create("c", graph_with_one)
    root = Path(containers.open("c").as_path())
    (root / "etc" / "shadow").unlink()
    (root / "etc" / "new").write_text("new")
    os.link(root / "etc" / "new", root / "home" / "linked")
    shutil.rmtree(root / "bin")
    (root / "bin").mkdir()
    (root / "bin" / "only").write_text("only")
    containers.close("c")
    with containers.diff("c") as stream:
        upper = stream.read()
    containers.remove("c")
    image = add_image(graph, [lower, upper], os="linux")
    out = io.BytesIO()
    save(graph, [ArchivedImage(image, ("me/bb:1",))], out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        archive.extractall(place / "layout")  # our own
    umoci("unpack", "--image", f"{place / 'layout'}:me/bb:1", place / "bundle")
    assert image.top is not None
    name = driver_layer(image.top)
    ours = Path(graph.driver.open(name).as_path())
    try:
        assert as_umoci_has_it(describe(place / "bundle" / "rootfs")) == as_umoci_has_it(describe(ours))
    finally:
        graph.driver.close(name)


def test_we_load_what_umoci_packs(graph: Graph, place: Path) -> None:
    """Two layers by umoci's own diff: the config's and the layers' digests stay, and the tree is umoci's."""
    layout, bundle = place / "layout", place / "bundle"
    umoci("init", "--layout", layout)
    umoci("new", "--image", f"{layout}:box")
    umoci("unpack", "--image", f"{layout}:box", bundle)
    build(bundle / "rootfs", TREE)
    umoci("repack", "--image", f"{layout}:box", bundle)
    shutil.rmtree(bundle)
    umoci("unpack", "--image", f"{layout}:box", bundle)
    (bundle / "rootfs" / "etc" / "passwd").unlink()
    (bundle / "rootfs" / "srv").mkdir()
    (bundle / "rootfs" / "srv" / "data").write_text("data")
    os.link(bundle / "rootfs" / "srv" / "data", bundle / "rootfs" / "srv" / "again")
    umoci("repack", "--image", f"{layout}:box", bundle)
    umoci("config", "--image", f"{layout}:box", "--config.cmd", "/bin/su")

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(layout, ".")
    archive.seek(0)
    (loaded,) = load(graph, archive)
    manifest = blob(layout, json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
    assert loaded.image.id == manifest["config"]["digest"] == digest_of(loaded.image.config_bytes)
    assert [graph.layer(chain).digest for chain in loaded.image.layers] == [
        layer["digest"] for layer in manifest["layers"]
    ]
    assert loaded.image.config.config["Cmd"] == ["/bin/su"]
    assert loaded.image.top is not None
    name = driver_layer(loaded.image.top)
    ours = Path(graph.driver.open(name).as_path())
    try:
        assert as_umoci_has_it(describe(ours)) == as_umoci_has_it(describe(bundle / "rootfs"))
    finally:
        graph.driver.close(name)
