"""The fake driver with a part that rebases: real hands unpack layers, which are then laid on a copy of the parent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from mini_docker.archive.whiteout import WhiteoutForm
from mini_docker.drivers.graphdriver.contract import LooseLayer, Rebasing
from mini_docker.drivers.graphdriver.loose_folder import DIFF, open_loose, wait_until_left
from mini_docker.graph import ahead, layer_store
from mini_docker.graph.unpackers import Unpackers
from mini_docker.graph.unpacking import Unpacked, UnpackOrder, carry_out
from mini_docker.linux.id_mapping import IdMap, IdMapping
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.graph.fake_driver import FakeDriver

# Whoever runs the tests is root in the archives: no privilege is needed to unpack them.
OURS = IdMapping((IdMap(0, os.getuid(), 1),), (IdMap(0, os.getgid(), 1),))


class RebasingFakeDriver(FakeDriver):
    """As `FakeDriver`; `applied` has the layers in the order in which they were stacked."""

    @property
    def rebasing(self) -> Rebasing | None:  # type: ignore[override]
        return self

    def make_loose(self, *, is_base: bool) -> LooseLayer:
        folder = Path(tempfile.mkdtemp(prefix=".loose-", dir=self.root))
        return LooseLayer(open_loose(folder), WhiteoutForm.LITERAL, OURS, folder)

    def rebase(self, loose: LooseLayer, layer_id: str, parent: str | None, implied: Sequence[bytes]) -> None:
        self.before_apply(layer_id)
        self.create(f".stacked-{layer_id}", parent)
        stacked = self.root / f".stacked-{layer_id}"
        for folder, _, files in os.walk(loose.folder / DIFF):
            target = stacked / "root" / Path(folder).relative_to(loose.folder / DIFF)
            target.mkdir(exist_ok=True)
            for name in files:
                if name.startswith(".wh."):
                    (target / name.removeprefix(".wh.")).unlink()
                else:
                    shutil.copy(Path(folder) / name, target / name)
        os.rename(stacked, self.root / layer_id)
        self.applied.append(layer_id)

    def discard(self, loose: LooseLayer) -> None:
        os.close(loose.descriptor)
        shutil.rmtree(loose.folder)

    def cleanup(self) -> None:
        for folder in self.root.glob(".loose-*"):
            wait_until_left(folder)
        super().cleanup()


class Homemade(Unpackers):
    """Carries out orders in this process: for tests that count its file operations."""

    def __init__(self) -> None:
        super().__init__(lambda control: ["true"])
        self._kernel = LinuxKernel()

    def unpack(self, order: UnpackOrder, stream: BinaryIO, root: int) -> Unpacked:
        return carry_out(order, stream.fileno(), root, self._kernel)


def always_side_by_side(monkeypatch: pytest.MonkeyPatch, at_once: Callable[[], int] = lambda: 3) -> None:
    """Have even the smallest layers, and a single one, unpacked ahead, whatever this machine is."""
    monkeypatch.setattr(layer_store, "is_worthwhile", lambda sizes, cores, compressed: len(sizes) > 0)
    monkeypatch.setattr(ahead.Ahead, "at_once", staticmethod(at_once))
