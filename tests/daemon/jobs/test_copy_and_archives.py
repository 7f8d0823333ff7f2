"""cp both ways, save and load."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.daemon.jobs.copy import go_mode
from mini_docker.errors import Denied, Invalid, NotFound
from tests.daemon.fakes import FakeHouse


def tar(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


def copy_out(house: FakeHouse, container: str, path: str) -> tuple[dict[str, object], list[str]]:
    """The stat line, and the names in the archive."""
    line, _, archive = house.job("container_copy", container, path=path).output().partition(b"\n")
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        return json.loads(line), members.getnames()


@pytest.fixture
def container(house: FakeHouse) -> str:
    """A container that does not run, with a few files and a link that would lead out."""
    id = house.create("true", name="cc")
    root = house.layers.open(id).as_path()
    os.makedirs(f"{root}/data/sub")
    for path in ("data/a", "data/sub/b"):
        with open(f"{root}/{path}", "w") as file:
            file.write(path)
    os.symlink("/etc", f"{root}/out")
    os.symlink("../data/a", f"{root}/data/link")
    house.layers.close(id)
    return id


def test_copy_out(house: FakeHouse, container: str) -> None:
    """A file, a folder under its name, and with ``/.`` its content alone: as ``docker cp`` expects the names."""
    form, names = copy_out(house, container, "/data/a")
    assert names == ["a"] and form["name"] == "a" and form["size"] == 6
    form, names = copy_out(house, container, "data")
    assert names == ["data", "data/a", "data/link", "data/sub", "data/sub/b"] and int(str(form["mode"])) >> 31
    assert [os.path.normpath(name) for name in copy_out(house, container, "/data/.")[1]] == [
        ".", "a", "link", "sub", "sub/b",
    ]  # fmt: skip
    form = json.loads(house.job("container_stat", container, path="/data/link").output())
    assert form["linkTarget"] == "/data/a" and int(form["mode"]) & 1 << 27


def test_copy_in(house: FakeHouse, container: str) -> None:
    """What is unpacked lies in the folder that was named; what is no folder, or not there, is refused."""
    house.run("container_extract", container, body=tar(new="mine"), path="/data/sub")
    assert copy_out(house, container, "/data/sub")[1] == ["sub", "sub/b", "sub/new"]
    with pytest.raises(Invalid, match="not a directory"):
        house.run("container_extract", container, body=tar(new="x"), path="/data/a")
    with pytest.raises(NotFound, match="Could not find the file /nosuch in container cc"):
        house.run("container_extract", "cc", body=tar(new="x"), path="/nosuch")
    assert not any(house.graph_driver.opened.values())


def test_no_path_leads_out(house: FakeHouse, container: str) -> None:
    """A link of the container's to /etc means its own /etc: the host's passwd is neither read nor written."""
    with pytest.raises(NotFound):
        copy_out(house, container, "/out/passwd")
    house.run("container_extract", container, body=tar(strange="mine"), path="/out")
    assert copy_out(house, container, "/etc/strange")[1] == ["strange"] and not os.path.exists("/etc/strange")
    assert "../" not in str(copy_out(house, container, "/../../../data/a"))
    with pytest.raises(Invalid):
        house.run("container_extract", container, body=tar(**{"../../evil": "x"}), path="/data")


def test_copy_reaches_volumes_and_respects_read_only(house: FakeHouse) -> None:
    """Of a container that does not run, a path in a volume is the volume's; a read-only place is not written to."""
    id = house.create("true", host={"Binds": ["drawer:/v", "locked:/w:ro"]})
    house.run("container_extract", id, body=tar(file="x"), path="/v")
    assert (house.volumes.get("drawer").mountpoint / "file").read_text() == "x"
    assert copy_out(house, id, "/v/file")[1] == ["file"]
    with pytest.raises(Denied, match="read-only"):
        house.run("container_extract", id, body=tar(file="x"), path="/w")


@given(st.integers(0, 0o7777), st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO]))
def test_go_mode(bits: int, kind: int) -> None:
    """Permissions keep their places, everything else has a bit of its own far above them."""
    mode = go_mode(kind | bits)
    assert mode & 0o777 == bits & 0o777
    assert bool(mode & 1 << 31) == (kind == stat.S_IFDIR) and bool(mode & 1 << 27) == (kind == stat.S_IFLNK)
    assert bool(mode & 1 << 20) == bool(bits & stat.S_ISVTX) and bool(mode & 1 << 23) == bool(bits & stat.S_ISUID)


def test_save_and_load(house: FakeHouse) -> None:
    """An image comes back from its archive with its names; a name that meant another image says so."""
    image = house.run("import", body=tar(hello="world"), fromSrc="-", repo="tiny")["status"]
    house.run("tag", "tiny", repo="tiny", tag="v1")
    archive = house.job("image_export", names="tiny").output()
    house.run("image_delete", image, force="1")
    lines = house.job("load", body=archive).output().splitlines()
    assert [json.loads(line)["stream"] for line in lines] == ["Loaded image: tiny:latest\n", "Loaded image: tiny:v1\n"]
    assert house.run("image_inspect", "tiny:v1")["Id"] == image
    with tarfile.open(fileobj=io.BytesIO(house.job("image_tarlayer", "tiny").output())) as layer:
        assert [os.path.normpath(name) for name in layer.getnames()] == ["hello"]
    house.image("tiny", Cmd=["other"])
    assert b"already exists, renaming the old one" in house.job("load", body=archive).output()
    nameless = house.job("image_export", image).output()
    assert json.loads(house.job("load", body=nameless).output())["stream"] == f"Loaded image ID: {image}\n"
