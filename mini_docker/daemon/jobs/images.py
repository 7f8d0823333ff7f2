"""The jobs ``images``, ``image_inspect``, ``history``, ``tag``, ``image_get``, ``image_set``: what images there are.

Classic Docker's ``graph/list.go``, ``history.go``, ``tag.go`` and ``service.go``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from operator import attrgetter
from typing import Any

from mini_docker.daemon.container.config import ContainerConfig
from mini_docker.daemon.container.timestamps import parse_time
from mini_docker.daemon.filters import Filters
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.daemon.jobs.events import log_other
from mini_docker.dataclasses import dataclass
from mini_docker.engine import Job
from mini_docker.errors import Invalid
from mini_docker.graph.image import HistoryEntry, Image
from mini_docker.registry.reference import Reference

FILTERS = ("before", "dangling", "label", "reference", "since")
UNTAGGED = "<none>"
_EMPTY_CONFIG: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class ImagesRequest:
    """Which images; *all* includes those that only others stand on."""

    all: bool
    filters: Filters

    @classmethod
    def decode(cls, job: Job) -> ImagesRequest:
        """Read the job's environment; the old word ``filter`` is a reference."""
        filters = Filters.parse(job.env.get("filters", ""), FILTERS)
        if job.env.get("filter", ""):
            filters = Filters({**filters.values, "reference": (job.env["filter"],)})
        return cls(job.env.get_bool("all"), filters)


class Images:
    """Answers a list, newest first.

    *Guarded by being replaced whole*: the lines of the last listing without filters.
    """

    def __init__(self, images: ImageLookup) -> None:
        self._images = images
        self._lines: dict[str, _Line] = {}

    def __call__(self, job: Job) -> None:
        request = ImagesRequest.decode(job)
        lines = [line for image in self._images.graph.images() if (line := self._line(request, image)) is not None]
        if not request.filters.values:
            self._lines = {line.image.id: line for line in lines}
        lines.sort(key=attrgetter("order"))
        job.stdout.write(f"[{','.join([line.text for line in lines])}]\n".encode())

    def _line(self, request: ImagesRequest, image: Image) -> _Line | None:
        graph, tags, filters = self._images.graph, self._images.tags, request.filters
        names, digests = tags.by_id(image.id), tags.digests_by_id(image.id)
        if not names and not digests and not request.all and graph.children(image.id):
            return None  # a step on the way to another
        if filters.values:
            if (wanted := filters.truth("dangling")) is not None and wanted != (not names and not digests):
                return None
            if "reference" in filters:
                names = [name for name in names if _matches(filters, name)]
                digests = [name for name in digests if _matches(filters, name)]
                if not names and not digests:
                    return None
            if not filters.labels(_labels(image)) or not self._is_beside(filters, image):
                return None
        line = self._lines.get(image.id)
        if line is not None and line.is_of(image, names, digests):
            return line
        return _Line(image, names, digests, graph.size(image))

    def _is_beside(self, filters: Filters, image: Image) -> bool:
        for key in ("before", "since"):
            for word in filters.get(key):
                created = parse_time(image.config.created)
                other = parse_time(self._images.find(word).config.created)
                if not (created < other if key == "before" else created > other):
                    return False
        return True


class _Line:
    """What the list says of an image, encoded: 1,000 of them are joined in the time that 150 take to encode.

    It stays true while the image is the same and has the same names, for an image and the layers it holds never change.
    """

    __slots__ = ("_digests", "_names", "image", "order", "text")

    def __init__(self, image: Image, names: list[str], digests: list[str], size: int) -> None:
        self.image = image
        self._names = names
        self._digests = digests
        entry = _entry(image, names, digests, size)
        self.order = (-entry["Created"], image.id)
        self.text = json.dumps(entry, separators=(",", ":"))

    def is_of(self, image: Image, names: list[str], digests: list[str]) -> bool:
        """Whether it is the line of this image under these names."""
        return self.image is image and self._names == names and self._digests == digests


def _entry(image: Image, names: list[str], digests: list[str], size: int) -> dict[str, Any]:
    dangling = not names and not digests
    return {
        "Containers": -1,
        "Created": parse_time(image.config.created) // 10**9,
        "Id": image.id,
        "Labels": dict(_labels(image)) or None,
        "ParentId": image.parent or "",
        "RepoDigests": [f"{UNTAGGED}@{UNTAGGED}"] if dangling else digests,
        "RepoTags": [f"{UNTAGGED}:{UNTAGGED}"] if dangling else names or None,
        "SharedSize": -1,
        "Size": size,
        "VirtualSize": size,
    }


