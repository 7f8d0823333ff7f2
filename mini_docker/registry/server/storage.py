"""The Storage: a warehouse. Blobs stand in one hall, each once; every repository keeps a list of those it may hand out.

    blobs/sha256/9f/9f86…                           content by digest
    repositories/me/app/_blobs/sha256:9f86…         empty file: this repository has the blob
    repositories/me/app/_manifests/sha256:9f86…     the manifest's media type; its bytes are a blob
    repositories/me/app/_tags/latest                the digest that the tag names
    repositories/me/app/_referrers/sha256:…/sha256:…  which manifest refers to which subject

Every file appears whole, by rename, after its content is on disk: a crash at any instant leaves the
old state or the new one. A component of a repository's name cannot begin with an underscore, so the
lists and nested repositories never meet.

It knows files and digests, no HTTP and no JSON.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mini_docker.durable import publish, replace_file
from mini_docker.registry.digest import Verifier, check_digest
from mini_docker.registry.server.errors import Refused

BLOBS, MANIFESTS, TAGS, REFERRERS = "_blobs", "_manifests", "_tags", "_referrers"


class Storage:
    """Everything that a registry keeps. Threads, and processes, may share it: each step is one rename or unlink.

    Args:
        root: the folder; made when missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.repositories = root / "repositories"
        self.scratch = root / "tmp"
        for folder in (self.blobs, self.repositories, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    # ---------------------------------------------------------------- blobs

    def blob_path(self, digest: str) -> Path:
        """Where the blob lies, if it is there.

        Raises:
            Invalid: not a digest.
        """
        check_digest(digest)
        algorithm, _, hexadecimal = digest.partition(":")
        return self.blobs / algorithm / hexadecimal[:2] / hexadecimal

    def open_blob(self, repository: str, digest: str) -> BinaryIO:
        """A blob of a repository; for the caller to close.

        Raises:
            Refused: the repository does not have it.
        """
        if self.has_blob(repository, digest):
            with suppress(FileNotFoundError):
                return self.blob_path(digest).open("rb")
        raise Refused("BLOB_UNKNOWN", "blob unknown to registry")

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository has the blob."""
        return (self._list(repository, BLOBS) / digest).exists() and self.blob_path(digest).exists()

    def adopt_blob(self, repository: str, digest: str, file: Path) -> None:
        """Move a whole file into the hall if it is what *digest* names, and list it in the repository.

        Raises:
            Refused: it is something else; the file stays.
        """
        verifier = Verifier(digest)
        with file.open("rb") as content:
            while piece := content.read(1 << 20):
                verifier.update(piece)
            os.fsync(content.fileno())
        if not verifier.verified:
            raise Refused("DIGEST_INVALID", "provided digest did not match uploaded content")
        place = self.blob_path(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        # Another push of the same content may have been faster: the rename then replaces like with like.
        publish(file, place)
        self.link_blob(repository, digest)

    def link_blob(self, repository: str, digest: str) -> None:
        """List a blob of the hall in the repository; it counts as young again, so that no collection takes it away."""
        os.utime(self.blob_path(digest))
        self._write(self._list(repository, BLOBS) / digest, b"")

    def unlink_blob(self, repository: str, digest: str) -> None:
        """Take the blob off the repository's list; the garbage collection removes what is on no list.

        Raises:
            Refused: it is not on it.
        """
        try:
            (self._list(repository, BLOBS) / digest).unlink()
        except FileNotFoundError:
            raise Refused("BLOB_UNKNOWN", "blob unknown to registry") from None

    def listed_blobs(self, repository: str) -> list[str]:
        """The digests of all blobs on the repository's list."""
        return _names(self._list(repository, BLOBS))

    # ---------------------------------------------------------------- manifests

    def put_manifest(self, repository: str, digest: str, media_type: str, data: bytes, subject: str = "") -> None:
        """Keep a manifest.

        Args:
            subject: the digest of the manifest that it refers to; empty for none.
        """
        place = self.blob_path(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        self._write(place, data)
        if subject:
            self._write(self._list(repository, REFERRERS) / subject / digest, b"")
        self._write(self._list(repository, MANIFESTS) / digest, media_type.encode())

    def manifest(self, repository: str, digest: str) -> tuple[str, bytes]:
        """A manifest: (media type, bytes).

        Raises:
            Refused: the repository does not have it.
        """
        try:
            media_type = (self._list(repository, MANIFESTS) / digest).read_text()
            return media_type, self.blob_path(digest).read_bytes()
        except FileNotFoundError:
            raise Refused("MANIFEST_UNKNOWN", "manifest unknown") from None

    def has_manifest(self, repository: str, digest: str) -> bool:
        """Whether the repository has the manifest."""
        return (self._list(repository, MANIFESTS) / digest).exists()

    def manifests(self, repository: str) -> list[str]:
        """The digests of all manifests of a repository."""
        return _names(self._list(repository, MANIFESTS))

    def delete_manifest(self, repository: str, digest: str) -> None:
        """Forget a manifest, and the tags that name it.

        Raises:
            Refused: the repository does not have it.
        """
        try:
            (self._list(repository, MANIFESTS) / digest).unlink()
        except FileNotFoundError:
            raise Refused("MANIFEST_UNKNOWN", "manifest unknown") from None
        for tag in self.tags(repository):
            with suppress(Refused):
                if self.tag(repository, tag) == digest:
                    self.delete_tag(repository, tag)
        for subject in _names(self._list(repository, REFERRERS)):
            (self._list(repository, REFERRERS) / subject / digest).unlink(missing_ok=True)

    def referrers(self, repository: str, subject: str) -> list[str]:
        """The digests of the manifests that refer to *subject*."""
        return [
            name for name in _names(self._list(repository, REFERRERS) / subject) if self.has_manifest(repository, name)
        ]

    # ---------------------------------------------------------------- tags and repositories

    def set_tag(self, repository: str, tag: str, digest: str) -> None:
        """Let *tag* name a manifest."""
        self._write(self._list(repository, TAGS) / tag, digest.encode())

    def tag(self, repository: str, tag: str) -> str:
        """The digest that *tag* names.

        Raises:
            Refused: it names none.
        """
        try:
            return (self._list(repository, TAGS) / tag).read_text()
        except FileNotFoundError:
            raise Refused("MANIFEST_UNKNOWN", "manifest unknown") from None

    def delete_tag(self, repository: str, tag: str) -> None:
        """Take the name away; the manifest stays.

        Raises:
            Refused: no such tag.
        """
        try:
            (self._list(repository, TAGS) / tag).unlink()
        except FileNotFoundError:
            raise Refused("MANIFEST_UNKNOWN", "manifest unknown") from None

    def tags(self, repository: str) -> list[str]:
        """All tags of a repository, sorted."""
        return _names(self._list(repository, TAGS))

    def has_repository(self, repository: str) -> bool:
        """Whether anything was ever stored under the name."""
        return self._list(repository, MANIFESTS).is_dir()

    def catalog(self) -> list[str]:
        """The names of all repositories, sorted."""
        found = []
        for folder, below, _ in os.walk(self.repositories):
            if MANIFESTS in below:
                found.append(str(Path(folder).relative_to(self.repositories)))
            below[:] = [name for name in below if not name.startswith("_")]
        return sorted(found)

    # ---------------------------------------------------------------- files

    def _list(self, repository: str, kind: str) -> Path:
        return self.repositories / repository / kind

    def _write(self, path: Path, data: bytes) -> None:
        """Let the file appear whole and durable, or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.scratch_file() as scratch:
            replace_file(path, data, scratch)

    @contextmanager
    def scratch_file(self) -> Iterator[Path]:
        """A name for a file to be; what is left of it at the block's end is removed."""
        path = self.scratch / secrets.token_hex(16)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
