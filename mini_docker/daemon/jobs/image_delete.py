"""The jobs ``image_delete`` and ``image_prune``: take names away, and what then has none.

Classic Docker's ImageDelete (``daemon/image_delete.go``).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.timestamps import parse_time
from mini_docker.daemon.filters import PruneFilters
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.daemon.jobs.events import log_other
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


class ImageDelete:
    """Answers ``[{"Untagged"}, {"Deleted"}]``."""

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
        reference = self._named_by(request.name, image)
        names = self._images.names(image)
        records: list[dict[str, Any]] = []
        if reference is not None:
            gone = _names_that_go(reference, names)
            if len(gone) == len(names):
                self._refuse_if_in_use(image, request.force, untagging=reference.familiar())
            records += self._untag(job, image, gone)
            if len(gone) < len(names):
                return records
        else:
            repositories = {Reference.parse(name).repository for name in names}
            if len(repositories) > 1 and not request.force:
                raise Conflict(
                    f"conflict: unable to delete {_short(image)} (must be forced) - image is referenced in multiple "
                    "repositories"
                )
            self._refuse_if_in_use(image, request.force)
            records += self._untag(job, image, names)
        return records + self._delete(job, image, request)

    def _named_by(self, word: str, image: Image) -> Reference | None:
        """*word* as a name of *image*; None when it is an id."""
        reference = self._images.reference(word)
        return reference if reference is not None and reference.familiar() in self._images.names(image) else None

    def _users(self, image: Image) -> list[Container]:
        return [container for container in self._containers.all() if container.image == image.id]

    def _refuse_if_in_use(self, image: Image, force: bool, untagging: str = "") -> None:
        for container in self._users(image):
            running = container.state.running
            what = (
                f'unable to remove repository reference "{untagging}"'
                if untagging
                else f"unable to delete {_short(image)}"
            )
            if running and not untagging:
                raise Conflict(
                    f"conflict: {what} (cannot be forced) - image is being used by running container "
                    f"{container.id[:_SHORT]}"
                )
            if not force:
                verb = f"container {container.id[:_SHORT]} is using its referenced image {_short(image)}"
                if not untagging:
                    verb = f"image is being used by stopped container {container.id[:_SHORT]}"
                raise Conflict(f"conflict: {what} (must force) - {verb}")

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

    def _delete(self, job: Job, image: Image, request: ImageDeleteRequest) -> list[dict[str, Any]]:
        """Delete the nameless image, then the parents that nothing needs any more."""
        graph = self._images.graph
        if self._users(image) or graph.children(image.id):
            if not request.force and self._images.reference(request.name) is None:
                graph.delete(image.id)  # says why not
            return []  # it lives on without a name
        records = []
        doomed: Image | None = image
        while doomed is not None:
            graph.delete(doomed.id)
            log_other(job, "image", "delete", doomed.id, name=doomed.id)
            records.append({"Deleted": doomed.id})
            parent = graph.get(doomed.parent) if doomed.parent and graph.exists(doomed.parent) else None
            needed = parent is None or self._images.names(parent) or graph.children(parent.id) or self._users(parent)
            doomed = None if needed or not request.prune else parent
        return records


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
        used = {container.image for container in self._containers.all()}
        graph = self._images.graph
        records: list[dict[str, Any]] = []
        freed = 0
        for image in graph.images():
            names = self._images.names(image)
            labels = image.config.config.get("Labels") or {}
            if (
                image.id in used
                or (only_dangling and names)
                or not graph.exists(image.id)
                or graph.children(image.id)
                or sieve.spares(labels, parse_time(image.config.created))
            ):
                continue
            size = graph.own_size(image)
            try:
                records += self._delete.delete(job, image, ImageDeleteRequest(image.id, True, True))
            except MiniDockerError as error:
                log.info("prune leaves image %s: %s", image.id, error)
                continue
            freed += size
        answer(job, {"ImagesDeleted": records or None, "SpaceReclaimed": freed})


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
