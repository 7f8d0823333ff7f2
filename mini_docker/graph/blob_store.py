"""The BlobStore: a cloakroom where the ticket is the coat's own fingerprint.

Layers' bytes are kept exactly as they travelled, so that what is pushed or saved later has the digest
it came with. It knows nothing of what the blobs hold, nor who still needs them.

Layout: ``<folder>/sha256/<hex>``; scratch files lie in a folder of the caller's, on the same file system.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from mini_docker.durable import publish
from mini_docker.errors import NotFound
from mini_docker.graph.digest import checked_digest, hex_of


class BlobStore:
    """Content by digest. Safe to use from many threads: every step is one atomic rename or unlink."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder = folder / "sha256"
        self._scratch = scratch
        self._folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where the blob lies, if it is there.

        Raises:
            Invalid: *digest* is none.
        """
        return self._folder / hex_of(checked_digest(digest, "a blob"))

    def open(self, digest: str) -> BinaryIO:
        """The blob, to be read and closed by the caller.

        Raises:
            NotFound: no such blob.
        """
        try:
            return open(self.path(digest), "rb")
        except FileNotFoundError:
            raise NotFound(f"no such blob: {digest}") from None

    def size(self, digest: str) -> int:
        """The blob's length in bytes.

        Raises:
            NotFound: no such blob.
        """
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise NotFound(f"no such blob: {digest}") from None

    def digests(self) -> list[str]:
        """Of every blob."""
        return ["sha256:" + name for name in os.listdir(self._folder)]

    def spool(self, file: Path | None = None) -> Spool:
        """A blob to be, of yet unknown digest.

        Args:
            file: holds the whole blob already: what is written is only fingerprinted, the file linked, not copied.
                It must lie on the same file system.
        """
        path = self._scratch / f"blob-{secrets.token_hex(8)}"
        if file is not None:
            os.link(file, path)
        return Spool(path)

    def keep(self, spool: Spool) -> None:
        """Let *spool*, written to its end, become a blob, durably."""
        spool.sync()
        publish(spool.path, self.path(spool.digest))

    def discard(self, digest: str) -> Path:
        """Make the blob vanish at once; the file returned is for the caller to unlink when it has time.

        Freeing a large file may take long; a rename does not.
        """
        dropped = self._scratch / f"dropped-{secrets.token_hex(8)}"
        os.rename(self.path(digest), dropped)
        return dropped


class Spool:
    """A blob that is being written, or only read when its file is there. Vanishes at the block's end if not kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_there = path.exists()
        self._file = open(path, "rb" if self._is_there else "xb")  # noqa: SIM115  # closed by __exit__
        self._hash = hashlib.sha256()
        self._noted = ""

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        """Append *piece*, or note that it is there."""
        self._hash.update(piece)
        if not self._is_there:
            self._file.write(piece)

    def note(self, digest: str) -> None:
        """Have it said what the digest is by who read the whole file, which is there."""
        self._noted = digest

    @property
    def digest(self) -> str:
        """Of what was written so far, or as it was noted."""
        return self._noted or "sha256:" + self._hash.hexdigest()

    def sync(self) -> None:
        """Make the content durable."""
        self._file.flush()
        os.fsync(self._file.fileno())  # a file's content, whoever wrote it through whichever descriptor

    def reopen(self) -> BinaryIO:
        """What was written, from its start; to be closed by the caller."""
        self._file.flush()
        return open(self.path, "rb")
