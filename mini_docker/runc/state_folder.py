"""The state folder: what one mini-runc command leaves for the next, a folder a container.

::

    <root>/<id>/              locked (flock) by a command that changes the container
        state.json            replaced atomically
        gate                  while init is parked: the socket at which it waits to be started

It knows files, not containers. Source: runc's ``--root`` is laid out alike.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import socket
from collections.abc import Iterator

from mini_docker.dataclasses import fields
from mini_docker.errors import Conflict, Invalid, MiniDockerError, NotFound
from mini_docker.runc.state import Record

DEFAULT_ROOT = "/run/mini-runc"
_ID = re.compile(r"[\w+.-]{1,1024}", re.ASCII)


class StateFolder:
    """One container's folder.

    Args:
        root: the folder of all containers (``--root``).
        id_: the container's id.

    Raises:
        Invalid: the id could lead out of the root.
    """

    def __init__(self, root: str, id_: str) -> None:
        if not _ID.fullmatch(id_) or id_ in (".", ".."):
            raise Invalid(f"invalid container ID {id_!r}: use letters, digits, '+', '-', '.' and '_'")
        self.id = id_
        self.path = os.path.join(root, id_)

    def make(self) -> None:
        """Take the id.

        Raises:
            Conflict: it is taken.
        """
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        try:
            os.mkdir(self.path, mode=0o700)
        except FileExistsError:
            raise Conflict(f"container with given ID already exists: {self.id}") from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes the container meanwhile.

        Raises:
            NotFound: there is none.
        """
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever held the lock may have deleted the container.
            if os.fstat(descriptor).st_nlink == 0:
                raise self._missing()
            yield
        finally:
            os.close(descriptor)

    def save(self, record: Record) -> None:
        """Write the record."""
        temporary = self._inside("state.json.new")
        # Not asdict, which copies the whole config, nor json.dump, which has no C half: 3 ms of a start.
        text = json.dumps({field.name: getattr(record, field.name) for field in fields(record)})
        with open(temporary, "w") as file:
            file.write(text)
        os.replace(temporary, self._inside("state.json"))

    def load(self) -> Record:
        """Read the record.

        Raises:
            NotFound: there is no such container, or its birth has just begun.
        """
        try:
            with open(self._inside("state.json")) as file:
                text = file.read()
        except FileNotFoundError:
            raise self._missing() from None
        try:
            return Record(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise MiniDockerError(f"{self.path}/state.json is damaged: {error}") from None

    def remove(self) -> None:
        """Give the id back."""
        for name in os.listdir(self.path):
            os.unlink(self._inside(name))
        os.rmdir(self.path)

    def exists(self) -> bool:
        """Whether the id is taken."""
        return os.path.isdir(self.path)

    # the gate
    def open_gate(self) -> socket.socket:
        """The listening socket for a newborn init to wait at."""
        gate = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self._short_path("gate") as path:
            gate.bind(path)
        gate.listen(1)
        return gate

    def has_gate(self) -> bool:
        """Whether init is parked."""
        return os.path.exists(self._inside("gate"))

    def knock(self) -> socket.socket:
        """A connection to the parked init: its dialogue goes on here.

        Raises:
            Conflict: nobody is parked.
        """
        dialogue = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with self._short_path("gate") as path:
                dialogue.connect(path)
        except OSError as error:
            dialogue.close()
            raise Conflict(f"container {self.id} is not waiting to be started: {error.strerror}") from None
        return dialogue

    def close_gate(self) -> None:
        """Init is parked no more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._inside("gate"))

    @contextlib.contextmanager
    def _short_path(self, name: str) -> Iterator[str]:
        """A path to a file here that fits into a socket's address, which has room for 107 bytes."""
        descriptor = self._open()
        try:
            yield f"/proc/self/fd/{descriptor}/{name}"
        finally:
            os.close(descriptor)

    def _inside(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._missing() from None

    def _missing(self) -> NotFound:
        return NotFound(f"container {self.id} does not exist")


def all_folders(root: str) -> list[StateFolder]:
    """The folder of every container that has a record, by id."""
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    return [
        StateFolder(root, name)
        for name in names
        if _ID.fullmatch(name) and os.path.exists(os.path.join(root, name, "state.json"))
    ]
