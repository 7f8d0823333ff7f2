"""Images are made, looked back at, carried out and in again: by our own command line and by the stock one."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.house.house import House, Ran, has_docker_cli

pytestmark = pytest.mark.root
SCRIPT = "mkdir /new && echo hi >/new/f && ln /new/f /new/g && rm /etc/group && ln -s f /new/link"


@pytest.fixture(params=["ours", "docker"])
def cli(request: pytest.FixtureRequest) -> str:
    if request.param == "docker" and not has_docker_cli():
        pytest.skip("the stock docker command line is not installed")
    return str(request.param)


def call(house: House, cli: str, *words: str) -> str:
    """A command's output; it must succeed."""
    ran: Ran = getattr(house, cli)(*words)
    assert ran.code == 0, ran.err
    return ran.out


@pytest.fixture
def changed(house: House) -> str:
    """A container that changed its image."""
    house.ours("rm", "-f", "changed")
    assert house.ours("run", "--name", "changed", "--net", "none", "busybox", "sh", "-c", SCRIPT).code == 0
    return "changed"


def test_diff_commit_history(house: House, cli: str, changed: str) -> None:
    """What a container changed is listed, becomes an image with changes, and is told by its history."""
    assert call(house, cli, "diff", changed).split() == (
        ["C", "/etc", "D", "/etc/group", "A", "/new", "A", "/new/f", "A", "/new/g", "A", "/new/link"]
    )
    image = call(house, cli, "commit", "-m", "why", "-a", "me", "-c", "ENV WHO=me", changed, "kid:1").strip()
    assert call(house, cli, "run", "--rm", "--net", "none", "kid:1", "sh", "-c", "echo $WHO; cat /new/g") == "me\nhi\n"
    lines = call(house, cli, "history", "--no-trunc", "--format", "{{.ID}}|{{.Comment}}", "kid:1").splitlines()
    assert lines[0] == f"{image}|why" and len(lines) == 2
    *_, gone, layer = call(house, cli, "rmi", "kid:1").splitlines()  # its own layer goes with it, its base's stays
    assert gone == f"Deleted: {image}" and layer.startswith("Deleted: sha256:")


def test_save_and_load(house: House, cli: str, changed: str, tmp_path: Path) -> None:
    """Out, removed, and in again: the same ids, names and content."""
    image = call(house, cli, "commit", changed, "kid:2").strip()
    call(house, cli, "save", "-o", str(tmp_path / "box.tar"), "kid:2", "busybox")
    call(house, cli, "rmi", "kid:2")
    assert "Loaded image: kid:2\n" in call(house, cli, "load", "-i", str(tmp_path / "box.tar"))
    assert call(house, cli, "inspect", "--format", "{{.Id}}", "kid:2").strip() == image
    assert call(house, cli, "run", "--rm", "--net", "none", "kid:2", "cat", "/new/f") == "hi\n"
    call(house, cli, "rmi", "kid:2")


def test_export_and_import(house: House, cli: str, changed: str, tmp_path: Path) -> None:
    """A container's tree as a tar, and an image of one layer of that."""
    call(house, cli, "export", "-o", str(tmp_path / "tree.tar"), changed)
    with tarfile.open(tmp_path / "tree.tar") as tar:
        names = tar.getnames()
        links = {member.name: member.linkname for member in tar if member.islnk() or member.issym()}
    assert "new/f" in names and "etc/group" not in names
    assert links["new/link"] == "f" and links["new/g"] == "new/f"
    call(house, cli, "import", "-c", "CMD cat /new/f", str(tmp_path / "tree.tar"), "flat:1")
    assert call(house, cli, "run", "--rm", "--net", "none", "flat:1") == "hi\n"
    call(house, cli, "rmi", "flat:1")


