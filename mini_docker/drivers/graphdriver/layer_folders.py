"""Layer folders: the shelf. One folder a layer; it stands on the shelf whole, or it does not stand there.

A folder is filled in ``tmp/`` and renamed into place, and renamed into ``trash/`` before it is taken apart: rename(2)
is the instant at which a layer begins or ceases to exist. A layer that is being written to carries the
file ``incomplete``; what a crash leaves in such a state is rubbish.

It knows nothing of what is in a folder, besides a note of the layer it stands on.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mini_docker.archive import removal
from mini_docker.errors import Conflict, Invalid, NotFound

LINKS = "l"
_TMP = "tmp"
_TRASH = "trash"
_NO_LAYERS = {LINKS, _TMP, _TRASH}
_PARENT = "parent"
_INCOMPLETE = "incomplete"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_FOLDER_MODE = 0o700  # layers hold setuid files: no user of the host may reach them


class LayerFolders:
    """The layers of one driver, on disk and by id.

    Args:
        root: the driver's own folder. It is made with the first layer, so that a folder stands for use.
    """

    def __init__(self, root: Path) -> None:
        self.root = root  # fixed
        self._lock = threading.RLock()
        # guarded by _lock; persisted as the folders
        self._parents: dict[str, str | None] = {}
        self._births: dict[str, int] = {}
        self._counter = itertools.count(1)
        self._incomplete: set[str] = set()
        # guarded by _lock
        self._being_made: set[str] = set()
        self._children: Counter[str] = Counter()
        self._load()
        # fixed: what an earlier process was about
        self._left_half_made = set(self._incomplete)
        self._left_unfinished = [root / _TMP / name for name in self._names(root / _TMP)]

    def _load(self) -> None:
        for layer_id in self._names(self.root):
            if layer_id in _NO_LAYERS:
                continue
            folder = self.root / layer_id
            try:
                parent = self.read_parent(folder)
            except (FileNotFoundError, NotADirectoryError):
                continue  # no layer of ours
            self._parents[layer_id] = parent
            if parent:
                self._children[parent] += 1
            if (folder / _INCOMPLETE).exists():
                self._incomplete.add(layer_id)

    def write_parent(self, folder: Path, parent: str | None) -> None:
        """Note in a new layer's folder what it stands on. For drivers whose folders say it otherwise to override."""
        (folder / _PARENT).write_text(parent or "")

    def read_parent(self, folder: Path) -> str | None:
        """The inverse of `write_parent`.

        Raises:
            FileNotFoundError, NotADirectoryError: it is no layer's folder.
        """
        return (folder / _PARENT).read_text() or None

    def __contains__(self, layer_id: str) -> bool:
        with self._lock:
            return layer_id in self._parents and layer_id not in self._incomplete

    def ids(self) -> list[str]:
        """The ids of all whole layers, sorted."""
        with self._lock:
            return sorted(self._parents.keys() - self._incomplete)

    def folder(self, layer_id: str) -> Path:
        """The layer's folder.

        Raises:
            NotFound: unknown id.
        """
        with self._lock:
            if layer_id not in self._parents:
                raise NotFound(f"no such layer: {layer_id}")
        return self.root / layer_id

    def parent(self, layer_id: str) -> str | None:
        """The layer that it stands on.

        Raises:
            NotFound: unknown id.
        """
        with self._lock:
            self.folder(layer_id)
            return self._parents[layer_id]

    def birth(self, layer_id: str) -> int:
        """Which layer of that id this is: one that is removed and made again is another one.

        Raises:
            NotFound: unknown id.
        """
        with self._lock:
            self.folder(layer_id)
            return self._births.get(layer_id, 0)

    def ancestors(self, layer_id: str) -> list[str]:
        """All layers that it stands on, nearest first.

        Raises:
            NotFound: unknown id.
        """
        found: list[str] = []
        with self._lock:
            parent = self.parent(layer_id)
            while parent is not None:
                found.append(parent)
                parent = self._parents[parent]
        return found

    @contextmanager
    def making(
        self, layer_id: str, parent: str | None, discard: Callable[[Path], None],
        filled: Callable[[], Path] | None = None,
    ) -> Iterator[Path]:  # fmt: skip
        """A folder to fill, which becomes the layer when the block ends well and goes to *discard* when it does not.

        Args:
            filled: gives a scratch folder that is filled already, on a parent that stays from now on; without it a
                new one is made.

        Raises:
            Invalid: the id cannot be a folder's name. Conflict: the id exists. NotFound: the parent does not.
        """
        self._announce(layer_id, parent)
        try:
            folder = filled() if filled else self.scratch(layer_id)
            try:
                self.write_parent(folder, parent)
                yield folder
                os.rename(folder, self.root / layer_id)
            except BaseException:
                discard(folder)
                raise
        except BaseException:
            with self._lock:
                self._being_made.discard(layer_id)
                self._let_go(parent)
            raise
        with self._lock:
            self._being_made.discard(layer_id)
            self._parents[layer_id] = parent
            self._births[layer_id] = next(self._counter)

    def _announce(self, layer_id: str, parent: str | None) -> None:
        if not _ID.fullmatch(layer_id) or layer_id in _NO_LAYERS:
            raise Invalid(f"invalid layer id: {layer_id!r}")
        with self._lock:
            if layer_id in self._parents or layer_id in self._being_made:
                raise Conflict(f"layer {layer_id} exists already")
            if parent is not None and parent not in self:
                raise NotFound(f"no such layer: {parent} (the parent of {layer_id})")
            self._being_made.add(layer_id)
            if parent is not None:
                self._children[parent] += 1  # from now on it cannot be removed

    @contextmanager
    def writing(self, layer_id: str) -> Iterator[Path]:
        """The layer's folder. The layer does not exist meanwhile, nor after a block that ended badly.

        Raises:
            NotFound: unknown id. Conflict: it is being written to already.
        """
        folder = self.folder(layer_id)
        mark = folder / _INCOMPLETE
        with self._lock:
            if layer_id in self._incomplete:
                raise Conflict(f"layer {layer_id} is being written to")
            mark.touch()
            self._incomplete.add(layer_id)
        yield folder
        with self._lock:
            mark.unlink()
            self._incomplete.discard(layer_id)

    def throw_away(self, layer_id: str) -> Path:
        """End the layer's existence; returns its folder, now in the trash.

        Raises:
            NotFound: unknown id. Conflict: another layer stands on it.
        """
        with self._lock:
            folder = self.folder(layer_id)
            if self._children[layer_id]:
                raise Conflict(f"layer {layer_id} is the parent of another layer")
            thrown = self._unique(_TRASH, layer_id)
            os.rename(folder, thrown)
            self._let_go(self._parents.pop(layer_id))
            self._births.pop(layer_id, None)
            self._incomplete.discard(layer_id)
        return thrown

    def scratch(self, name: str) -> Path:
        """A new folder in ``tmp/``, for what need not survive a crash."""
        folder = self._unique(_TMP, name)
        folder.mkdir(_FOLDER_MODE)
        return folder

    @contextmanager
    def probing(self) -> Iterator[Path]:
        """A scratch folder to try the file system in, gone afterwards without a trace of use.

        Raises:
            OSError: the root cannot be made or written to.
        """
        were_there = {folder: folder.exists() for folder in (self.root / _TMP, self.root)}
        folder = self.scratch("probe")
        try:
            yield folder
        finally:
            removal.remove(folder)
            for made, was_there in were_there.items():
                if not was_there:
                    made.rmdir()

    def rubbish(self) -> list[Path]:
        """What a crash left: half-made layers (thrown away now) and ``tmp/``, of an earlier process; all of ``trash/``.

        Never what this process has in ``tmp/``, which somebody still fills.
        """
        with self._lock:
            # One that stands on a half-made layer cannot be; but whoever removes it must go leaf by leaf.
            for layer_id in sorted(self._left_half_made & self._incomplete):
                if not self._children[layer_id]:
                    self.throw_away(layer_id)
            trash = self.root / _TRASH
            unfinished = [folder for folder in self._left_unfinished if os.path.lexists(folder)]
            return [*unfinished, *(trash / name for name in self._names(trash))]

    def _let_go(self, parent: str | None) -> None:
        if parent is not None:
            self._children[parent] -= 1
            if not self._children[parent]:
                del self._children[parent]

    def _unique(self, shelf: str, name: str) -> Path:
        directory = self.root / shelf
        if not directory.is_dir():
            self.root.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
            directory.mkdir(_FOLDER_MODE, exist_ok=True)
        return directory / f"{name}.{secrets.token_hex(4)}"

    @staticmethod
    def _names(directory: Path) -> list[str]:
        try:
            return sorted(os.listdir(directory))
        except FileNotFoundError:
            return []
