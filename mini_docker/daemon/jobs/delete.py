"""The jobs ``delete`` and ``container_prune``: containers go, with their layers and names.

Classic Docker's ContainerDestroy (``daemon/delete.go``).
"""

from __future__ import annotations

import logging

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.state import CREATED, DEAD, EXITED
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.volumes import VolumeStore
from mini_docker.daemon.filters import PruneFilters
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.daemon.jobs.events import log_event, log_other
from mini_docker.daemon.jobs.exec import Executions
from mini_docker.dataclasses import dataclass
from mini_docker.engine import Job
from mini_docker.errors import MiniDockerError, NotFound
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.graph import Graph
from mini_docker.graph.graphdb import GraphDB

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """Which container; *force* kills it first, *volumes* takes its anonymous ones along, *link* removes a name only."""

    container: str
    force: bool
    volumes: bool
    link: bool

    @classmethod
    def decode(cls, job: Job) -> DeleteRequest:
        """Read the job's arguments and environment."""
        return cls(argument(job), job.env.get_bool("force"), job.env.get_bool("v"), job.env.get_bool("link"))


class Delete:
    """Removes a container that does not run."""

    def __init__(
        self,
        containers: ContainerStore,
        layers: ContainerLayers,
        graph: Graph,
        names: GraphDB,
        volumes: VolumeStore,
        executions: Executions,
    ) -> None:
        self._executions = executions
        self._containers = containers
        self._layers = layers
        self._graph = graph
        self._names = names
        self._volumes = volumes

    def __call__(self, job: Job) -> None:
        request = DeleteRequest.decode(job)
        if request.link:
            self._names.release(request.container)
            return
        container = self._containers.get(request.container)
        if request.force:
            self._end(job, container)
        with container.lock:
            if request.force and self._containers.find(container.id) is None:
                return  # its end removed it (--rm): what was wished for holds
            container.move("remove")
            try:
                self._remove(job, container, request.volumes)
            except BaseException as error:
                container.move("stick", error=str(error))
                self._containers.save(container)
                raise
        container.ring_removed()
        job.afterwards(self._layers.prepare)

    @staticmethod
    def _end(job: Job, container: Container) -> None:
        """Kill it, wait for its end, and let no policy bring it back."""
        with container.lock:
            container.stopped_by_user = True
            container.cancel_restart()
            running = container.state.running
        if running:
            try:
                job.child("kill", container.id).run()
            except MiniDockerError as error:
                log.info("container %s ended before it could be killed: %s", container.id, error)

    def _remove(self, job: Job, container: Container, with_volumes: bool) -> None:
        container.dismiss_attachers()
        if self._layers.exists(container.id):
            self._layers.remove(container.id)
        self._names.purge_late(container.id)
        self._containers.remove(container)
        self._graph.collect()
        self._executions.forget(container.id)
        log_event(job, container, "destroy")
        if with_volumes:
            for mount in container.mounts:
                if mount.type == "volume":
                    self._remove_volume(job, mount.name)

    def _remove_volume(self, job: Job, name: str) -> None:
        """A volume that nobody named goes with the last container that used it."""
        try:
            volume = self._volumes.get(name)
        except NotFound:
            return
        used = any(mount.name == name for other in self._containers.all() for mount in other.mounts)
        if volume.anonymous and not used:
            self._volumes.remove(name)
            log_other(job, "volume", "destroy", name, driver="local")


class Prune:
    """``container_prune``: deletes every container that does not run. Env: filters (label, label!, until)."""

    def __init__(self, containers: ContainerStore, layers: ContainerLayers) -> None:
        self._containers = containers
        self._layers = layers

    def __call__(self, job: Job) -> None:
        sieve = PruneFilters.parse(job.env.get("filters", ""))
        deleted, freed = [], 0
        for container in self._containers.all():
            ended = container.state.status in (CREATED, EXITED, DEAD)
            if not ended or sieve.spares(container.config.labels, container.created):
                continue
            size = self._layers.size(container.id) if self._layers.exists(container.id) else 0
            try:
                job.child("delete", container.id).run()
            except MiniDockerError as error:
                log.info("prune leaves container %s: %s", container.id, error)
                continue
            deleted.append(container.id)
            freed += size
        answer(job, {"ContainersDeleted": deleted or None, "SpaceReclaimed": freed})