def test_copies_both_ways(house: House, cli: str, changed: str, tmp_path: Path) -> None:
    """cp out of and into a container that does not run."""
    call(house, cli, "cp", f"{changed}:/new", str(tmp_path / "out"))
    assert (tmp_path / "out" / "g").read_text() == "hi\n" and (tmp_path / "out" / "link").is_symlink()
    (tmp_path / "out" / "more").write_text("more")
    call(house, cli, "cp", f"{tmp_path / 'out'}/.", f"{changed}:/tmp")
    assert "A /tmp/more" in call(house, cli, "diff", changed).splitlines()
    call(house, cli, "cp", f"{changed}:/tmp/more", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "more"


def test_pictures(house: House, changed: str) -> None:
    """images --tree has the committed image below its parent; Graphviz draws images --viz."""
    call(house, "ours", "commit", changed, "kid:3")
    tree = call(house, "ours", "images", "--tree").splitlines()
    at = next(number for number, line in enumerate(tree) if line.endswith("Tags: kid:3"))
    assert tree[at - 1].endswith("Tags: busybox:latest") and tree[at].index("└─") > tree[at - 1].index("─") - 1
    picture = call(house, "ours", "images", "--viz")
    if shutil.which("dot"):
        drawn = subprocess.run(["dot", "-Tsvg"], input=picture, capture_output=True, text=True, check=True).stdout
        assert "kid:3" in drawn
    else:
        assert picture.startswith("digraph docker {") and "kid:3" in picture
    call(house, "ours", "rmi", "kid:3")


def test_a_size_that_the_driver_cannot_keep_is_refused(house: House, cli: str) -> None:
    """--storage-opt size: rather no container than one without its limit; the same for what no driver knows."""
    for option, words in (("size=1G", "container's size cannot be limited"), ("size=oops", "invalid size"),
                          ("colour=red", "unknown storage option")):  # fmt: skip
        ran: Ran = getattr(house, cli)("create", "--storage-opt", option, "busybox", "true")
        assert ran.code != 0 and words in ran.err
    assert call(house, cli, "ps", "-aq") == ""


def test_skopeo_reads_the_daemons_own_save(house: House, tmp_path: Path) -> None:
    """Digests equal on the way through another house's tool and back."""
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed (apt install skopeo)")
    call(house, "ours", "save", "-o", str(tmp_path / "box.tar"), "busybox")
    copy = ["skopeo", "--insecure-policy", "copy", "-q", f"oci-archive:{tmp_path}/box.tar:busybox:latest"]
    subprocess.run([*copy, f"oci:{tmp_path}/layout:busybox"], check=True)
    back = ["skopeo", "--insecure-policy", "copy", "-q", f"oci:{tmp_path}/layout:busybox"]
    subprocess.run([*back, f"oci-archive:{tmp_path}/back.tar:back:1"], check=True)
    call(house, "ours", "load", "-i", str(tmp_path / "back.tar"))
    facts = [json.loads(call(house, "ours", "inspect", name))[0] for name in ("busybox", "back:1")]
    assert facts[0]["RootFS"] == facts[1]["RootFS"] and facts[0]["Id"] == facts[1]["Id"]
    call(house, "ours", "rmi", "back:1")


def test_another_graph_driver_says_so_and_loses_nothing(house: House) -> None:
    """Opened with vfs, what overlay has is not seen, `info` says why, and it is all there with overlay again."""
    assert house.ours("create", "--name", "kept", "busybox", "true").code == 0
    before = call(house, "ours", "images", "-q", "--no-trunc")
    house.stop()
    house.start("-s", "vfs")
    try:
        assert call(house, "ours", "images", "-aq") == call(house, "ours", "ps", "-aq") == ""
        warning, *_ = json.loads(call(house, "ours", "info", "--format", "{{json .Warnings}}"))
        assert "used with the graph driver overlay" in warning and "-s overlay" in warning
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w"):
            pass
        assert house.ours("import", "-", "other", stdin=tar.getvalue()).code == 0
    finally:
        house.stop()
        house.start("-s", "overlay")
    assert call(house, "ours", "images", "-q", "--no-trunc") == before
    assert call(house, "ours", "ps", "-a", "--format", "{{.Names}}").split() == ["kept"]
    assert house.ours("start", "-a", "kept").code == 0
