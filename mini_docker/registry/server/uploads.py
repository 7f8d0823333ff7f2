"""Uploads under way: boxes at the loading dock, each with a number, filled piece by piece until somebody signs.

A box survives the connection that filled it and a restart of the server: whoever knows its number may
ask how full it is and go on. It knows files, no HTTP.

    uploads/<number>/repository     whose it is
    uploads/<number>/data           what has come so far
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mini_docker.registry.server.errors import Refused
from mini_docker.registry.server.storage import Storage

PIECE_BYTES = 256 * 1024
LIFE_SECONDS = 24 * 3600.0
"""How long a box that nobody touches is kept."""
_NUMBER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Uploads:
    """The boxes.

    *Guarded by the lock*: which are being filled right now; one box has one filler.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._folder = storage.root / "uploads"
        self._folder.mkdir(exist_ok=True)
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    def begin(self, repository: str) -> str:
        """A new, empty box; returns its number."""
        number = str(uuid.uuid4())
        scratch = self._storage.scratch / number
        scratch.mkdir()
        (scratch / "repository").write_text(repository)
        (scratch / "data").touch()
        os.rename(scratch, self._folder / number)  # from here on the box exists, whole
        return number

    def size(self, repository: str, number: str) -> int:
        """How many bytes have come.

        Raises:
            Refused: no such upload in this repository.
        """
        return self._data(repository, number).stat().st_size

    def append(self, repository: str, number: str, offset: int | None, read: Callable[[int], bytes]) -> int:
        """Put what *read* gives behind what is there; what came before a break stays.

        Args:
            offset: where the client believes to go on; None where it does not say.

        Returns:
            how many bytes there are now.

        Raises:
            Refused: the client is wrong about the offset, or another fills the box right now.
        """
        with self._alone(number):
            data = self._data(repository, number)
            size = data.stat().st_size
            if offset is not None and offset != size:
                raise Refused("RANGE_INVALID", f"the upload goes on at byte {size}, not at {offset}")
            with data.open("ab", buffering=0) as file:
                while piece := read(PIECE_BYTES):
                    size += file.write(piece)
        return size

    def finish(self, repository: str, number: str, digest: str) -> None:
        """Turn the box into a blob.

        Raises:
            Refused: it does not hold what the digest names; the upload is over all the same.
        """
        with self._alone(number):
            try:
                self._storage.adopt_blob(repository, digest, self._data(repository, number))
            finally:
                shutil.rmtree(self._folder / number, ignore_errors=True)

    def cancel(self, repository: str, number: str) -> None:
        """Throw the box away.

        Raises:
            Refused: no such upload.
        """
        with self._alone(number):
            self._data(repository, number)
            shutil.rmtree(self._folder / number, ignore_errors=True)

    def expire(self, now: float | None = None) -> int:
        """Throw away what nobody has touched for `LIFE_SECONDS`; returns how many boxes."""
        deadline = (time.time() if now is None else now) - LIFE_SECONDS
        old = [box for box in self._folder.iterdir() if (box / "data").stat().st_mtime < deadline]
        for box in old:
            shutil.rmtree(box, ignore_errors=True)
        return len(old)

    def _data(self, repository: str, number: str) -> Path:
        box = self._folder / number
        try:
            if _NUMBER.fullmatch(number) and (box / "repository").read_text() == repository:
                return box / "data"
        except FileNotFoundError:
            pass  # finished, cancelled or never begun: all the same to who asks
        raise Refused("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")

    @contextmanager
    def _alone(self, number: str) -> Iterator[None]:
        with self._lock:
            if number in self._busy:
                raise Refused("BLOB_UPLOAD_INVALID", "another request is filling this upload", status=409)
            self._busy.add(number)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(number)
