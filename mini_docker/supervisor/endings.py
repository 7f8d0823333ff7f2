"""Endings: a notebook in the run folder of how containers ended, for a daemon that was not there.

The supervisor remembers endings as long as it lives. The notebook is for the case that it dies, too,
before a daemon asked. It knows events as the protocol has them, and nothing else of containers.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

from mini_docker.supervisor.complaints import complain


class Endings:
    """One file a container.

    Attributes:
        earlier: what an earlier supervisor noted and nobody took note of, by container.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.fspath(folder)
        os.makedirs(folder, exist_ok=True)
        self.earlier: dict[str, dict[str, Any]] = {}
        for name in sorted(os.listdir(folder)):
            try:
                with open(self._path(name), encoding="utf-8") as file:
                    self.earlier[name] = json.load(file)
            except (OSError, ValueError):
                self._remove(name)  # half-written at a crash

    def note(self, container: str, event: dict[str, Any]) -> None:
        """Write an ending down. A full run folder is no reason to let anybody else down."""
        path = self._path(container)
        try:
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.write(json.dumps(event))
            os.rename(f"{path}.new", path)
        except OSError as error:
            complain(f"the ending of container {container} is not noted: {error}")

    def forget(self, container: str) -> None:
        """The daemon knows."""
        self.earlier.pop(container, None)
        self._remove(container)

    def _path(self, container: str) -> str:
        return f"{self._folder}/{container}"

    def _remove(self, container: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._path(container))
