"""A state machine of layers: random writes, deletions, links, renames, commits and removals, beside a plain model.

The model is a dict of trees, a tree a dict from path to `File`. The same machine runs against every driver.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mini_docker.dataclasses import dataclass, replace
from mini_docker.drivers.graphdriver.contract import ChangeKind, GraphDriver, StorageOptions
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.archive.trees import folder
from tests.drivers.graphdriver.contract_suite import rebased

_clock = itertools.count(1_700_000_000_000_000_001, 1_000_003)

names = st.sampled_from(["a", "b", "c"])


@dataclass(frozen=True)
class File:
    """What the model knows of a file: *inode* tells hard links from copies."""

    kind: str
    content: str = ""
    mode: int = 0o644
    inode: int = 0


Tree = dict[str, File]


class LayerMachine(RuleBasedStateMachine):
    """One driver, its layers, and what they should be."""

    driver_class: ClassVar[Any]

    @classmethod
    @contextmanager
    def place(cls) -> Iterator[Path]:
        """Where the driver's folder lies. Drivers that need a certain file system override it."""
        with folder() as place:
            yield place / "driver"

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        root = self.stack.enter_context(self.place())
        self.driver: GraphDriver = self.driver_class(root, LinuxKernel())
        if not (available := self.driver.available()):
            self.stack.close()
            pytest.skip(available.reason)
        self.trees: dict[str, Tree] = {}
        self.parents: dict[str, str | None] = {}
        self.containers: list[str] = []
        self.serial = itertools.count()

    def teardown(self) -> None:
        with self.stack:
            for layer_id, tree in self.trees.items():
                with self.opened(layer_id) as root:
                    assert read(root) == canonical(tree)
            self.driver.cleanup()

    @contextmanager
    def opened(self, layer_id: str) -> Iterator[Path]:
        root = self.driver.open(layer_id)
        try:
            yield Path(root.as_path())
        finally:
            self.driver.close(layer_id)

    @initialize()
    def first(self) -> None:
        """An image with a few files and directories, and a container on it."""
        self.driver.create_read_write("first", None, StorageOptions())
        self.trees["first"], self.parents["first"] = {}, None
        self.containers.append("first")
        for path in ("a", "a/a", "b"):
            self.place_directory("first", path, 0o755)
        for path in ("a/b", "a/a/a", "a/a/b", "b/a", "c"):
            self.place_file("first", path, "x")
        self.commit_as("image", "first", None)
        self.run_on("image", "container")

    # What a container does to its files. Paths are drawn from those that are there, so that most steps do something.

    def draw_container(self, data: st.DataObject) -> tuple[str, Tree]:
        layer_id = data.draw(st.sampled_from(self.containers))
        return layer_id, self.trees[layer_id]

    def draw_place(self, data: st.DataObject, tree: Tree) -> str:
        """A path in a directory that is there; something may stand at it."""
        directory = data.draw(st.sampled_from(["", *sorted(path for path in tree if is_directory(tree, path))]))
        return join(directory, data.draw(names))

    def place_file(self, layer_id: str, path: str, content: str) -> None:
        with self.opened(layer_id) as root:
            (root / path).unlink(missing_ok=True)
            (root / path).write_text(content)
            touch(root / path)
        self.trees[layer_id][path] = File("file", content, inode=next(self.serial))

    def place_directory(self, layer_id: str, path: str, mode: int) -> None:
        with self.opened(layer_id) as root:
            (root / path).unlink(missing_ok=True)
            (root / path).mkdir()
            (root / path).chmod(mode)
        self.trees[layer_id][path] = File("directory", mode=mode)

    @precondition(lambda self: self.containers)
    @rule(data=st.data(), content=st.text("xyz", max_size=3))
    def write(self, data: st.DataObject, content: str) -> None:
        """A new file, in place of whatever file was there."""
        layer_id, tree = self.draw_container(data)
        path = self.draw_place(data, tree)
        if not is_directory(tree, path):
            self.place_file(layer_id, path, content)

    @precondition(lambda self: self.containers)
    @rule(data=st.data(), mode=st.sampled_from([0o755, 0o700, 0o1777]))
    def make_directory(self, data: st.DataObject, mode: int) -> None:
        """A directory, in place of whatever file was there."""
        layer_id, tree = self.draw_container(data)
        path = self.draw_place(data, tree)
        if not is_directory(tree, path) and path.count("/") < 4:
            self.place_directory(layer_id, path, mode)

    @precondition(lambda self: self.containers)
    @rule(data=st.data(), points_to=st.sampled_from(["a", "/etc", "../.."]))
    def make_symlink(self, data: st.DataObject, points_to: str) -> None:
        layer_id, tree = self.draw_container(data)
        path = self.draw_place(data, tree)
        if is_directory(tree, path):
            return
        with self.opened(layer_id) as root:
            (root / path).unlink(missing_ok=True)
            (root / path).symlink_to(points_to)
        tree[path] = File("symlink", points_to, 0o777)

    @precondition(lambda self: any(self.trees[layer_id] for layer_id in self.containers))
    @rule(data=st.data(), more=st.text("xyz", min_size=1, max_size=3))
    def append(self, data: st.DataObject, more: str) -> None:
        """More of a file of one name (an overlay parts the names of a file below when one is written to)."""
        layer_id, tree = self.draw_container(data)
        files = single_files(tree)
        if not files:
            return
        path = data.draw(st.sampled_from(files))
        with self.opened(layer_id) as root:
            with open(root / path, "a") as file:
                file.write(more)
            touch(root / path)
        tree[path] = File("file", tree[path].content + more, tree[path].mode, next(self.serial))

    @precondition(lambda self: any(self.trees[layer_id] for layer_id in self.containers))
    @rule(data=st.data(), mode=st.sampled_from([0o600, 0o4755]))
    def change_mode(self, data: st.DataObject, mode: int) -> None:
        """Of a file of one name or of a directory."""
        layer_id, tree = self.draw_container(data)
        paths = single_files(tree) + [path for path in tree if is_directory(tree, path)]
        if not paths:
            return
        path = data.draw(st.sampled_from(sorted(paths)))
        with self.opened(layer_id) as root:
            (root / path).chmod(mode)
        tree[path] = replace(tree[path], mode=mode)

    @precondition(lambda self: any(self.trees[layer_id] for layer_id in self.containers))
    @rule(data=st.data())
    def make_link(self, data: st.DataObject) -> None:
        """One more name for a file that has one. (An overlay copies a file up, and leaves other names behind.)"""
        layer_id, tree = self.draw_container(data)
        files = single_files(tree)
        if not files:
            return
        old = data.draw(st.sampled_from(files))
        new = self.draw_place(data, tree)
        if new in tree:
            return
        with self.opened(layer_id) as root:
            os.link(root / old, root / new)
        tree[new] = tree[old]

    @precondition(lambda self: any(self.trees[layer_id] for layer_id in self.containers))
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """A file, or a directory with all that is in it."""
        layer_id, tree = self.draw_container(data)
        if not tree:
            return
        path = data.draw(st.sampled_from(sorted(tree)))
        with self.opened(layer_id) as root:
            if is_directory(tree, path):
                shutil.rmtree(root / path)
            else:
                (root / path).unlink()
        for lost in [other for other in tree if other == path or other.startswith(path + "/")]:
            del tree[lost]

    @precondition(lambda self: any(self.trees[layer_id] for layer_id in self.containers))
    @rule(data=st.data(), name=names)
    def replace_directory(self, data: st.DataObject, name: str) -> None:
        """By one of the same name with one file: nothing of what was in it may come back."""
        layer_id, tree = self.draw_container(data)
        directories = sorted(path for path in tree if is_directory(tree, path))
        if not directories:
            return
        path = data.draw(st.sampled_from(directories))
        with self.opened(layer_id) as root:
            shutil.rmtree(root / path)
        for lost in [other for other in tree if other == path or other.startswith(path + "/")]:
            del tree[lost]
        self.place_directory(layer_id, path, 0o700)
        self.place_file(layer_id, join(path, name), "new")

    @precondition(lambda self: any(self.trees[layer_id] for layer_id in self.containers))
    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        """To a free name. An overlay may refuse to rename a directory from below, as if it lay on another disk."""
        layer_id, tree = self.draw_container(data)
        paths = single_files(tree) + [path for path in tree if is_directory(tree, path)]
        if not paths:
            return
        old = data.draw(st.sampled_from(sorted(paths)))
        new = self.draw_place(data, tree)
        if new in tree or f"{new}/".startswith(f"{old}/"):
            return
        with self.opened(layer_id) as root:
            try:
                os.rename(root / old, root / new)
            except OSError as error:
                assert error.errno == errno.EXDEV and is_directory(tree, old)
                return
        for path in [other for other in tree if other == old or other.startswith(old + "/")]:
            tree[new + path[len(old) :]] = tree.pop(path)

    # What the daemon does to layers.

    def run_on(self, parent: str | None, layer_id: str) -> None:
        self.driver.create_read_write(layer_id, parent, StorageOptions())
        self.trees[layer_id] = dict(self.trees[parent]) if parent else {}
        self.parents[layer_id] = parent
        self.containers.append(layer_id)

    def commit_as(self, layer_id: str, source: str, parent: str | None) -> None:
        with self.driver.diff(source, parent) as stream:
            if self.driver.rebasing and next(self.serial) % 2:
                size = rebased(self.driver, layer_id, parent, stream)
            else:
                self.driver.create(layer_id, parent)
                size = self.driver.apply(layer_id, parent, stream)
        assert size == self.driver.size(source, parent) == self.driver.size(layer_id, parent)
        self.trees[layer_id], self.parents[layer_id] = dict(self.trees[source]), parent

    @precondition(lambda self: len(self.containers) < 3)
    @rule(data=st.data())
    def run(self, data: st.DataObject) -> None:
        """A container on some image."""
        images = sorted(set(self.trees) - set(self.containers))
        self.run_on(data.draw(st.sampled_from([*images, None])), f"container{next(self.serial)}")

    @rule()
    def prepare(self) -> None:
        """Nobody waits just now, and the driver has all the time that it wants."""
        self.driver.prepare()
        background = getattr(self.driver, "_background", None)
        if background is not None:
            background.drain()

    @precondition(lambda self: self.containers and len(self.trees) < 10)
    @rule(data=st.data(), flat=st.booleans())
    def commit(self, data: st.DataObject, flat: bool) -> None:
        """A container's difference to its parent (or to nothing) becomes an image, and another goes on from it."""
        source, _ = self.draw_container(data)
        layer_id = f"image{next(self.serial)}"
        self.commit_as(layer_id, source, None if flat else self.parents[source])
        if len(self.containers) < 3:
            self.run_on(layer_id, f"container{next(self.serial)}")

    @precondition(lambda self: self.containers)
    @rule(data=st.data())
    def compare(self, data: st.DataObject) -> None:
        """The changes name each path that only one side has, and no other as added or deleted."""
        layer_id, tree = self.draw_container(data)
        parent = self.parents[layer_id]
        below = self.trees[parent] if parent else {}
        changes = {change.path: change.kind for change in self.driver.changes(layer_id, parent)}
        added = {path for path, kind in changes.items() if kind is ChangeKind.ADDED}
        deleted = {path for path, kind in changes.items() if kind is ChangeKind.DELETED}
        assert added == {f"/{path}" for path in tree.keys() - below.keys()}
        gone = below.keys() - tree.keys()
        # Of a directory that went, its name alone; of one that became a file, not even that.
        tops = {path for path in gone if is_directory(tree, path.rpartition("/")[0])}
        assert deleted == {f"/{path}" for path in tops if is_directory(below, path.rpartition("/")[0])}

    @precondition(lambda self: len(self.trees) > 5)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """A layer on which no other stands."""
        leaves = sorted(set(self.trees) - set(self.parents.values()))
        layer_id = data.draw(st.sampled_from(leaves))
        self.driver.remove(layer_id)
        assert not self.driver.exists(layer_id)
        del self.trees[layer_id], self.parents[layer_id]
        if layer_id in self.containers:
            self.containers.remove(layer_id)


