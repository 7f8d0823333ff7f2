"""The ContainerStore: the filing cabinet. A folder a container on disk, an index by id and name in memory.

Of each container: ``config.json`` (who it is) and ``hostconfig.json`` (on what terms), which survive a crash from
the moment that they are acknowledged, and a power cut before the container first runs; ``state.json`` (what became
of it), which has to survive a crash but no power cut. Every file is replaced whole: a reader or a crash of ours sees
the old or the new one. It knows nothing of processes, images or networks.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.state import State
from mini_docker.durable import PAGE_BYTES, overwrite_page, replace_file, sync, write_file
from mini_docker.errors import Conflict, Invalid, MiniDockerError, NotFound

log = logging.getLogger(__name__)

_HALF_MADE = ".tmp-"
_TRASH = ".trash-"
STATE, STATE_NEW = "state.json", "state.json.new"


class ContainerStore:
    """All containers of a daemon.

    *Fixed*: ``root``, the folder ``containers/``; after `load`, ``left_aside``.
    *Guarded by the lock*: the index; names that are reserved; who is on the way to the disk.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, str] = {}
        self._unsynced: dict[str, Future[None] | None] = {}
        self.left_aside: set[str] = set()
        self._trash: queue.SimpleQueue[Path] = queue.SimpleQueue()
        threading.Thread(target=self._empty_trash, name="trash", daemon=True).start()
        self._write_behind = ThreadPoolExecutor(1, "write-behind")

    def load(self, driver: str) -> list[Container]:
        """Read what is on disk, throw away what a crash left half-made, and return the containers, oldest first.

        Args:
            driver: the graph driver's name. Containers whose layers another one has are left alone, and their ids
                are in `left_aside` then.
        """
        for folder in sorted(self.root.iterdir()):
            if folder.name.startswith((_HALF_MADE, _TRASH)):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            try:
                data = json.loads((folder / "config.json").read_bytes())
                host_config = json.loads((folder / "hostconfig.json").read_bytes())
                container = Container.from_json(data, host_config, _read_state(folder), folder)
            except (OSError, KeyError, TypeError, ValueError, Invalid) as error:
                if _never_acknowledged(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                    continue
                log.warning("containers/%s is unreadable and is left alone: %s", folder.name, error)
                continue
            with self._lock:
                self._by_name[container.name] = container.id  # also of one that is left aside: its name stays its own
            if container.driver not in (driver, ""):
                log.warning(
                    "container %s was made with the graph driver %s: left aside", container.id, container.driver
                )
                self.left_aside.add(container.id)
                continue
            with self._lock:
                self._by_id[container.id] = container
                if not (folder / STATE).exists():
                    self._unsynced[container.id] = None  # it never ran: who made it may not have come that far
        return self.all()

    # Looking up.

    def all(self) -> list[Container]:
        """Every container, oldest first."""
        with self._lock:
            return sorted(self._by_id.values(), key=lambda container: container.created)

    def get(self, word: str) -> Container:
        """The container of that full id, name, or unique beginning of an id.

        Raises:
            NotFound: none. Invalid: several begin so.
        """
        with self._lock:
            container = self._by_id.get(word)
            if container is None:
                container = self._by_id.get(self._by_name.get(word.removeprefix("/"), ""))
            if container is not None:
                return container
            matches = [id for id in self._by_id if id.startswith(word)] if word else []
            if len(matches) == 1:
                return self._by_id[matches[0]]
        if matches:
            raise Invalid(f"Multiple IDs found with provided prefix: {word}")
        raise NotFound(f"No such container: {word}")

    def find(self, word: str) -> Container | None:
        """As `get`, None when there is none."""
        try:
            return self.get(word)
        except NotFound:
            return None

    # Names.

    def reserve_name(self, name: str, id: str) -> None:
        """Let *name* mean the container *id* from now on.

        Raises:
            Conflict: it means another one.
        """
        with self._lock:
            holder = self._by_name.setdefault(name, id)
        if holder != id:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". You have to '
                f"remove (or rename) that container to be able to reuse that name."
            )

    def release_name(self, name: str, id: str) -> None:
        """Let *name* mean nothing again, if it means *id*."""
        with self._lock:
            if self._by_name.get(name) == id:
                del self._by_name[name]

    def has_name(self, name: str) -> bool:
        """Whether the name is taken."""
        return name in self._by_name

    # Storing.

    def folder(self, id: str) -> Path:
        """Where the container's files lie."""
        return self.root / id

    def add(self, container: Container) -> None:
        """Store a new container, whole when this returns; its name was reserved. `make_durable` is the other half.

        A wait for the disk is a third of what a ``create`` takes (measured: 1.0 of 3.3 ms on ext4), and what has not
        run has nothing to lose yet: the wait is left to `await_durable`.
        """
        half_made = self.root / f"{_HALF_MADE}{container.id}"
        half_made.mkdir(mode=0o710)
        try:
            write_file(half_made / "hostconfig.json", _encoded(container.host_config.to_json()), durable=False)
            write_file(half_made / "config.json", _encoded(container.to_json()), durable=False)
            os.rename(half_made, container.directory)
        except OSError:
            shutil.rmtree(half_made, ignore_errors=True)
            raise
        with self._lock:
            self._by_id[container.id] = container
            self._unsynced[container.id] = None

    def make_durable(self, container: Container) -> Future[None] | None:
        """See to it, in the background, that a container that was added survives a power cut, too.

        Returns:
            What to wait for; None if it is so already.
        """
        with self._lock:
            if container.id not in self._unsynced:
                return None
            synced = self._unsynced[container.id]
            if synced is None:
                synced = self._unsynced[container.id] = self._write_behind.submit(self._sync, container)
            return synced

    def await_durable(self, container: Container) -> None:
        """Wait until a container that was added would survive a power cut, which it does once and for all.

        Raises:
            MiniDockerError: the disk did not take it, and never will: after an error of fsync(2) the kernel holds what
                it could not write for clean, and a second one would say yes to what is lost.
        """
        synced = self.make_durable(container)
        if synced is not None:
            try:
                synced.result()
            except OSError as error:
                raise MiniDockerError(
                    f"container {container.id[:12]} did not reach the disk ({os.strerror(error.errno or 0).lower()}): "
                    "remove it and create it again"
                ) from None
            with self._lock:
                self._unsynced.pop(container.id, None)

    def _sync(self, container: Container) -> None:
        """After the rename all three find themselves in one or two commits of the file system's journal."""
        with suppress(FileNotFoundError):  # removed meanwhile
            for path in (container.directory / "hostconfig.json", container.directory / "config.json", self.root):
                sync(path)

    def save(self, container: Container, state: State | None = None, durable: bool = False) -> None:
        """Store the run state. The caller holds the container's lock.

        Args:
            state: the one that it is about to be in; None for the one that it is in.
            durable: wait for the disk, which a run state by itself is not worth.
        """
        new, old = container.directory / STATE_NEW, container.directory / STATE
        data = _encoded(container.state_to_json(state))
        if not durable and overwrite_page(old, data):
            return
        write_file(new, data.ljust(PAGE_BYTES), durable)
        # A rename *over* a file makes ext4 write the new one's data out at once (auto_da_alloc), 0.4 ms each time;
        # onto a free name it does not. Who dies in between leaves a whole new file: `_read_state` takes it.
        old.unlink(missing_ok=True)
        os.rename(new, old)
        if durable:
            sync(container.directory)

    def save_networks(self, container: Container) -> None:
        """Store, durably, which networks it is on. The caller holds the container's lock.

        Both files say it, the state's with what is held there: an old one of either must not outlive a power cut.
        """
        self.save_config(container)
        self.save(container, durable=True)

    def save_config(self, container: Container) -> None:
        """Store who the container is (its name, its networks), durably. The caller holds the container's lock."""
        self.await_durable(container)
        replace_file(container.directory / "config.json", _encoded(container.to_json()))

    def save_host_config(self, container: Container) -> None:
        """Store the host config (after an update), durably."""
        self.await_durable(container)
        replace_file(container.directory / "hostconfig.json", _encoded(container.host_config.to_json()))

    def remove(self, container: Container) -> None:
        """Forget the container at once; its files go in the background."""
        trash = self.root / f"{_TRASH}{container.id}"
        try:
            os.rename(container.directory, trash)
        except FileNotFoundError:
            pass  # half-removed by an earlier try
        with self._lock:
            self._by_id.pop(container.id, None)
            self._unsynced.pop(container.id, None)
            if self._by_name.get(container.name) == container.id:
                del self._by_name[container.name]
        self._trash.put(trash)

    def _empty_trash(self) -> None:
        """Deleting takes longer than renaming, and nobody needs to wait for it."""
        while True:
            shutil.rmtree(self._trash.get(), ignore_errors=True)


def _encoded(form: dict[str, Any]) -> bytes:
    return json.dumps(form).encode()


def _never_acknowledged(folder: Path) -> bool:
    """Whether a power cut came before the container was durable, thus before it ran: an empty file, or none at all."""
    configs = [folder / name for name in ("config.json", "hostconfig.json")]
    return any(not path.exists() or path.stat().st_size == 0 for path in configs) and not (folder / STATE).exists()


def _read_state(folder: Path) -> dict[str, Any] | None:
    """What became of a container; None when nothing did yet, or a power cut took the note of it."""
    for name in (STATE, STATE_NEW):
        try:
            state: dict[str, Any] = json.loads((folder / name).read_bytes())
            if name == STATE:
                (folder / STATE_NEW).unlink(missing_ok=True)  # or it would be taken for news one day
            return state
        except (FileNotFoundError, ValueError):
            continue
    return None