def _labels(image: Image) -> Mapping[str, str]:
    return image.config.config.get("Labels") or _EMPTY_CONFIG


def _matches(filters: Filters, name: str) -> bool:
    """Whether a name matches a pattern of ``--filter reference``: with its tag or digest, or without.

    Source: ``FamiliarMatch`` of Docker's ``reference`` package.
    """
    reference = Reference.parse(name)
    candidates = (reference.familiar(), reference.repository)
    return any(_glob(pattern, candidate) for pattern in filters.get("reference") for candidate in candidates)


def _glob(pattern: str, name: str) -> bool:
    """As a shell matches: a star stops at a slash."""
    wanted, got = pattern.split("/"), name.split("/")
    return len(wanted) == len(got) and all(fnmatchcase(part, glob) for part, glob in zip(got, wanted, strict=True))


class ImageInspect:
    """Answers the whole form of one image."""

    def __init__(self, images: ImageLookup, storage_driver: str) -> None:
        self._images = images
        self._storage_driver = storage_driver

    def __call__(self, job: Job) -> None:
        image = self._images.find(argument(job, what="an image"))
        tags, config = self._images.tags, image.config
        size = self._images.graph.size(image)
        answer(
            job,
            {
                "Id": image.id,
                "RepoTags": tags.by_id(image.id),
                "RepoDigests": tags.digests_by_id(image.id),
                "Parent": image.parent or "",
                "Comment": config.comment,
                "Created": config.created,
                "Container": "",
                "ContainerConfig": ContainerConfig().to_json(),
                "DockerVersion": "",
                "Author": config.author,
                "Config": ContainerConfig.from_json(dict(config.config)).to_json(),
                "Architecture": config.architecture,
                "Os": config.os,
                "Size": size,
                "VirtualSize": size,
                "GraphDriver": {"Name": self._storage_driver, "Data": {}},
                "RootFS": {"Type": "layers", "Layers": list(config.diff_ids)},
                "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
            },
        )


class History:
    """Answers the steps of an image, newest first."""

    def __init__(self, images: ImageLookup) -> None:
        self._images = images

    def __call__(self, job: Job) -> None:
        image = self._images.find(argument(job, what="an image"))
        graph = self._images.graph
        sizes = iter([graph.layer(chain).size for chain in image.layers])
        steps = image.config.history or tuple(HistoryEntry(image.config.created) for _ in image.layers)
        listed: list[dict[str, Any]] = [
            {
                "Comment": step.comment,
                "Created": parse_time(step.created) // 10**9,
                "CreatedBy": step.created_by,
                "Id": "<missing>",
                "Size": 0 if step.empty_layer else next(sizes, 0),
                "Tags": None,
            }
            for step in steps
        ][::-1]
        # The steps that are images of this machine have their ids: walk up from the newest.
        ancestor: Image | None = image
        for entry in listed:
            if ancestor is None:
                break
            entry["Id"] = ancestor.id
            entry["Tags"] = self._images.tags.by_id(ancestor.id) or None
            ancestor = graph.get(ancestor.parent) if ancestor.parent and graph.exists(ancestor.parent) else None
        answer(job, listed)


class Tag:
    """``tag IMAGE [REPOSITORY [TAG]]``: one more name for an image. Env: repo, tag."""

    def __init__(self, images: ImageLookup) -> None:
        self._images = images

    def __call__(self, job: Job) -> None:
        image = self._images.find(argument(job, what="an image"))
        words = [*job.args[1:], *[""] * 2]
        repository, tag = words[0] or job.env.get("repo", ""), words[1] or job.env.get("tag", "")
        if not repository:
            raise Invalid("tag: a repository must be named")
        reference = Reference.of(repository, tag).with_default_tag()
        if reference.digest:
            raise Invalid("refusing to create a tag with a digest reference")
        self._images.tags.set(reference.repository, reference.tag, image.id)
        log_other(job, "image", "tag", image.id, name=reference.familiar())


class ImageGet:
    """``image_get``: an image's configuration, byte for byte."""

    def __init__(self, images: ImageLookup) -> None:
        self._images = images

    def __call__(self, job: Job) -> None:
        job.stdout.write(self._images.find(argument(job, what="an image")).config_bytes)


class ImageSet:
    """``image_set``: register an image from the configuration on standard input; its layers are here."""

    def __init__(self, images: ImageLookup) -> None:
        self._images = images

    def __call__(self, job: Job) -> None:
        parent = job.env.get("parent", "") or None
        image = self._images.graph.register(job.stdin.read(), parent=parent)
        job.stdout.write(json.dumps({"Id": image.id}).encode())
