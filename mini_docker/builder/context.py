"""The context: the files that a client sent along with its Dockerfile, kept as the tar that they came in.

They are never unpacked here: what an instruction takes is repacked, straight from one tar into another, so that no
name and no link in a context can reach a file of the host. It knows tars, not images.
"""

from __future__ import annotations

import copy
import fnmatch
import hashlib
import io
import posixpath
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Protocol

from mini_docker.dataclasses import dataclass
from mini_docker.engine import Input
from mini_docker.errors import Invalid, NotFound

SPOOL_BYTES = 8 << 20
"""A context up to this size stays in memory."""


@dataclass(frozen=True, slots=True)
class Move:
    """One thing that COPY or ADD takes.

    Attributes:
        source: a match of the context.
        target: the absolute path that it, or what is in it, gets.
        unpacked: it is a tar, and what is in it goes below the target.
    """

    source: str
    target: str
    unpacked: bool = False

    def place(self, name: str) -> str:
        """Where something goes that stands under *name* in the source."""
        return posixpath.join(self.target, _clean(name))


class Context:
    """The files of one build. Close it when the build is over.

    Args:
        source: a tar, compressed or not.

    Raises:
        Invalid: it is none.
    """

    def __init__(self, source: Input) -> None:
        self._file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  closed by `close`
        while block := source.read(1 << 18):
            self._file.write(block)
        self._file.seek(0)
        try:
            self._tar = tarfile.open(fileobj=self._file)  # noqa: SIM115  closed by `close`
            self._members = {_clean(member.name): member for member in self._tar}
        except (tarfile.TarError, EOFError, OSError) as error:
            self._file.close()
            raise Invalid(f"the build context is no tar archive: {error}") from None

    def close(self) -> None:
        """Forget the files."""
        self._tar.close()
        self._file.close()

    def text(self, path: str) -> str:
        """A file's text.

        Raises:
            NotFound: there is no such file.
        """
        member = self._members.get(_clean(path))
        content = self._tar.extractfile(member) if member is not None else None
        if content is None:
            raise NotFound(f"Cannot locate specified Dockerfile: {path}")
        return content.read().decode(errors="replace")

    def match(self, pattern: str) -> list[str]:
        """What a source of COPY names: files or folders; ``.`` is everything.

        Raises:
            NotFound: nothing.
        """
        wanted = _clean(pattern)
        if wanted == "":
            return [""]
        found = [name for name in self._members if name == wanted or _matches(name, wanted)]
        if not found and any(name.startswith(f"{wanted}/") for name in self._members):
            found = [wanted]  # a folder without an entry of its own
        if not found:
            raise NotFound(f"COPY failed: file not found in build context or excluded by .dockerignore: {pattern}")
        return found

    def is_folder(self, name: str) -> bool:
        """Whether a match is a folder."""
        member = self._members.get(name)
        return name == "" or member is None or member.isdir()

    def is_archive(self, name: str) -> bool:
        """Whether a match is itself a tar, which ADD unpacks."""
        member = self._members.get(name)
        content = self._tar.extractfile(member) if member is not None and member.isfile() else None
        if content is None:
            return False
        try:
            with tarfile.open(fileobj=content) as inner:
                return inner.next() is not None
        except tarfile.TarError:
            return False

    def placed(self, moves: Iterable[Move], owner: tuple[int, int]) -> tuple[IO[bytes], str]:
        """Files at new places, as a tar (the caller closes it), and the digest of what is in it.

        Args:
            owner: uid and gid that all of it gets, but for what is unpacked: that keeps its own.
        """
        out = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115
        digest = hashlib.sha256()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for move in moves:
                if move.unpacked:
                    with tarfile.open(fileobj=self._tar.extractfile(self._members[move.source])) as inner:
                        _repack(inner, tar, move.place, digest)
                    continue
                for name, member in sorted(self._below(move.source), key=lambda pair: pair[0]):
                    below = name[len(move.source) :].lstrip("/")
                    taken = _renamed(member, move.place(below))
                    taken.uid, taken.gid = owner
                    taken.uname = taken.gname = ""
                    if taken.islnk():
                        taken = self._as_file(taken, member)
                    _add(tar, taken, self._tar.extractfile(member) if taken.isfile() else None, digest)
        out.seek(0)
        return out, digest.hexdigest()

    def _as_file(self, taken: tarfile.TarInfo, member: tarfile.TarInfo) -> tarfile.TarInfo:
        """A hard link's other name may not be among what is copied: the copy is a file of its own."""
        target = self._members.get(_clean(member.linkname))
        if target is None or not target.isfile():
            raise Invalid(f"the build context has a hard link to nothing: {member.name}")
        taken.type, taken.linkname, taken.size = tarfile.REGTYPE, "", target.size
        return taken

    def _below(self, source: str) -> Iterator[tuple[str, tarfile.TarInfo]]:
        for name, member in self._members.items():
            if name == source or source == "" or name.startswith(f"{source}/"):
                yield name, member


def moved(tar: bytes, target: str, into: bool) -> IO[bytes]:
    """A tar of one file or folder, under another name.

    Args:
        target: the absolute path that it gets; with *into* the folder that it goes into.
    """
    out = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  the caller closes it
    with tarfile.open(fileobj=io.BytesIO(tar)) as inner, tarfile.open(fileobj=out, mode="w") as outer:

        def renamed(name: str) -> str:
            return posixpath.join(target, _clean(name) if into else _clean(name).partition("/")[2])

        _repack(inner, outer, renamed, hashlib.sha256())
    out.seek(0)
    return out


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _repack(inner: tarfile.TarFile, outer: tarfile.TarFile, renamed: Callable[[str], str], digest: _Digest) -> None:
    for member in inner:
        taken = _renamed(member, renamed(member.name))
        if taken.islnk():
            taken.linkname = renamed(taken.linkname).strip("/")
        _add(outer, taken, inner.extractfile(member) if member.isfile() else None, digest)


def _renamed(member: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    twin = copy.copy(member)
    twin.pax_headers = {}  # a long name stands in there, too: the old one
    twin.name = name
    return twin


def _add(tar: tarfile.TarFile, member: tarfile.TarInfo, content: IO[bytes] | None, digest: _Digest) -> None:
    member.name = member.name.strip("/") or "."
    facts = (member.name, member.mode, member.type, member.linkname, member.size, member.uid, member.gid)
    digest.update(repr(facts).encode())
    if content is not None:
        digest.update(_digest_of(content))
        content.seek(0)
    tar.addfile(member, content)


def _digest_of(content: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while block := content.read(1 << 18):
        digest.update(block)
    return digest.digest()


def _clean(name: str) -> str:
    """A path inside the context: no way leads up from its root."""
    return posixpath.normpath("/" + name).lstrip("/")


def _matches(name: str, pattern: str) -> bool:
    """As Go's filepath.Match: a star does not cross a slash."""
    return name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern)
