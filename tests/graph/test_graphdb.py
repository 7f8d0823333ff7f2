"""The GraphDB against a model of dictionaries."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mini_docker.errors import Conflict, Invalid, NotFound
from mini_docker.graph.graphdb import Entity, GraphDB
from tests.graph.layer_tars import memory_folder

names = st.sampled_from(["a", "b", "c"])
entities = st.sampled_from(["1", "2", "3", "4"])
paths = st.builds(lambda one, two: "/" + "/".join(filter(None, [one, two])), names, names | st.none())


class GraphDBMachine(RuleBasedStateMachine):
    """Edges as {(parent id, name): id}, with every question answered by walking them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = memory_folder()
        self.path = Path(self.folder.name) / "linkgraph.db"
        self.db = GraphDB(self.path)
        self.edges: dict[tuple[str, str], str] = {}

    def teardown(self) -> None:
        self.db.close()
        self.folder.cleanup()

    def resolve(self, path: str) -> str | None:
        found: str | None = "0"
        for name in filter(None, path.split("/")):
            found = self.edges.get((found, name)) if found else None
        return found

    def walk(self, path: str, entity: str, seen: tuple[str, ...]) -> list[Entity]:
        found = []
        for (parent, name), child in self.edges.items():
            if parent == entity and child not in seen:
                below = path.rstrip("/") + "/" + name
                found += [Entity(below, child), *self.walk(below, child, (*seen, child))]
        return found

    @rule(path=paths, entity=entities)
    def reserve(self, path: str, entity: str) -> None:
        parent, name = self.resolve(path.rpartition("/")[0]), path.rpartition("/")[2]
        if parent is None:
            with pytest.raises(NotFound):
                self.db.reserve(path, entity)
        elif self.edges.get((parent, name), entity) != entity:
            with pytest.raises(Conflict, match=f'"{path}" is already in use by container "{self.edges[parent, name]}"'):
                self.db.reserve(path, entity)
        else:
            self.db.reserve(path, entity)
            self.edges[parent, name] = entity

    @rule(old=paths, new=paths)
    def rename(self, old: str, new: str) -> None:
        entity, target = self.resolve(old), self.resolve(new.rpartition("/")[0])
        if entity is None or target is None:
            with pytest.raises(NotFound):
                self.db.rename(old, new)
            return
        source = (self.resolve(old.rpartition("/")[0]), old.rpartition("/")[2])
        wanted = (target, new.rpartition("/")[2])
        if wanted in self.edges and wanted != source:
            with pytest.raises(Conflict):
                self.db.rename(old, new)
        else:
            self.db.rename(old, new)
            del self.edges[source]  # type: ignore[arg-type]
            self.edges[wanted] = entity

    @rule(path=paths)
    def release(self, path: str) -> None:
        if self.resolve(path) is None:
            with pytest.raises(NotFound):
                self.db.release(path)
        else:
            parent = self.resolve(path.rpartition("/")[0])
            self.db.release(path)
            del self.edges[parent, path.rpartition("/")[2]]  # type: ignore[index]

    @rule(entity=entities)
    def purge(self, entity: str) -> None:
        gone = [edge for edge, child in self.edges.items() if entity in (edge[0], child)]
        assert self.db.purge(entity) == len(gone)
        for edge in gone:
            del self.edges[edge]

    @rule()
    def reopen(self) -> None:
        self.db.close()
        self.db = GraphDB(self.path)

    @invariant()
    def agrees(self) -> None:
        everything = sorted(self.walk("/", "0", ("0",)), key=lambda entity: entity.path)
        assert list(self.db.walk("/")) == everything
        assert self.db.children("/") == [entity for entity in everything if entity.path.count("/") == 1]
        for entity in "1234":
            assert self.db.names(entity) == [found.path for found in everything if found.id == entity]
        for found in everything:
            assert self.db.get(found.path) == found.id


TestGraphDBModel = GraphDBMachine.TestCase
TestGraphDBModel.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


@pytest.fixture
def db(tmp_path: Path) -> GraphDB:
    return GraphDB(tmp_path / "linkgraph.db")


