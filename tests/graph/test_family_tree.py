"""The family tree: who descends from whom, and how it is drawn."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.graph.digest import digest_of
from mini_docker.graph.family_tree import Person, draw_graphviz, draw_tree, families
from mini_docker.graph.image import Image


def image(layers: str, comment: str = "", parent: Image | None = None) -> Image:
    rootfs = {"type": "layers", "diff_ids": [digest_of(layer.encode()) for layer in layers]}
    config = json.dumps({"os": "linux", "comment": comment, "rootfs": rootfs}).encode()
    return Image.from_config(config, parent.id if parent else None)


BASE, MIDDLE, APP = image("a"), image("ab"), image("abcd")
BUILT = image("a", "metadata only", BASE)


def test_descent_by_parent_or_by_layers() -> None:
    """Built images know their parent; pulled ones show theirs by the layers they begin with: the tallest such stack."""
    images = [APP, BASE, MIDDLE, BUILT, image("x")]
    parents = {person.id: person.parent for person in families(images, {one.id: 1 for one in images}, {})}
    assert parents[BASE.id] is None and parents[image("x").id] is None
    assert parents[BUILT.id] == BASE.id
    assert parents[APP.id] == MIDDLE.id
    assert parents[MIDDLE.id] in (BASE.id, BUILT.id)


def test_the_tree_is_drawn_as_docker_did() -> None:
    """Lines that say which is the last of its siblings."""
    people = [
        Person("sha256:" + "1" * 64, None, 0),
        Person("sha256:" + "2" * 64, "sha256:" + "1" * 64, 4_097_123, ("busybox:latest", "bb:1")),
        Person("sha256:" + "3" * 64, "sha256:" + "1" * 64, 1200),
        Person("sha256:" + "4" * 64, "sha256:" + "2" * 64, 5),
    ]
    assert draw_tree(people) == (
        "└─111111111111 Virtual Size: 0 B\n"
        "  ├─222222222222 Virtual Size: 4.097 MB Tags: busybox:latest, bb:1\n"
        "  │ └─444444444444 Virtual Size: 5 B\n"
        "  └─333333333333 Virtual Size: 1.2 kB\n"
    )


@settings(max_examples=40)
@given(st.lists(st.text("abc", max_size=4), max_size=8, unique=True))
def test_every_image_is_drawn_once(stacks: list[str]) -> None:
    """Whatever the images: no one is left out, and no one descends from himself."""
    images = [image(stack) for stack in stacks]
    people = families(images, {one.id: 1 for one in images}, {one.id: ["n:1"] for one in images})
    drawn = re.findall(r"─([0-9a-f]{12}) ", draw_tree(people))
    assert sorted(drawn) == sorted(person.short_id for person in people)
    edges = re.findall(r'^ (?:base|"\w+") -> "(\w+)"', draw_graphviz(people), re.MULTILINE)
    assert sorted(edges) == sorted(person.short_id for person in people)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed (apt install graphviz)")
def test_graphviz_reads_it() -> None:
    """Names with quotes and backslashes included."""
    people = families([BASE, MIDDLE], {BASE.id: 1, MIDDLE.id: 2}, {BASE.id: ['a"b\\:1']})
    done = subprocess.run(
        ["dot", "-Tplain"], input=draw_graphviz(people), capture_output=True, text=True, timeout=30, check=True
    )
    assert "node" in done.stdout


def test_graphviz_text() -> None:
    """A box for a named image, with its names; nothing unquoted from outside."""
    text = draw_graphviz([Person("sha256:" + "1" * 64, None, 0, ('a"b:1',))])
    assert text == (
        "digraph docker {\n"
        ' base -> "111111111111" [style=invis]\n'
        ' "111111111111" [label="111111111111\\na\\"b:1",shape=box,fillcolor="paleturquoise",style="filled,rounded"];\n'
        " base [style=invisible]\n"
        "}\n"
    )
