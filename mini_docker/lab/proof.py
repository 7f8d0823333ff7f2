"""The proof: a sheet on which each of the learner's functions signs when it first runs, in whatever process that is.

A small text file of fixed size, mapped into memory by every process that lays the overlay. Signing is one write to
shared memory, so it works where no file can be opened any more: in init after pivot_root and after its descriptors
were closed. It knows nothing of labs.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path

VARIABLE = "MINI_DOCKER_OVERLAY_PROOF"
"""Names the sheet, for every process that lays the overlay."""

_UNSIGNED = b"0" * 10


def prepare(path: Path, nonce: str, names: Iterable[str]) -> None:
    """Lay out a fresh sheet.

    Args:
        nonce: what nobody could know beforehand; it heads the sheet.
        names: ``module:qualified name`` of the functions that may sign.
    """
    lines = [f"{nonce}\n", *(f"{name} {_UNSIGNED.decode()}\n" for name in sorted(names))]
    path.write_text("".join(lines), encoding="utf-8")


def signatures(path: Path, nonce: str) -> dict[str, int]:
    """Who ran: ``module:qualified name`` → id of the process that laid the overlay where it ran first; 0 for never.

    Raises:
        ValueError: it is another sheet.
    """
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    if head != nonce:
        raise ValueError(f"{path} is not the sheet that was laid out: its nonce differs")
    return {name: int(process) for name, _, process in (line.rpartition(" ") for line in lines)}


class Proof:
    """The sheet as a process that lays the overlay has it.

    Args:
        path: of a sheet made by `prepare`.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._sheet = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self._process = b"%010d" % os.getpid()
        self._signed: set[str] = set()

    def sign(self, name: str) -> None:
        """Sign for *name*, unless that was done; a name that is not on the sheet signs nothing."""
        if name in self._signed:
            return
        self._signed.add(name)
        start = self._sheet.find(b"\n" + name.encode() + b" ")
        if start < 0:
            return
        place = start + len(name.encode()) + 2
        if self._sheet[place : place + len(_UNSIGNED)] == _UNSIGNED:
            self._sheet[place : place + len(self._process)] = self._process
