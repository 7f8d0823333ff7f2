"""The image jobs on a real graph: list, inspect, history, tag, delete, prune, import, commit, changes, export."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from mini_docker.errors import Conflict, Invalid, NotFound
from mini_docker.graph.digest import digest_of
from mini_docker.graph.layer import driver_layer
from tests.daemon.fakes import FakeHouse


def tar(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


LAYER = digest_of(tar(hello="world"))
"""What `imported` brings, by its chain id."""


def imported(house: FakeHouse, repo: str = "tiny", **files: str) -> str:
    answer = house.run(
        "import", body=tar(**files or {"hello": "world"}), fromSrc="-", repo=repo, changes='["CMD [\\"true\\"]"]'
    )
    return str(answer["status"])


def test_import_then_run(house: FakeHouse) -> None:
    """An imported tar is an image by its name, and a container of it runs what the change says."""
    image = imported(house)
    assert house.run("image_inspect", "tiny")["Id"] == image
    container = house.start(Image="tiny")
    assert house.wait(container) == 0
    assert house.run("container_inspect", container)["Image"] == image
    assert house.actions(image) == ["tag", "import"]


def test_images_lists_names_and_filters(house: FakeHouse) -> None:
    """A line an image with all its names; filters by name, label, dangling."""
    image = imported(house)
    house.run("tag", "tiny", repo="other/name", tag="v1")
    entry = next(entry for entry in house.run("images") if entry["Id"] == image)
    assert entry["RepoTags"] == ["other/name:v1", "tiny:latest"] and entry["Size"] == 5 and entry["Containers"] == -1

    def names(filters: dict[str, list[str]]) -> list[list[str]]:
        return [entry["RepoTags"] for entry in house.run("images", filters=json.dumps(filters))]

    assert names({"reference": ["other/*"]}) == [["other/name:v1"]]
    assert names({"reference": ["busybox"]}) == [["busybox:latest"]] and names({"label": ["x"]}) == []
    assert names({"dangling": ["true"]}) == []
    with pytest.raises(Invalid, match="Invalid filter"):
        names({"color": ["red"]})


def test_a_kept_line_follows_the_names(house: FakeHouse) -> None:
    """Lines are kept between two lists; a name given or taken, or a list of a few names only, is seen at once."""
    image = imported(house)

    def names(**filters: list[str]) -> list[str]:
        listed = house.run("images", filters=json.dumps(filters))
        return next(entry["RepoTags"] for entry in listed if entry["Id"] == image)

    assert names() == names() == ["tiny:latest"]
    house.run("tag", "tiny", repo="other", tag="v1")
    assert names() == ["other:v1", "tiny:latest"]
    assert names(reference=["other"]) == ["other:v1"] and names() == ["other:v1", "tiny:latest"]
    house.run("image_delete", "other:v1")
    assert names() == ["tiny:latest"]


def test_pictures_show_who_stems_from_whom(house: FakeHouse) -> None:
    """A committed image hangs below the one its container was of: as lines, and as an arrow for Graphviz."""
    parent = imported(house).removeprefix("sha256:")[:12]
    container = house.start(Image="tiny")
    house.wait(container)
    child = house.run("commit", container=container, repo="child")["Id"].removeprefix("sha256:")[:12]
    lines = house.job("image_tree").output().decode().splitlines()
    at = next(number for number, line in enumerate(lines) if parent in line)
    assert "Tags: tiny:latest" in lines[at]
    assert lines[at + 1].lstrip("│ ").startswith(f"└─{child}") and "Tags: child:latest" in lines[at + 1]
    picture = house.job("viz").output().decode()
    assert picture.startswith("digraph docker {\n") and f' "{parent}" -> "{child}"\n' in picture


def test_lookup_by_everything(house: FakeHouse) -> None:
    """Whole and short id, name with and without tag; unknown ones in the words that make a client pull."""
    image = imported(house)
    for word in (
        image,
        image[7:],
        image[7:19],
        f"sha256:{image[7:19]}",
        "tiny",
        "tiny:latest",
        "docker.io/library/tiny",
    ):
        assert house.run("image_inspect", word)["Id"] == image, word
    with pytest.raises(NotFound, match="No such image: nosuch:latest"):
        house.run("image_inspect", "nosuch")
    with pytest.raises(Invalid, match="invalid reference format"):
        house.run("image_inspect", "BAD NAME")


def test_history(house: FakeHouse) -> None:
    """The newest step first, with its size and names."""
    imported(house)
    (step,) = house.run("history", "tiny")
    assert step["Size"] == 5 and step["Tags"] == ["tiny:latest"] and step["Comment"] == "Imported from -"


def test_delete_untags_then_deletes(house: FakeHouse) -> None:
    """rmi takes one name; the image goes with its last one."""
    image = imported(house)
    house.run("tag", "tiny", repo="second")
    assert house.run("image_delete", "tiny") == [{"Untagged": "tiny:latest"}]
    assert house.run("image_delete", "second") == [
        {"Untagged": "second:latest"},
        {"Deleted": image},
        {"Deleted": LAYER},
    ]
    with pytest.raises(NotFound):
        house.run("image_inspect", image)


def test_delete_by_id_with_several_names(house: FakeHouse) -> None:
    """By id an image of two names goes by force only, be they of one repository."""
    image = imported(house)
    for where in ({"repo": "second"}, {"repo": "tiny", "tag": "other"}):
        house.run("tag", "tiny", **where)
        with pytest.raises(Conflict, match=r"must be forced.*multiple repositories"):
            house.run("image_delete", image)
        house.run("image_delete", f"{where['repo']}:{where.get('tag', 'latest')}")
    house.run("tag", "tiny", repo="second")
    records = house.run("image_delete", image, force="1")
    assert records[-2:] == [{"Deleted": image}, {"Deleted": LAYER}] and len(records) == 4


def test_image_in_use(house: FakeHouse) -> None:
    """A running container's image is held, though its names go by force; a stopped one's goes by force."""
    image = imported(house)
    house.image("sleeper", Cmd=["sleep"])
    container = house.start("sleep", Image="tiny")
    with pytest.raises(Conflict, match="is using its referenced image"):
        house.run("image_delete", "tiny")
    with pytest.raises(Conflict, match="being used by running container"):
        house.run("image_delete", image, force="1")
    house.run("tag", "tiny", repo="second")
    with pytest.raises(Conflict, match=r"cannot be forced.*being used by running container"):
        house.run("image_delete", image)
    assert house.run("image_delete", "second") == [{"Untagged": "second:latest"}]
    assert house.run("image_delete", "tiny", force="1") == [{"Untagged": "tiny:latest"}]
    house.run("stop", container)
    with pytest.raises(Conflict, match=r"must be forced.*being used by stopped container"):
        house.run("image_delete", image)
    assert house.run("image_prune")["ImagesDeleted"] is None
    assert house.run("image_delete", image, force="1") == [{"Deleted": image}]  # the layer stays below the container


def test_a_container_outlives_its_image(house: FakeHouse) -> None:
    """All but a commit works on: it says by the id what it was made from, and takes the layer along when it goes."""
    image = imported(house)
    container = house.create(Image="tiny")
    house.run("image_delete", "tiny", force="1")
    assert [line["Image"] for line in house.run("containers", all="1")] == [image]
    assert house.run("container_inspect", container)["Image"] == image
    assert house.run("container_changes", container) is None  # none
    with pytest.raises(NotFound, match="No such image"):
        house.run("commit", container=container, repo="mine")
    assert driver_layer(LAYER) in house.graph_driver.layers()
    house.run("delete", container)
    assert driver_layer(LAYER) not in house.graph_driver.layers()


def test_prune_finishes_families(house: FakeHouse) -> None:
    """An image that others were made from goes with the last of them, whichever comes first."""
    base = imported(house)
    container = house.create(Image="tiny")
    child = house.run("commit", container=container, repo="child")["Id"]
    house.run("delete", container)
    pruned = house.run("image_prune", filters='{"dangling": ["false"]}')
    assert {"Deleted": base} in pruned["ImagesDeleted"] and {"Deleted": child} in pruned["ImagesDeleted"]
    assert not house.graph.exists(base) and not house.graph.exists(child)


def test_commit_changes_export(house: FakeHouse) -> None:
    """What a container wrote is listed, becomes an image, and its whole tree a tar."""
    imported(house)
    container = house.create(Image="tiny", Env=["A=1"])
    root = house.layers.open(container)
    with open(f"{root.as_path()}/new", "w") as file:
        file.write("mine")
    house.layers.close(container)
    assert {"Path": "/new", "Kind": 1} in house.run("container_changes", container)
    answer = house.run("commit", container=container, repo="mine", changes='["ENV B=2"]', comment="ok")
    form = house.run("image_inspect", "mine")
    assert form["Id"] == answer["Id"] and set(form["Config"]["Env"]) == {"A=1", "B=2"} and form["Comment"] == "ok"
    assert form["Config"]["Cmd"] == ["true"] and len(form["RootFS"]["Layers"]) == 2
    with tarfile.open(fileobj=io.BytesIO(house.job("export", container).output())) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
    assert {"hello", "new"} <= names
    assert not any(house.graph_driver.opened.values())


def test_prune_with_all(house: FakeHouse) -> None:
    """dangling=false takes every image that no container uses."""
    image = imported(house)
    house.create("true")
    pruned = house.run("image_prune", filters='{"dangling": ["false"]}')
    assert pruned["ImagesDeleted"] == [{"Untagged": "tiny:latest"}, {"Deleted": image}, {"Deleted": LAYER}]
    assert pruned["SpaceReclaimed"] == 5
    assert [entry["RepoTags"] for entry in house.run("images")] == [["busybox:latest"]]


def test_prune_spares_by_label_and_age(house: FakeHouse) -> None:
    """``label!`` and ``until`` keep images back, as with containers."""
    kept = house.image("kept", Labels={"keep": ""})
    gone = house.image("gone", Labels={"other": ""})
    every = {"dangling": ["false"]}
    pruned = house.run("image_prune", filters=json.dumps(every | {"label!": ["keep"], "label": ["other"]}))
    assert {"Deleted": gone} in pruned["ImagesDeleted"] and house.graph.exists(kept)
    with pytest.raises(Invalid, match="Invalid filter 'age'"):
        house.run("image_prune", filters='{"age": ["1h"]}')


def test_reference_filter_of_a_registry_with_a_port(house: FakeHouse) -> None:
    """A colon in a registry's address begins no tag: names and digests match with it and without tag or digest."""
    image = house.image("plain")
    house.tags.set("localhost:5000/me/app", "v1", image)
    house.tags.set_digest("localhost:5000/me/app", "sha256:" + "1" * 64, image)

    def found(pattern: str) -> tuple[list[str] | None, list[str]]:
        listed = house.run("images", filters=json.dumps({"reference": [pattern]}))
        return (listed[0]["RepoTags"], listed[0]["RepoDigests"]) if listed else (None, [])

    both = (["localhost:5000/me/app:v1"], [f"localhost:5000/me/app@sha256:{'1' * 64}"])
    assert found("localhost:5000/me/app") == found("localhost:5000/*/app") == both
    assert found("localhost:5000/me/app:v*") == (both[0], [])
    assert found("localhost") == found("localhost:5000") == (None, [])


def test_a_repositorys_digests_go_with_its_last_tag(house: FakeHouse) -> None:
    """As in Docker: what a registry knows an image by lives as long as a tag of that repository, others' live on."""
    image = imported(house)
    mine, theirs = "registry:5000/me/app", "registry:5000/you/app"
    for repository in (mine, theirs):
        house.tags.set_digest(repository, "sha256:" + "1" * 64, image)
    for tag in ("1", "2"):
        house.run("tag", "tiny", repo=mine, tag=tag)
    assert house.run("image_delete", f"{mine}:1") == [{"Untagged": f"{mine}:1"}]
    assert house.run("image_delete", f"{mine}:2") == [
        {"Untagged": f"{mine}:2"},
        {"Untagged": f"{mine}@sha256:{'1' * 64}"},
    ]
    assert house.run("image_delete", "tiny") == [{"Untagged": "tiny:latest"}]
    assert house.run("image_inspect", f"{theirs}@sha256:{'1' * 64}")["Id"] == image
    assert house.run("image_delete", f"{theirs}@sha256:{'1' * 64}") == [
        {"Untagged": f"{theirs}@sha256:{'1' * 64}"},
        {"Deleted": image},
        {"Deleted": LAYER},
    ]
