"""The job ``import``: an image from a root file system's tar.

Env: fromSrc (``-``: standard input), repo, tag, message, changes. Classic Docker's ``graph/import.go``.
"""

from __future__ import annotations

import io
from typing import BinaryIO, cast

from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.events import log_other
from mini_docker.dataclasses import dataclass
from mini_docker.engine import Input, Job
from mini_docker.errors import Unsupported
from mini_docker.graph.importer import import_root
from mini_docker.registry.reference import Reference
from mini_docker.remote_api import Progress


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """A name for the image (or none), a message for its history, and how to run it."""

    reference: Reference | None
    message: str
    changes: tuple[str, ...]

    @classmethod
    def decode(cls, job: Job) -> ImportRequest:
        """Read the job's environment.

        Raises:
            Invalid: a bad name. Unsupported: the source is not standard input.
        """
        env = job.env
        if env.get("fromSrc", "-") != "-":
            raise Unsupported("import from a URL is not supported: fetch it yourself and pipe it in")
        reference = Reference.of(env["repo"], env.get("tag", "")).with_default_tag() if env.get("repo", "") else None
        changes = tuple(line for text in env.get_list("changes") for line in text.splitlines() if line.strip())
        return cls(reference, env.get("message", "") or "Imported from -", changes)


class Import:
    """Writes the image's id as a progress line."""

    def __init__(self, images: ImageLookup) -> None:
        self._images = images

    def __call__(self, job: Job) -> None:
        request = ImportRequest.decode(job)
        stream = cast(BinaryIO, io.BufferedReader(InputStream(job.stdin), 1 << 18))
        image = import_root(self._images.graph, stream, changes=request.changes, message=request.message)
        if request.reference is not None:
            job.child("tag", image.id, request.reference.repository, request.reference.tag).run()
        log_other(
            job, "image", "import", image.id, name=request.reference.familiar() if request.reference else image.id
        )
        job.stdout.write(Progress(image.id).encode())


class InputStream(io.RawIOBase):
    """A job's standard input as a Python stream, for readers that want one."""

    def __init__(self, source: Input) -> None:
        self._source = source

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill *buffer* with what comes next."""
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
