"""Import, and the instructions that change a run configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mini_docker.errors import Invalid
from mini_docker.graph.config_changes import apply_changes
from mini_docker.graph.digest import digest_of
from mini_docker.graph.graph import Graph
from mini_docker.graph.importer import import_root
from mini_docker.graph.layer import driver_layer
from tests.graph.fake_driver import FakeDriver
from tests.graph.layer_tars import squeezed, stream, tar

A = tar({"bin/sh": "#!"})


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return Graph(tmp_path / "graph", FakeDriver(tmp_path / "fake"))


def test_an_import_is_an_image_of_one_layer(graph: Graph) -> None:
    """Compressed or not; with a configuration, changes to it and a message."""
    image = import_root(
        graph, stream(squeezed(A)), config={"Env": ["A=1"]}, changes=["ENV B=2", 'CMD ["sh"]'], message="hi"
    )
    assert image.config.diff_ids == (digest_of(A),) and image.parent is None
    assert image.config.config == {"Env": ["A=1", "B=2"], "Cmd": ["sh"]}
    assert [(step.comment, step.empty_layer) for step in image.config.history] == [("hi", False)]
    assert (image.config.os, image.config.created[-1]) == ("linux", "Z")
    assert isinstance(graph.driver, FakeDriver)
    assert graph.driver.tree(driver_layer(image.layers[0])) == {"/bin/sh": "#!"}


@pytest.mark.parametrize("data", [b"not a tar at all", squeezed(A)[:-9], A[:700], squeezed(A)[:30] + b"\0" * 50])
def test_a_corrupt_import_leaves_nothing(graph: Graph, tmp_path: Path, data: bytes) -> None:
    """One clear error, and the disk as it was."""
    with pytest.raises(Invalid):
        import_root(graph, stream(data))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_bad_change_is_found_before_the_work(graph: Graph) -> None:
    """Not after gigabytes were unpacked."""
    unread = stream(A)
    with pytest.raises(Invalid, match="RUN is not a valid change command"):
        import_root(graph, unread, changes=["RUN true"])
    assert unread.tell() == 0


@pytest.mark.parametrize(
    ("config", "change", "expected"),
    [
        ({"Env": ["A=1", "B=2"]}, "ENV A=3 C=4", {"Env": ["A=3", "B=2", "C=4"]}),
        ({}, "ENV A some words", {"Env": ["A=some words"]}),
        ({}, "env A='x y' B=", {"Env": ["A=x y", "B="]}),
        ({}, "CMD ls -l", {"Cmd": ["/bin/sh", "-c", "ls -l"]}),
        ({}, 'ENTRYPOINT ["a", "b c"]', {"Entrypoint": ["a", "b c"]}),
        ({"ExposedPorts": {"1/tcp": {}}}, "EXPOSE 80", {"ExposedPorts": {"1/tcp": {}, "80/tcp": {}}}),
        ({}, "EXPOSE 80/tcp 53/udp", {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}),
        ({}, "EXPOSE 7000-7001", {"ExposedPorts": {"7000/tcp": {}, "7001/tcp": {}}}),
        ({"Labels": {"a": "1"}}, 'LABEL b="2 3"', {"Labels": {"a": "1", "b": "2 3"}}),
        ({}, 'VOLUME ["/a b", "/c"]', {"Volumes": {"/a b": {}, "/c": {}}}),
        ({"Volumes": None}, "VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}),
        ({}, "USER me:us", {"User": "me:us"}),
        ({"WorkingDir": "/srv"}, "WORKDIR sub/../x", {"WorkingDir": "/srv/x"}),
        ({"WorkingDir": "/srv"}, "WORKDIR /y", {"WorkingDir": "/y"}),
        ({"OnBuild": ["RUN a"]}, "ONBUILD RUN b", {"OnBuild": ["RUN a", "RUN b"]}),
        ({}, "STOPSIGNAL SIGINT", {"StopSignal": "SIGINT"}),
        ({}, 'SHELL ["/bin/ash", "-c"]', {"Shell": ["/bin/ash", "-c"]}),
    ],
)  # fmt: skip
def test_changes(config: dict[str, Any], change: str, expected: dict[str, Any]) -> None:
    """As the Dockerfile reference has each instruction."""
    before = repr(config)
    assert apply_changes(config, [change]) == expected
    assert repr(config) == before  # pure


@pytest.mark.parametrize(
    "change",
    [
        "",
        "FROM x",
        "ENV",
        "ENV A",
        "ENV A=1 B",
        'ENV A="1',
        "EXPOSE http",
        "EXPOSE 0",
        "EXPOSE 80/icmp",
        "ONBUILD FROM x",
        "SHELL x",
    ],
)
def test_bad_changes(change: str) -> None:
    """Each is refused with a sentence."""
    with pytest.raises(Invalid):
        apply_changes({}, [change])
