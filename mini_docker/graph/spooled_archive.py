"""A SpooledArchive: a moving box, unpacked onto numbered shelves, so that its table of contents may come last.

The contents of a tar's files are kept under numbers of our own, and the archive's names are only keys of a dictionary:
no name in a hostile archive ever becomes a path of this machine. It knows nothing of images.
"""

from __future__ import annotations

import json
import posixpath
import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from mini_docker.archive.compression import open_decompressing
from mini_docker.archive.member import HARD_LINK, REGULAR, SYMLINK
from mini_docker.archive.tar_reader import TarReader
from mini_docker.errors import Invalid

MAX_JSON_BYTES = 16 << 20
_MAX_LINKS = 8


class SpooledArchive:
    """The regular files of a tar, by name. A context manager: its files vanish at the block's end.

    Args:
        stream: the tar, compressed or not.
        folder: where to make room.

    Raises:
        Invalid: the tar is corrupt.
    """

    def __init__(self, stream: BinaryIO, folder: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="load-", dir=folder))
        self._files: dict[str, Path] = {}
        self._links: dict[str, str] = {}
        try:
            with open_decompressing(stream) as plain:
                self._spool(TarReader(plain))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SpooledArchive:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the files go."""
        shutil.rmtree(self._folder)

    def _spool(self, reader: TarReader) -> None:
        for member in reader:
            name = _normal(member.name.decode(errors="surrogateescape"))
            link = member.link.decode(errors="surrogateescape")
            if member.kind == SYMLINK:
                self._links[name] = _normal(posixpath.join(posixpath.dirname(name), link))
            elif member.kind == HARD_LINK:
                self._links[name] = _normal(link)
            elif member.kind == REGULAR:
                path = self._folder / str(len(self._files))
                with open(path, "wb") as file:
                    for piece in reader.content():
                        file.write(piece)
                self._files[name] = path

    def has(self, name: str) -> bool:
        """Whether the archive has a file of this name."""
        return self._find(name) is not None

    def path(self, name: str) -> Path:
        """Where a file's content lies.

        Raises:
            Invalid: there is no such file.
        """
        path = self._find(name)
        if path is None:
            raise Invalid(f"bad image archive: it has no file {name!r}")
        return path

    def read(self, name: str) -> bytes:
        """A small file's content.

        Raises:
            Invalid: there is no such file, or it is not small.
        """
        with open(self.path(name), "rb") as file:
            data = file.read(MAX_JSON_BYTES + 1)
        if len(data) > MAX_JSON_BYTES:
            raise Invalid(f"bad image archive: {name!r} is larger than {MAX_JSON_BYTES} bytes")
        return data

    def read_json(self, name: str) -> Any:
        """A small file's JSON value.

        Raises:
            Invalid: as `read`, or it is not JSON.
        """
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise Invalid(f"bad image archive: {name!r} is not JSON: {error}") from None

    def _find(self, name: str) -> Path | None:
        name = _normal(name)
        for _ in range(_MAX_LINKS):
            if name in self._files:
                return self._files[name]
            if name not in self._links:
                return None
            name = self._links[name]
        return None


def _normal(name: str) -> str:
    return posixpath.normpath("/" + name)[1:]
