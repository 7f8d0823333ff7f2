"""Short names: initials for sheets of glass, so that a whole stack of them fits one page of mount options.

A layer's short name is a symbolic link in ``l/`` to its directory, and the note ``link`` in its folder. It gets one
when the first other layer is laid on it; that one notes in ``lower`` the names of all that lie below it, nearest first.

It knows layers as folders, and mounts nothing.

Source: Docker's daemon/graphdriver/overlay2; mount(2), "data" is a page at most.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mini_docker.drivers.graphdriver.layer_folders import LINKS
from mini_docker.durable import write_file
from mini_docker.errors import Unsupported

MAX_LOWERS = 129
"""An image's 128 layers, and the stubs that lie between them and a container's own. The kernel takes 500."""

_LINK = "link"
_LOWER = "lower"
_SHORT_NAME_BYTES = 3  # six hex digits; 129 of them must fit a page of mount options
_NOTE_BYTES = 4096


class ShortNames:
    """The short names of all layers of a driver.

    Args:
        root: the driver's folder; the links are in ``l/`` there.
        directory: what in a layer's folder a link leads to.
    """

    def __init__(self, root: Path, directory: str) -> None:
        self.links = root / LINKS  # fixed
        self._root = root
        self._directory = directory
        self._lock = threading.Lock()

    def of(self, layer_id: str) -> str:
        """The layer's name; given to it if it has none yet.

        Raises:
            FileNotFoundError: the layer is not there.
        """
        note = self._root / layer_id / _LINK
        with self._lock:
            with suppress(FileNotFoundError):
                return _read(note)
            name = self._make_link(f"../{layer_id}/{self._directory}")
            try:
                # Renamed into place: the note is there whole, or a crash leaves a link that nobody speaks of.
                unfinished = note.with_suffix(".new")
                unfinished.write_text(name)
                os.rename(unfinished, note)
            except OSError:
                os.unlink(self.links / name)
                raise
            return name

    def below(self, folder: Path) -> tuple[str, ...]:
        """The names of all layers below the one in *folder*, nearest first."""
        try:
            text = _read(folder / _LOWER)
        except FileNotFoundError:
            return ()
        return tuple(lower.removeprefix(f"{LINKS}/") for lower in text.split(":"))

    def lay_on(self, folder: Path, parent: str) -> None:
        """Note in a new layer's folder what lies below: *parent*, and what that one lies on.

        Raises:
            Unsupported: that are too many.
        """
        lowers = (self.of(parent), *self.below(self._root / parent))
        if len(lowers) > MAX_LOWERS:
            raise Unsupported(f"max depth exceeded: a layer may stand on {MAX_LOWERS} others with overlay")
        text = ":".join(f"{LINKS}/{lower}" for lower in lowers)
        write_file(folder / _LOWER, text.encode(), durable=False)

    def parent(self, folder: Path) -> str | None:
        """The id of the layer that the one in *folder* lies on; None for one that lies on nothing."""
        lowers = self.below(folder)
        return Path(os.readlink(self.links / lowers[0])).parts[1] if lowers else None

    def drop(self, folder: Path) -> None:
        """Let the layer that was in *folder* have no name any more; many a layer has none."""
        with suppress(FileNotFoundError):
            os.unlink(self.links / _read(folder / _LINK))

    def collect(self, folders: Iterable[Path]) -> None:
        """Remove every link that none of the layers in *folders* notes: who made it died before it could be noted."""
        if not self.links.is_dir():
            return
        noted = set()
        for folder in folders:
            with suppress(FileNotFoundError):
                noted.add(_read(folder / _LINK))
        for link in self.links.iterdir():
            if link.name not in noted:
                link.unlink()

    def _make_link(self, target: str) -> str:
        while True:
            name = secrets.token_hex(_SHORT_NAME_BYTES)
            try:
                os.symlink(target, self.links / name)
                return name
            except FileExistsError:
                continue
            except FileNotFoundError:
                self.links.mkdir(0o700)


def _read(file: Path) -> str:
    """A note of ours: shorter than a page, and read at every start."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _NOTE_BYTES).decode()
    finally:
        os.close(descriptor)
