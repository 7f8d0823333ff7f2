"""The jobs ``image_delete`` and ``image_prune``: take names away, and what then has none.

Classic Docker's ImageDelete (``daemon/image_delete.go``).
"""

from __future__ import annotations

import logging
from typing import Any

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.timestamps import parse_time
from mini_docker.daemon.filters import PruneFilters
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.daemon.jobs.events import log_other
from mini_docker.dataclasses import dataclass
from mini_docker.engine import Job
from mini_docker.errors import Conflict, MiniDockerError
from mini_docker.graph.digest import hex_of
from mini_docker.graph.image import Image
from mini_docker.registry.reference import Reference

log = logging.getLogger(__name__)

_SHORT = 12


@dataclass(frozen=True, slots=True)
class ImageDeleteRequest:
    """Which image; *force* even if stopped containers use it or it has several names; *prune* nameless parents too."""

    name: str
    force: bool
    prune: bool

    @classmethod
    def decode(cls, job: Job) -> ImageDeleteRequest:
        """Read the job's arguments and environment."""
        return cls(argument(job, what="an image"), job.env.get_bool("force"), not job.env.get_bool("noprune"))


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why an image may not be deleted.

    Attributes:
        hard: no force helps.
        in_use: by a container.
    """

    message: str
    hard: bool = False
    in_use: bool = False


class ImageDelete:
    """Answers ``[{"Untagged"}, {"Deleted"}]``: names, the image, and the layers that went with it."""

    def __init__(self, images: ImageLookup, containers: ContainerStore) -> None:
        self._images = images
        self._containers = containers

    def __call__(self, job: Job) -> None:
        request = ImageDeleteRequest.decode(job)
        image = self._images.find(request.name)
        answer(job, self.delete(job, image, request))

    def delete(self, job: Job, image: Image, request: ImageDeleteRequest) -> list[dict[str, Any]]:
        """Untag, and delete what then has no name.

        Raises:
            Conflict: it is in use, or its id was given and it has several names.
        """
        return self.remove(job, image, request)[0]

    def remove(self, job: Job, image: Image, request: ImageDeleteRequest) -> tuple[list[dict[str, Any]], int]:
        """As `delete`; returns also the bytes of the layers that went."""
        reference = self._named_by(request.name, image)
        names = self._images.names(image)
        records: list[dict[str, Any]] = []
        if reference is not None:
            gone = _names_that_go(reference, names)
            users = self._users(image)
            if users and not request.force and len(gone) == len(names):
                raise Conflict(
                    f'conflict: unable to remove repository reference "{reference.familiar()}" (must force)'
                    f" - container {users[0].id[:_SHORT]} is using its referenced image {_short(image)}"
                )
            records += self._untag(job, image, gone)
            if len(gone) < len(names):
                return records, 0
        elif _is_one_name(names):
            self._refuse(image, self._hindrance(image, request.force, names=[]))
            records += self._untag(job, image, names)
        hindrance = self._hindrance(image, request.force, self._images.names(image))
        if hindrance is not None and reference is not None:
            return records, 0  # it lives on without a name, of which alone was spoken
        self._refuse(image, hindrance)
        records += self._untag(job, image, self._images.names(image))
        return self._delete(job, image, request.prune, records)

    def _named_by(self, word: str, image: Image) -> Reference | None:
        """*word* as a name of *image*; None when it is an id."""
        reference = self._images.reference(word)
        return reference if reference is not None and reference.familiar() in self._images.names(image) else None

    def _users(self, image: Image) -> list[Container]:
        return [container for container in self._containers.all() if container.image == image.id]

    def _hindrance(self, image: Image, force: bool, names: list[str]) -> Hindrance | None:
        """The first reason against deleting the image: hard ones first, others unless it is forced."""
        if self._images.graph.children(image.id):
            return Hindrance("image has dependent child images", hard=True)
        users = self._users(image)
        for container in users:
            if container.state.running:
                used = f"image is being used by running container {container.id[:_SHORT]}"
                return Hindrance(used, hard=True, in_use=True)
        if names and not force:
            return Hindrance("image is referenced in multiple repositories")
        if users and not force:
            return Hindrance(f"image is being used by stopped container {users[0].id[:_SHORT]}", in_use=True)
        return None

    def _refuse(self, image: Image, hindrance: Hindrance | None) -> None:
        if hindrance is not None:
            how = "cannot be forced" if hindrance.hard else "must be forced"
            raise Conflict(f"conflict: unable to delete {_short(image)} ({how}) - {hindrance.message}")

    def _untag(self, job: Job, image: Image, names: list[str]) -> list[dict[str, Any]]:
        records = []
        for name in names:
            reference = Reference.parse(name)
            if reference.digest:
                self._images.tags.delete_digest(reference.repository, reference.digest)
            else:
                self._images.tags.delete(reference.repository, reference.tag)
            log_other(job, "image", "untag", image.id, name=name)
            records.append({"Untagged": name})
        return records

    def _delete(
        self, job: Job, image: Image, prune: bool, records: list[dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], int]:
        """Delete the nameless image, then the parents that nothing needs any more."""
        graph = self._images.graph
        freed = 0
        doomed: Image | None = image
        while doomed is not None:
            layers = graph.delete(doomed.id)
            log_other(job, "image", "delete", doomed.id, name=doomed.id)
            records += [{"Deleted": doomed.id}, *({"Deleted": layer.chain_id} for layer in layers)]
            freed += sum(layer.size for layer in layers)
            parent = graph.get(doomed.parent) if doomed.parent and graph.exists(doomed.parent) else None
            needed = parent is None or self._hindrance(parent, False, self._images.names(parent))
            doomed = None if needed or not prune else parent
        return records, freed


class ImagePrune:
    """``image_prune``: deletes dangling images, or with ``dangling=false`` all that no container uses.

    Env: filters (dangling, label, label!, until).
    """

    def __init__(self, images: ImageLookup, containers: ContainerStore, delete: ImageDelete) -> None:
        self._images = images
        self._containers = containers
        self._delete = delete

    def __call__(self, job: Job) -> None:
        sieve = PruneFilters.parse(job.env.get("filters", ""), "dangling")
        only_dangling = sieve.filters.truth("dangling") is not False
        graph = self._images.graph
        records: list[dict[str, Any]] = []
        freed = 0
        for image in graph.images():
            labels = image.config.config.get("Labels") or {}
            if (
                (only_dangling and self._images.tags.by_id(image.id))
                or not graph.exists(image.id)
                or (graph.children(image.id) and not self._images.names(image))
                or sieve.spares(labels, parse_time(image.config.created))
            ):
                continue
            # Name by name: what a container uses keeps its last one, and what another was made from goes with that.
            for word in self._images.names(image) or [image.id]:
                try:
                    gone, bytes_freed = self._delete.remove(job, image, ImageDeleteRequest(word, False, True))
                except MiniDockerError as error:
                    log.info("prune leaves image %s: %s", image.id, error)
                    continue
                records += gone
                freed += bytes_freed
        answer(job, {"ImagesDeleted": records or None, "SpaceReclaimed": freed})


def _is_one_name(names: list[str]) -> bool:
    """Whether an image goes by one tag at most, and by no digest of another repository."""
    references = [Reference.parse(name) for name in names]
    tags = [reference for reference in references if not reference.digest]
    return len(tags) <= 1 and len({reference.repository for reference in references}) <= 1


def _names_that_go(reference: Reference, names: list[str]) -> list[str]:
    """What is untagged with *reference*: after a repository's last tag also what digests the registry knows it by.

    A name of another repository stays, be it a tag or a digest, and with it the image.
    """
    gone = [reference.familiar()]
    left = [Reference.parse(name) for name in names if name not in gone]
    same = [other for other in left if other.repository == reference.repository]
    if not reference.digest and all(other.digest for other in same):
        gone += [other.familiar() for other in same]
    return gone


def _short(image: Image) -> str:
    return hex_of(image.id)[:_SHORT]
