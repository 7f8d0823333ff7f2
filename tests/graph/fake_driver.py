"""A graph driver for tests without root: each layer a folder with one JSON file, its whole tree in it.

It keeps the contract's promises (atomic create and remove, Conflict, NotFound) in the simplest way, on disk, so that
tests may kill a process and look at what is left.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.graphdriver.contract import Change, ChangeKind, MountedRoot, Rebasing, StorageOptions
from mini_docker.errors import Conflict, Invalid, NotFound, Unsupported


class FakeDriver:
    """Layers as ``<root>/<id>/{parent,root/}``: the root folder is a whole copy, as vfs has it."""

    name = "fake"
    rebasing: Rebasing | None = None

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.applied: list[str] = []
        self.opened: dict[str, int] = {}
        self.before_apply = lambda layer_id: None
        self.prepared = 0
        self._lock = threading.Lock()

    def available(self) -> Availability:
        return AVAILABLE

    def create(self, layer_id: str, parent: str | None) -> None:
        with self._lock:
            if self.exists(layer_id):
                raise Conflict(f"layer {layer_id} exists")
            if parent is not None and not self.exists(parent):
                raise NotFound(f"no such layer: {parent}")
            scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
            (scratch / "parent").write_text(parent or "")
            if parent is None:
                (scratch / "root").mkdir()
            else:
                shutil.copytree(self.root / parent / "root", scratch / "root", symlinks=True)
            os.rename(scratch, self.root / layer_id)

    def create_read_write(self, layer_id: str, parent: str | None, options: StorageOptions) -> None:
        if options.size_bytes:
            raise Unsupported("the fake driver keeps no limits")
        self.create(layer_id, parent)

    def prepare(self) -> None:
        self.prepared += 1

    def remove(self, layer_id: str) -> None:
        with self._lock:
            if not self.exists(layer_id):
                raise NotFound(f"no such layer: {layer_id}")
            if self.opened.get(layer_id) or layer_id in self.parents().values():
                raise Conflict(f"layer {layer_id} is in use")
            trash = self.root / f".trash-{layer_id}-{os.urandom(4).hex()}"
            os.rename(self.root / layer_id, trash)
        shutil.rmtree(trash)

    def exists(self, layer_id: str) -> bool:
        return (self.root / layer_id).is_dir()

    def layers(self) -> list[str]:
        return [name for name in os.listdir(self.root) if not name.startswith(".")]

    def parents(self) -> dict[str, str]:
        return {name: (self.root / name / "parent").read_text() for name in self.layers()}

    def open(self, layer_id: str) -> MountedRoot:
        if not self.exists(layer_id):
            raise NotFound(f"no such layer: {layer_id}")
        self.opened[layer_id] = self.opened.get(layer_id, 0) + 1
        return MountedRoot(path=str(self.root / layer_id / "root"))

    def adopt(self, layer_id: str, descriptor: int) -> MountedRoot:
        return self.open(layer_id)

    def close(self, layer_id: str) -> None:
        self.opened[layer_id] -= 1

    def tree(self, layer_id: str | None) -> dict[str, str]:
        """Path to content (or ``-> target``) of everything that is no folder."""
        if layer_id is None:
            return {}
        root, tree = self.root / layer_id / "root", {}
        for folder, folders, files in os.walk(root):
            for name in files + [name for name in folders if os.path.islink(os.path.join(folder, name))]:
                path = Path(folder) / name
                content = "-> " + os.readlink(path) if path.is_symlink() else path.read_text()
                tree["/" + str(path.relative_to(root))] = content
        return tree

    @contextmanager
    def diff(self, layer_id: str, parent: str | None) -> Iterator[BinaryIO]:
        tree, buffer = self.tree(layer_id), io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for change in self.changes(layer_id, parent):
                name = change.path[1:]
                if change.kind is ChangeKind.DELETED:
                    folder, base = os.path.split(name)
                    tar.addfile(tarfile.TarInfo(os.path.join(folder, ".wh." + base)))
                else:
                    info = tarfile.TarInfo(name)
                    info.size = len(tree[change.path])
                    tar.addfile(info, io.BytesIO(tree[change.path].encode()))
        yield io.BytesIO(buffer.getvalue())

    def apply(self, layer_id: str, parent: str | None, layer: BinaryIO) -> int:
        self.before_apply(layer_id)
        self.applied.append(layer_id)
        root, size = self.root / layer_id / "root", 0
        try:
            with tarfile.open(fileobj=layer, mode="r|") as tar:
                for member in tar:
                    target = root / member.name
                    if os.path.basename(member.name).startswith(".wh."):
                        (target.parent / target.name.removeprefix(".wh.")).unlink()
                    elif member.isfile():
                        target.parent.mkdir(parents=True, exist_ok=True)
                        content = tar.extractfile(member)
                        assert content is not None
                        target.write_bytes(content.read())
                        size += member.size
        except (tarfile.TarError, OSError) as error:
            raise Invalid(f"corrupt layer: {error}") from None
        return size

    def changes(self, layer_id: str, parent: str | None) -> list[Change]:
        old, new = self.tree(parent), self.tree(layer_id)
        kinds = dict.fromkeys(old.keys() - new.keys(), ChangeKind.DELETED)
        kinds |= dict.fromkeys(new.keys() - old.keys(), ChangeKind.ADDED)
        kinds |= {path: ChangeKind.MODIFIED for path in new.keys() & old.keys() if new[path] != old[path]}
        return sorted(Change(path, kind) for path, kind in kinds.items())

    def size(self, layer_id: str, parent: str | None) -> int:
        changes = self.changes(layer_id, parent)
        tree = self.tree(layer_id)
        return sum(len(tree[change.path]) for change in changes if change.kind is not ChangeKind.DELETED)

    def status(self) -> list[tuple[str, str]]:
        return [("Layers", json.dumps(len(self.layers())))]

    def cleanup(self) -> None:
        for name in os.listdir(self.root):
            if name.startswith("."):
                shutil.rmtree(self.root / name)
