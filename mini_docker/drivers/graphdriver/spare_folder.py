"""The spare: a layer's folder that nobody asked for yet, filled like the one that was asked for last.

Containers of one image come in rows, and an empty layer on that image is the same for all of them. So the next one's
folder is filled while nobody waits, and a layer begins with one rename(2). The folder lies among the driver's scratch
folders until then: it is no layer, its parent can go, and what a crash leaves of it is rubbish like any other.

It knows nothing of what a folder is filled with.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.graphdriver.background import Background
from mini_docker.errors import MiniDockerError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a layer stands on.

    Attributes:
        parent: the layer's id; None for nothing.
        birth: tells a layer from another one that had its id before.
    """

    parent: str | None
    birth: int


class SpareFolder:
    """Keeps at most one folder, on the ground that two layers in a row were asked for on.

    A single layer is no reason for one: each step of a build stands on other ground.

    Args:
        fill: makes a folder for a layer on that parent, or leaves nothing behind.
        discard: takes a folder away.
        background: who fills and discards, one at a time.
    """

    def __init__(
        self, fill: Callable[[str | None], Path], discard: Callable[[Path], None], background: Background
    ) -> None:
        # fixed
        self._fill = fill
        self._discard = discard
        self._background = background
        self._lock = threading.Lock()
        # guarded by _lock
        self._last: Ground | None = None  # what was asked for
        self._likely = False  # that it is asked for again
        self._folder: Path | None = None  # filled for _last

    def take(self, ground: Ground) -> Path:
        """A folder on that ground, the spare or one that is filled now. The caller sees to it that the ground stays."""
        with self._lock:
            if self._last == ground:
                self._likely = True
            else:
                self._forget()
                self._last = ground
            folder, self._folder = self._folder, None
        return folder or self._fill(ground.parent)

    def prepare(self) -> None:
        """Have a folder filled for who comes next, if it is likely that somebody does."""
        with self._lock:
            ground = self._last
            if ground is None or not self._likely or self._folder is not None:
                return
        self._background.put(partial(self._make, ground))

    def leave(self, parent: str) -> None:
        """Let go of what stands on a layer that is gone."""
        with self._lock:
            if self._last is not None and self._last.parent == parent:
                self._forget()

    def close(self) -> None:
        """Let go of what is kept, and of what is being filled."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        """Begin anew. The lock is held."""
        if self._folder is not None:
            self._background.put(partial(self._discard, self._folder))
        self._last, self._likely, self._folder = None, False, None

    def _make(self, ground: Ground) -> None:
        with self._lock:
            if self._last != ground or self._folder is not None:
                return
        try:
            folder = self._fill(ground.parent)
        except (OSError, MiniDockerError) as error:  # whoever needs one hears of it, if it is still so
            _log.debug("no spare folder on %s: %s", ground.parent, error)
            return
        with self._lock:
            if self._last == ground:
                self._folder = folder
                return
        self._discard(folder)
