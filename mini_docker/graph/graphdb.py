"""The GraphDB: a telephone book that is also a family tree. It holds the names of containers, and their links.

An *entity* is something with an id; an *edge* is the name by which one entity calls another. The root entity calls
container ``/web`` by ``web``; when ``/web`` is linked to a database as ``db``, then the entity behind ``/web`` calls
that one ``db``, and the database answers to ``/web/db`` too. It knows nothing of what the entities are.

Source: classic Docker's ``pkg/graphdb/graphdb.go`` (tables ``entity`` and ``edge``); https://www.sqlite.org/wal.html.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Conflict, Invalid, MiniDockerError, NotFound

log = logging.getLogger(__name__)

ROOT = "0"

LINGER_SECONDS = 0.5
"""How long a change waits that may be made late: most containers are gone by then, and nothing is left to write."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entity (id TEXT NOT NULL PRIMARY KEY);
CREATE TABLE IF NOT EXISTS edge (
    entity_id TEXT NOT NULL REFERENCES entity (id),
    parent_id TEXT NOT NULL REFERENCES entity (id),
    name TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS name_of_parent ON edge (parent_id, name);
CREATE INDEX IF NOT EXISTS edges_to ON edge (entity_id);
INSERT OR IGNORE INTO entity VALUES ('0');
"""

# Links may run in circles: a path stops before it meets an entity twice. The trail holds those it met.
_WALK = """
WITH RECURSIVE walk (path, id, depth, trail) AS (
    SELECT ?1, ?2, 0, '|' || ?2 || '|'
    UNION ALL
    SELECT rtrim(walk.path, '/') || '/' || edge.name, edge.entity_id, walk.depth + 1,
           walk.trail || edge.entity_id || '|'
    FROM walk JOIN edge ON edge.parent_id = walk.id
    WHERE (?3 < 0 OR walk.depth < ?3) AND instr(walk.trail, '|' || edge.entity_id || '|') = 0
)
SELECT path, id FROM walk WHERE depth > 0 ORDER BY path
"""

_NAMES = """
WITH RECURSIVE climb (path, id, trail) AS (
    SELECT '', ?1, '|' || ?1 || '|'
    UNION ALL
    SELECT '/' || edge.name || climb.path, edge.parent_id, climb.trail || edge.parent_id || '|'
    FROM climb JOIN edge ON edge.entity_id = climb.id
    WHERE instr(climb.trail, '|' || edge.parent_id || '|') = 0
)
SELECT path FROM climb WHERE id = '0' AND path != '' ORDER BY path
"""


@dataclass(frozen=True, slots=True)
class Entity:
    """Something with an id, as found under a path."""

    path: str
    id: str


class GraphDB:
    """Ids by path, in one SQLite file.

    *Guarded by the lock*: the one connection; what is to be written late.

    Every change survives a crash, but for those that are made late; a power cut may take the last names that were
    given or taken away at the top. Both are for names that somebody else keeps, as a container's own config does.
    What stands nowhere else, a rename and a link, is on the disk when its method returns.

    Args:
        path: of the file, ``linkgraph.db``; made when absent.
        linger_seconds: see `LINGER_SECONDS`.
    """

    def __init__(self, path: Path, linger_seconds: float = LINGER_SECONDS) -> None:
        self._lock = threading.Lock()
        self._linger_seconds = linger_seconds
        self._late: dict[str, str | None] = {}  # entity → its path, or None when it is to be purged; in order
        self._changed = threading.Condition(self._lock)
        self._writer: threading.Thread | None = None
        self._lingers = self._complained = self._closed = False
        # isolation_level None: transactions begin and end where we say so.
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Write what is late, and close the file."""
        with self._lock:
            self._try_to_settle()
            self._closed = True
            self._changed.notify_all()
        if self._writer is not None:
            self._writer.join()
        self._connection.close()

    # -- names ------------------------------------------------------------------------------------

    def reserve(self, path: str, entity_id: str) -> None:
        """Give the entity a name: ``/web``, or ``/web/db`` for a link. Giving it the name it has is no error.

        Raises:
            Invalid: the path names nothing.
            NotFound: its parent does not exist.
            Conflict: the name is another's; the message says whose.
        """
        with self._changing(durably=path.count("/") > 1):
            self._reserve(path, entity_id)

    def rename(self, old: str, new: str) -> None:
        """Give what is called *old* the name *new* instead; what it is linked to stays its own.

        Raises:
            Invalid, NotFound, Conflict: as `reserve`; NotFound also when there is no *old*.
        """
        with self._changing(durably=True) as connection:
            parent, name = self._split(old)
            entity_id = self._resolve(old)
            new_parent, new_name = self._split(new)
            holder = self._child(new_parent, new_name)
            if holder is not None and (new_parent, new_name) != (parent, name):
                raise _taken(new, holder)
            connection.execute(
                "UPDATE edge SET parent_id = ?, name = ? WHERE parent_id = ? AND name = ? AND entity_id = ?",
                (new_parent, new_name, parent, name, entity_id),
            )

    def release(self, path: str) -> None:
        """Take one name away. The entity stays as long as it has another name or names others.

        Raises:
            NotFound: nothing is called so.
        """
        with self._changing() as connection:
            parent, name = self._split(path)
            entity_id = self._resolve(path)
            connection.execute("DELETE FROM edge WHERE parent_id = ? AND name = ?", (parent, name))
            self._forget_if_alone(entity_id)

    def purge(self, entity_id: str) -> int:
        """Forget the entity, all its names, and all names that it gave; returns how many names there were."""
        if entity_id == ROOT:
            raise Invalid("the root entity cannot be purged")
        with self._changing():
            return self._purge(entity_id)

    # -- changes that nobody waits for ---------------------------------------------------------------

    def reserve_late(self, path: str, entity_id: str) -> None:
        """Give a new entity a name in a moment, or sooner if somebody looks. The caller knows the name to be free.

        Two changes of SQLite's are 0.4 ms of the 12 that a short container's life takes, and undo each other.
        """
        with self._lock:
            if entity_id in self._late:
                self._settle()  # a purge, which this name must not be lost in
            self._put_off(entity_id, path)

    def purge_late(self, entity_id: str) -> None:
        """`purge` in a moment, or sooner if somebody looks; for an entity whose name is still late, nothing at all."""
        with self._lock:
            if self._late.pop(entity_id, None) is None:
                self._put_off(entity_id, None)

    def _put_off(self, entity_id: str, path: str | None) -> None:
        self._late[entity_id] = path
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_late, name="graphdb", daemon=True)
            self._writer.start()
        elif not self._lingers:
            self._changed.notify_all()

    def _write_late(self) -> None:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._late or self._closed)
                self._lingers = True
                self._changed.wait_for(lambda: self._closed, self._linger_seconds)
                self._lingers = False
                if self._closed:
                    return
                self._try_to_settle()

    def _try_to_settle(self) -> None:
        try:
            self._settle()
            self._complained = False
        except sqlite3.Error as error:  # the disk is full: it is tried again and again, and said once
            if not self._complained:
                log.warning("%d changes of names cannot be written yet: %s", len(self._late), error)
            self._complained = True

    def _settle(self) -> None:
        """Write what is late. The caller holds the lock.

        Raises:
            sqlite3.Error: it cannot be written; it stays late.
        """
        if not self._late:
            return
        with self._transaction(durably=False):
            for entity_id, path in self._late.items():
                try:
                    if path is None:
                        self._purge(entity_id)
                    else:
                        self._reserve(path, entity_id)
                except MiniDockerError as error:  # it is said again at the next start, by who keeps it
                    log.warning("the name %s of %s is not written: %s", path, entity_id, error)
        self._late = {}

    # -- looking ----------------------------------------------------------------------------------

    def get(self, path: str) -> str:
        """The id of what is called so; ``/`` is the root entity.

        Raises:
            NotFound: nothing is.
        """
        with self._looking():
            return self._resolve(path)

    def exists(self, path: str) -> bool:
        """Whether something is called so."""
        try:
            self.get(path)
        except NotFound:
            return False
        return True

    def names(self, entity_id: str) -> list[str]:
        """Every path that leads to the entity, sorted. Empty for one that is not here."""
        with self._looking():
            return [path for (path,) in self._connection.execute(_NAMES, (entity_id,))]

    def children(self, path: str = "/", depth: int = 1) -> list[Entity]:
        """What is named below *path*, at most *depth* names deep (-1 for all), sorted by path.

        Raises:
            NotFound: nothing is called *path*.
        """
        with self._looking():
            entity_id = self._resolve(path)
            rows = self._connection.execute(_WALK, (_clean(path), entity_id, depth))
            return [Entity(*row) for row in rows]

    def walk(self, path: str = "/") -> Iterator[Entity]:
        """Everything below *path*, at any depth, sorted by path; a circle of links is walked once round.

        Raises:
            NotFound: nothing is called *path*.
        """
        return iter(self.children(path, depth=-1))

    # -- inside, with the lock held -----------------------------------------------------------------

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """The lock is held, and everything that was said is written."""
        with self._lock:
            self._settle()
            yield

    @contextmanager
    def _changing(self, durably: bool = False) -> Iterator[sqlite3.Connection]:
        """As `_looking`, with one transaction."""
        with self._looking(), self._transaction(durably) as connection:
            yield connection

    @contextmanager
    def _transaction(self, durably: bool) -> Iterator[sqlite3.Connection]:
        """All of it or nothing.

        Args:
            durably: wait for the disk, which costs a millisecond or several.
        """
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durably else 'NORMAL'}")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _reserve(self, path: str, entity_id: str) -> None:
        parent, name = self._split(path)
        holder = self._child(parent, name)
        if holder == entity_id:
            return
        if holder is not None:
            raise _taken(path, holder)
        self._connection.execute("INSERT OR IGNORE INTO entity VALUES (?)", (entity_id,))
        self._connection.execute("INSERT INTO edge VALUES (?, ?, ?)", (entity_id, parent, name))

    def _purge(self, entity_id: str) -> int:
        execute = self._connection.execute
        near = execute("SELECT entity_id FROM edge WHERE parent_id = ?", (entity_id,)).fetchall()
        edges = execute("DELETE FROM edge WHERE entity_id = ?1 OR parent_id = ?1", (entity_id,)).rowcount
        execute("DELETE FROM entity WHERE id = ?", (entity_id,))
        for (linked,) in near:
            self._forget_if_alone(linked)
        return edges

    def _child(self, parent: str, name: str) -> str | None:
        query = "SELECT entity_id FROM edge WHERE parent_id = ? AND name = ?"
        row = self._connection.execute(query, (parent, name)).fetchone()
        return None if row is None else str(row[0])

    def _resolve(self, path: str) -> str:
        entity_id = ROOT
        for name in _clean(path).split("/"):
            if name:
                child = self._child(entity_id, name)
                if child is None:
                    raise NotFound(f"nothing is named {_clean(path)}")
                entity_id = child
        return entity_id

    def _split(self, path: str) -> tuple[str, str]:
        """The parent's id and the last name."""
        parent, _, name = _clean(path).rpartition("/")
        if not name:
            raise Invalid(f"bad name {path!r}: it names nothing")
        return self._resolve(parent), name

    def _forget_if_alone(self, entity_id: str) -> None:
        self._connection.execute(
            "DELETE FROM entity WHERE id = ?1 AND id != '0'"
            " AND NOT EXISTS (SELECT 1 FROM edge WHERE entity_id = ?1 OR parent_id = ?1)",
            (entity_id,),
        )


def _clean(path: str) -> str:
    """One slash before each name, none at the end."""
    return "/" + "/".join(name for name in path.split("/") if name)


def _taken(path: str, holder: str) -> Conflict:
    return Conflict(
        f'Conflict. The container name "{_clean(path)}" is already in use by container "{holder}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
