"""The lines that pull and push write about one layer, in the words and in the order that both clients draw.

    Pulling fs layer ▶ Waiting ▶ Downloading… ▶ Verifying Checksum ▶ Download complete ▶ Extracting… ▶ Pull complete
    Preparing ▶ Pushing… ▶ Pushed, or Layer already exists, or Mounted from …

It knows neither registry nor graph: they tell it what happened, it decides what to say and how often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mini_docker.engine import Job
from mini_docker.remote_api import Progress

SECONDS_BETWEEN_LINES = 0.1


def say(job: Job, line: Progress) -> None:
    """Write a line of progress to *job*'s output; when nobody reads it any more, nobody wants the job."""
    try:
        job.stdout.write(line.encode())
    except OSError:
        job.cancel()
    except ValueError:
        pass  # the job has ended, and another that shared its download has a last word: there is nobody to tell


class LayerLines:
    """Lines about one layer, from any thread, in one order.

    *Guarded by the lock*: what was said last and when.

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

    def line(self, status: str) -> None:
        """Say *status*."""
        with self._lock:
            self._say(Progress(status, self._id))

    def bar(self, status: str, current: int) -> None:
        """Draw how far it is. Bars move often: ten lines a second are enough, but the end is always said."""
        with self._lock:
            now = self._clock()
            line = Progress(status, self._id, current, self._total)
            if (now >= self._next_line or current == self._total) and line != self._last:
                self._next_line = now + SECONDS_BETWEEN_LINES
                self._last = line
                self._say(line)


class PullProgress(LayerLines):
    """The lines about one layer of one pull.

    *Guarded by the lock*, beside what `LayerLines` has: whether it is downloaded.
    """

    _downloaded = False

    def announced(self) -> None:
        """The layer is needed."""
        self.line("Pulling fs layer")

    def exists(self) -> None:
        """The layer is here already."""
        self.line("Already exists")

    def waiting(self) -> None:
        """Others download first."""
        self.line("Waiting")

    def received(self, current: int) -> None:
        """*current* bytes are here."""
        self.bar("Downloading", current)

    def verifying(self) -> None:
        """All bytes are here."""
        self.line("Verifying Checksum")

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
        self.line("Pulling fs layer")

    def extracted(self, current: int) -> None:
        """*current* bytes are unpacked. Unpacking begins before the download ends; that is not said until it did."""
        if self._downloaded:
            self.bar("Extracting", current)

    def pulled(self) -> None:
        """The layer is unpacked."""
        self.line("Pull complete")
