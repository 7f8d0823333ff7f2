"""Endings: a notebook in the run folder of how containers ended, for a daemon that was not there.

The supervisor remembers endings as long as it lives. The notebook is for the case that it dies, too,
before a daemon asked. It knows events as the protocol has them, and nothing else of containers.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class Endings:
    """One file a container.

    Attributes:
        earlier: what an earlier supervisor noted and nobody took note of, by container.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.earlier: dict[str, dict[str, Any]] = {}
        for path in sorted(folder.iterdir()):
            try:
                self.earlier[path.name] = json.loads(path.read_bytes())
            except (OSError, ValueError):
                path.unlink(missing_ok=True)  # half-written at a crash

    def note(self, container: str, event: dict[str, Any]) -> None:
        """Write an ending down. A full run folder is no reason to let anybody else down."""
        path = self._folder / container
        try:
            Path(f"{path}.new").write_text(json.dumps(event))
            os.rename(f"{path}.new", path)
        except OSError as error:
            log.warning("the ending of container %s is not noted: %s", container, error)

    def forget(self, container: str) -> None:
        """The daemon knows."""
        self.earlier.pop(container, None)
        (self._folder / container).unlink(missing_ok=True)
