"""Ahead: several layers of one image are carried in at once, and stacked when those below them have arrived.

Only where the driver's layers stand alone until they are stacked (see `graphdriver.contract.Rebasing`). It decides
whether that is worth while, and how many go at once; of images and blobs it knows nothing.

Source: the idea is that of containerd's parallel unpacking (2.2), which asks for a snapshotter that can *rebase*.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import BinaryIO

from mini_docker.drivers.graphdriver.contract import LooseLayer, Rebasing
from mini_docker.graph.unpackers import Unpackers
from mini_docker.graph.unpacking import Unpacked, UnpackOrder

WORTH_BYTES = 16 << 20
"""What there must be to unpack: the process for it takes 50 ms to begin, and small images are unpacked by then."""


def is_worthwhile(sizes: Sequence[int], cores: int, *, compressed: bool) -> bool:
    """Whether layers are better unpacked side by side.

    One alone is not. Fingerprints are taken in threads aside as it is, which keeps two cores busy with what comes
    uncompressed: processes are faster there from the third core on.

    Args:
        sizes: in bytes, as they travel.
        cores: that this process may use.
        compressed: whether (some of) the layers are.
    """
    return len(sizes) > 1 and sum(sizes) >= WORTH_BYTES and cores > (1 if compressed else 2)


class LayerAhead:
    """One layer that is being unpacked before its turn."""

    def __init__(self, loose: LooseLayer, unpacked: Future[Unpacked]) -> None:
        self.loose = loose
        self._unpacked = unpacked

    def result(self) -> Unpacked:
        """Wait for its end.

        Raises:
            As `Unpackers.unpack`.
        """
        return self._unpacked.result()


class Ahead:
    """The layers of one image on their way in. A context manager: what was not stacked by its end is gone.

    *Fixed*: the driver's part, the unpackers, the threads, of which each waits for one child of theirs.
    """

    def __init__(self, rebasing: Rebasing, unpackers: Unpackers) -> None:
        self._rebasing = rebasing
        self._unpackers = unpackers
        self._threads = ThreadPoolExecutor(self.at_once(), "graph-ahead")
        self._loose: list[LooseLayer] = []
        self._opened = ExitStack()

    @staticmethod
    def at_once() -> int:
        """How many are unpacked at once: one more than there are cores, as now and then one waits for its bytes."""
        return cores() + 1

    def __enter__(self) -> Ahead:
        self._opened.enter_context(self._unpackers.at_work())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._opened:
            self._threads.shutdown(cancel_futures=True)
            for loose in self._loose:
                self._rebasing.discard(loose)

    def begin(self, stream: BinaryIO, *, is_base: bool) -> LayerAhead:
        """Begin with a layer; those begun first are unpacked first.

        Args:
            stream: see `Unpackers.unpack`; it must stay open until the block ends.
            is_base: whether the layer will stand on nothing.
        """
        loose = self._rebasing.make_loose(is_base=is_base)
        self._loose.append(loose)
        order = UnpackOrder(loose.whiteouts, loose.ids)
        return LayerAhead(loose, self._threads.submit(self._unpackers.unpack, order, stream, loose.descriptor))


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
