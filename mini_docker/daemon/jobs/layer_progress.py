"""The lines that a pull writes about one layer, in the words and in the order that both clients draw.

    Pulling fs layer ▶ Waiting ▶ Downloading… ▶ Verifying Checksum ▶ Download complete ▶ Extracting… ▶ Pull complete

It knows neither registry nor graph: they tell it what happened, it decides what to say and how often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mini_docker.remote_api import Progress

SECONDS_BETWEEN_LINES = 0.1


class LayerProgress:
    """The lines about one layer of one pull. Any thread may report.

    *Guarded by the lock*, so that lines keep their order: everything.

    Args:
        say: takes a line.
        layer_id: the short id of the layer.
        total: bytes of the layer as it travels.
    """

    def __init__(
        self,
        say: Callable[[Progress], None],
        layer_id: str,
        total: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._id = layer_id
        self._total = total
        self._clock = clock
        self._lock = threading.Lock()
        self._next_line = 0.0
        self._last = Progress()
        self._downloaded = False

    def announced(self) -> None:
        """The layer is needed."""
        self._line("Pulling fs layer")

    def exists(self) -> None:
        """The layer is here already."""
        self._line("Already exists")

    def waiting(self) -> None:
        """Others download first."""
        self._line("Waiting")

    def received(self, current: int) -> None:
        """*current* bytes are here."""
        self._bar("Downloading", current)

    def verifying(self) -> None:
        """All bytes are here."""
        self._line("Verifying Checksum")

    def downloaded(self) -> None:
        """All bytes are here and are the right ones."""
        with self._lock:
            if not self._downloaded:
                self._downloaded = True
                self._next_line = 0.0
                self._say(Progress("Download complete", self._id))

    def restarted(self) -> None:
        """What came was of no use; it is fetched again."""
        with self._lock:
            self._downloaded = False
        self._line("Pulling fs layer")

    def extracted(self, current: int) -> None:
        """*current* bytes are unpacked. Unpacking begins before the download ends; that is not said until it did."""
        if self._downloaded:
            self._bar("Extracting", current)

    def pulled(self) -> None:
        """The layer is unpacked."""
        self._line("Pull complete")

    def _line(self, status: str) -> None:
        with self._lock:
            self._say(Progress(status, self._id))

    def _bar(self, status: str, current: int) -> None:
        """Bars move often: at most ten lines a second, but the first and the last always."""
        with self._lock:
            now = self._clock()
            line = Progress(status, self._id, current, self._total)
            if (now >= self._next_line or current == self._total) and line != self._last:
                self._next_line = now + SECONDS_BETWEEN_LINES
                self._last = line
                self._say(line)
