"""The jobs ``image_export``, ``load`` and ``image_tarlayer``: images in a moving box, and out of it.

Classic Docker's ``graph/export.go`` and ``graph/load.go``.
"""

from __future__ import annotations

import io
import json
from typing import BinaryIO, cast

from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.answers import argument
from mini_docker.daemon.jobs.events import log_other
from mini_docker.daemon.jobs.image_import import InputStream
from mini_docker.engine import Job
from mini_docker.errors import Invalid
from mini_docker.graph.image import Image
from mini_docker.graph.image_archive import ArchivedImage, save
from mini_docker.graph.image_loader import load
from mini_docker.registry.reference import Reference

_CHUNK = 1 << 18


class ImageExport:
    """``image_export [NAME…]``: write images as one tar. Env: names (more of them)."""

    def __init__(self, images: ImageLookup) -> None:
        self._images = images

    def __call__(self, job: Job) -> None:
        words = [*job.args, *job.env.get_list("names")]
        if not words:
            raise Invalid("image_export: an image must be named")
        entries = self._entries(words)
        save(self._images.graph, entries, job.stdout)
        for entry in entries:
            log_other(job, "image", "save", entry.image.id, name=entry.names[0] if entry.names else entry.image.id)

    def _entries(self, words: list[str]) -> list[ArchivedImage]:
        """Each image once, with the names by which it was asked for; an id brings none."""
        names: dict[str, list[str]] = {}
        found: dict[str, Image] = {}
        for word in words:
            for image, name in self._meant(word):
                found[image.id] = image
                names.setdefault(image.id, [])
                if name and name not in names[image.id]:
                    names[image.id].append(name)
        return [ArchivedImage(image, tuple(names[id])) for id, image in found.items()]

    def _meant(self, word: str) -> list[tuple[Image, str]]:
        """A repository alone means all its tags."""
        try:
            reference = Reference.parse(word)
        except Invalid:
            reference = None
        tags, graph = self._images.tags, self._images.graph
        if reference is not None and reference.is_name_only:
            wanted = reference.repository
            tagged = [(graph.get(id), name) for name, id in tags.all().items() if name.rpartition(":")[0] == wanted]
            if tagged:
                return sorted(tagged, key=lambda pair: pair[1])
        image = self._images.find(word)
        name = reference.familiar() if reference is not None else ""
        return [(image, name if name in tags.by_id(image.id) else "")]


class Load:
    """``load``: register the images of a tar on standard input. Env: quiet."""

    def __init__(self, images: ImageLookup) -> None:
        self._images = images

    def __call__(self, job: Job) -> None:
        stream = cast(BinaryIO, io.BufferedReader(InputStream(job.stdin), _CHUNK))
        for entry in load(self._images.graph, stream):
            for name in entry.names:
                reference = Reference.parse(name).with_default_tag()
                before = self._images.tags.set(reference.repository, reference.tag, entry.image.id)
                if before is not None:
                    self._say(
                        job,
                        f"The image {reference.familiar()} already exists, renaming the old one with ID {before} "
                        "to empty string",
                    )
                self._say(job, f"Loaded image: {reference.familiar()}")
            if not entry.names:
                self._say(job, f"Loaded image ID: {entry.image.id}")
            log_other(job, "image", "load", entry.image.id, name=entry.names[0] if entry.names else entry.image.id)

    @staticmethod
    def _say(job: Job, sentence: str) -> None:
        job.stdout.write(json.dumps({"stream": f"{sentence}\n"}).encode() + b"\n")


class ImageTarlayer:
    """``image_tarlayer IMAGE``: the tar of an image's topmost layer, byte for byte."""

    def __init__(self, images: ImageLookup) -> None:
        self._images = images

    def __call__(self, job: Job) -> None:
        image = self._images.find(argument(job, what="an image"))
        if image.top is None:
            raise Invalid(f"image {image.id} has no layers")
        with self._images.graph.layer_tar(image.top) as layer:
            while piece := layer.read(_CHUNK):
                job.stdout.write(piece)