# A fifth of what the profile has for a plain test: an example is a whole life of layers.
MACHINE_SETTINGS = settings(
    max_examples=settings.default.max_examples // 5,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def is_directory(tree: Tree, path: str) -> bool:
    return not path or (path in tree and tree[path].kind == "directory")


def single_files(tree: Tree) -> list[str]:
    """The paths of files of one name."""
    counts = Counter(file.inode for file in tree.values() if file.kind == "file")
    return sorted(path for path, file in tree.items() if file.kind == "file" and counts[file.inode] == 1)


def touch(path: Path) -> None:
    """A time that no other file has: two writes of one length in one tick of the clock cannot be told apart."""
    time_ns = next(_clock)
    os.utime(path, ns=(time_ns, time_ns))


def canonical(tree: Tree) -> dict[str, tuple[str, str, int, tuple[str, ...]]]:
    """A tree of the model as `read` gives it."""
    names: dict[int, list[str]] = {}
    for path, file in tree.items():
        if file.kind == "file":
            names.setdefault(file.inode, []).append(path)
    return {
        path: (file.kind, file.content, file.mode, tuple(sorted(names[file.inode])) if file.kind == "file" else ())
        for path, file in tree.items()
    }


def read(root: Path) -> dict[str, tuple[str, str, int, tuple[str, ...]]]:
    """A tree as it is: kind, content, mode and all names of each file."""
    found: dict[str, tuple[str, str, int]] = {}
    inodes: dict[str, tuple[int, int]] = {}
    pending = [""]
    while pending:
        directory = pending.pop()
        for name in os.listdir(root / directory):
            path = join(directory, name)
            status = (root / path).lstat()
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISDIR(status.st_mode):
                found[path] = ("directory", "", mode)
                pending.append(path)
            elif stat.S_ISLNK(status.st_mode):
                found[path] = ("symlink", os.readlink(root / path), mode)
            else:
                found[path] = ("file", (root / path).read_text(), mode)
                inodes[path] = (status.st_dev, status.st_ino)
    return {
        path: (*file, tuple(sorted(other for other in inodes if path in inodes and inodes[other] == inodes[path])))
        for path, file in found.items()
    }