late_steps = st.lists(
    st.tuples(st.just("give"), entities) | st.tuples(st.just("take"), entities) | st.tuples(st.just("look"), entities),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(late_steps)
def test_what_is_late_is_there_for_whoever_looks(steps: list[tuple[str, str]]) -> None:
    """And after the file was closed and opened again: whatever comes late, in whatever order."""
    with memory_folder() as folder:
        path = Path(folder) / "linkgraph.db"
        db = GraphDB(path, linger_seconds=60)
        held: dict[str, str] = {}
        for number, (step, entity) in enumerate(steps):
            if step == "give" and entity not in held:
                held[entity] = f"/name{number}"
                db.reserve_late(held[entity], entity)
            elif step == "take":
                db.purge_late(entity)
                held.pop(entity, None)
            elif step == "look":
                assert db.names(entity) == ([held[entity]] if entity in held else [])
        everything = sorted((Entity(name, entity) for entity, name in held.items()), key=lambda one: one.path)
        if len(steps) % 2:
            assert db.children("/") == everything
        db.close()
        db = GraphDB(path)
        assert db.children("/") == everything
        db.close()


def test_a_name_that_was_taken_back_is_never_written(tmp_path: Path) -> None:
    """A container's whole life may be shorter than the time that a name lingers."""
    path = tmp_path / "linkgraph.db"
    db = GraphDB(path, linger_seconds=60)
    db.reserve_late("/short", "s")
    db.reserve_late("/web", "w")
    db.purge_late("s")
    with closing(sqlite3.connect(path)) as other:
        count = "SELECT count(*) FROM edge"
        assert other.execute(count).fetchone() == (0,)
        db.reserve("/web/db", "d")  # a link is written at once, and what it hangs on before it
        assert other.execute(count).fetchone() == (2,)
    assert db.names("d") == ["/web/db"]
    db.close()


def test_late_changes_are_written_by_themselves(tmp_path: Path) -> None:
    """Nobody has to look; a daemon that is killed loses half a second."""
    path = tmp_path / "linkgraph.db"
    db = GraphDB(path, linger_seconds=0.01)
    db.reserve_late("/web", "w")
    deadline = time.monotonic() + 10
    with closing(sqlite3.connect(path)) as other:
        while other.execute("SELECT name FROM edge").fetchall() != [("web",)]:
            assert time.monotonic() < deadline
    db.close()


def test_a_full_disk_takes_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks hears of it, and what is late stays so until there is room."""
    db = GraphDB(tmp_path / "linkgraph.db", linger_seconds=60)
    db.reserve_late("/web", "w")

    def refuse(durably: bool) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch, pytest.raises(sqlite3.OperationalError, match="full"):
        patch.setattr(db, "_transaction", refuse)
        db.names("w")
    assert db.names("w") == ["/web"]
    db.close()


def test_what_cannot_be_written_is_said_and_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The name was another's after all: its keeper's book wins at the next start."""
    db = GraphDB(tmp_path / "linkgraph.db", linger_seconds=60)
    db.reserve("/web", "w")
    db.reserve_late("/web", "x")
    assert db.names("x") == []
    assert "the name /web of x is not written" in caplog.text
    db.reserve_late("/other", "x")
    assert db.names("x") == ["/other"]
    db.close()


def test_links_are_names_below_a_container(db: GraphDB) -> None:
    """/web linked to a database as db: the database is /db1 and /web/db, and follows a rename of /web."""
    db.reserve("/web", "w")
    db.reserve("/db1", "d")
    db.reserve("/web/db", "d")
    assert db.names("d") == ["/db1", "/web/db"]
    db.rename("/web", "/site")
    assert db.names("d") == ["/db1", "/site/db"]
    assert db.children("/site") == [Entity("/site/db", "d")]
    db.purge("w")
    assert db.names("d") == ["/db1"]


def test_the_conflict_is_docker_s(db: GraphDB) -> None:
    """Users and scripts know this sentence."""
    db.reserve("/x", "1234")
    with pytest.raises(Conflict) as caught:
        db.reserve("x", "5678")
    assert str(caught.value) == (
        'Conflict. The container name "/x" is already in use by container "1234". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )


def test_a_circle_of_links_is_walked_once_round(db: GraphDB) -> None:
    """a links to b and b to a: without a stop the tree would have no bottom."""
    db.reserve("/a", "1")
    db.reserve("/b", "2")
    db.reserve("/a/other", "2")
    db.reserve("/b/other", "1")
    assert [entity.path for entity in db.walk()] == ["/a", "/a/other", "/b", "/b/other"]


def test_the_root_stays(db: GraphDB) -> None:
    """It has no name to give away, and everything hangs on it."""
    assert db.get("/") == "0"
    with pytest.raises(Invalid):
        db.purge("0")
    with pytest.raises(Invalid):
        db.reserve("/", "1")


def test_one_of_many_threads_gets_a_name(db: GraphDB) -> None:
    """Two `run --name x` at once: exactly one container, and the other hears whose name it is."""
    outcomes: list[str] = []
    gate = threading.Barrier(8)

    def ask(entity: str) -> None:
        gate.wait(10)
        try:
            db.reserve("/x", entity)
            outcomes.append("mine")
        except Conflict:
            outcomes.append("taken")

    threads = [threading.Thread(target=ask, args=(str(number),)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(outcomes) == ["mine"] + ["taken"] * 7
