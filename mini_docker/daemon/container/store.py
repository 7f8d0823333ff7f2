"""The ContainerStore: the filing cabinet. A folder a container on disk, an index by id and name in memory.

It replaces every file whole (write beside, rename over), so that a reader or a crash sees the old or
the new one. Created configs are fsynced before they are acknowledged, run state is not: it need not
survive a power cut. It knows nothing of processes, images or networks.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from mini_docker.daemon.container.container import Container
from mini_docker.errors import Conflict, Invalid, NotFound

log = logging.getLogger(__name__)

_HALF_MADE = ".tmp-"
_TRASH = ".trash-"


class ContainerStore:
    """All containers of a daemon.

    *Fixed*: ``root``, the folder ``containers/``.
    *Guarded by the lock*: the index; names that are reserved.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, str] = {}
        self._static: dict[str, str] = {}  # the unchanging head of each config.json, encoded once

    def load(self) -> list[Container]:
        """Read what is on disk, throw away what a crash left half-made, and return the containers, oldest first."""
        for folder in sorted(self.root.iterdir()):
            if folder.name.startswith((_HALF_MADE, _TRASH)):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            try:
                data = json.loads((folder / "config.json").read_bytes())
                host_config = json.loads((folder / "hostconfig.json").read_bytes())
                container = Container.from_json(data, host_config, folder)
            except (OSError, KeyError, TypeError, ValueError, Invalid) as error:
                log.warning("containers/%s is unreadable and is left alone: %s", folder.name, error)
                continue
            with self._lock:
                self._by_id[container.id] = container
                self._by_name[container.name] = container.id
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
        """Store a new container, whole and durable when this returns. Its name was reserved."""
        half_made = self.root / f"{_HALF_MADE}{container.id}"
        half_made.mkdir(mode=0o710)
        try:
            _write_new(half_made / "hostconfig.json", json.dumps(container.host_config.to_json()))
            _write_new(half_made / "config.json", self._config_text(container))
            os.rename(half_made, container.directory)
            _fsync_folder(self.root)
        except OSError:
            shutil.rmtree(half_made, ignore_errors=True)
            raise
        with self._lock:
            self._by_id[container.id] = container

    def save(self, container: Container) -> None:
        """Store the run state. The caller holds the container's lock."""
        replace_file(container.directory / "config.json", self._config_text(container))

    def save_host_config(self, container: Container) -> None:
        """Store the host config (after an update)."""
        replace_file(container.directory / "hostconfig.json", json.dumps(container.host_config.to_json()), durable=True)

    def remove(self, container: Container) -> None:
        """Forget the container at once."""
        trash = self.root / f"{_TRASH}{container.id}"
        try:
            os.rename(container.directory, trash)
        except FileNotFoundError:
            pass  # half-removed by an earlier try
        with self._lock:
            self._by_id.pop(container.id, None)
            self._static.pop(container.id, None)
            if self._by_name.get(container.name) == container.id:
                del self._by_name[container.name]
        shutil.rmtree(trash, ignore_errors=True)

    def _config_text(self, container: Container) -> str:
        head = self._static.get(container.id)
        if head is None:
            fixed = {
                "ID": container.id, "Created": container.created, "Image": container.image,
                "Driver": container.driver, "Config": container.config.to_json(),
            }  # fmt: skip
            head = self._static[container.id] = json.dumps(fixed)[:-1]
        return f"{head}, {json.dumps(container.run_state_to_json())[1:]}"


def replace_file(path: Path, text: str, durable: bool = False) -> None:
    """Write *text* beside *path* and rename it over.

    Args:
        durable: let it survive a power cut, too.
    """
    beside = f"{path}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, text.encode())
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(beside, path)
    if durable:
        _fsync_folder(path.parent)


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def names_of(containers: Iterable[Container]) -> list[str]:
    """The containers' names, for messages."""
    return [container.name for container in containers]
