"""The jobs ``volumes``, ``volume_create``, ``volume_inspect``, ``volume_delete``, ``volume_prune``. Ours by name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mini_docker.daemon.container import api_json
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.timestamps import format_time
from mini_docker.daemon.container.volumes import Volume, VolumeStore
from mini_docker.daemon.filters import Filters, PruneFilters
from mini_docker.daemon.jobs.answers import answer, argument, json_body
from mini_docker.daemon.jobs.events import log_other
from mini_docker.dataclasses import dataclass, field
from mini_docker.engine import Job
from mini_docker.errors import Conflict, NotFound

FILTERS = ("dangling", "driver", "label", "name")


def users_of(volume: str, containers: ContainerStore) -> list[Container]:
    """The containers that mount the volume."""
    return [one for one in containers.all() if any(mount.name == volume for mount in one.mounts)]


class Volumes:
    """Answers ``{"Volumes", "Warnings"}``. Env: filters."""

    def __init__(self, volumes: VolumeStore, containers: ContainerStore) -> None:
        self._volumes = volumes
        self._containers = containers

    def __call__(self, job: Job) -> None:
        filters = Filters.parse(job.env.get("filters", ""), FILTERS)
        listed = [volume.to_json() for volume in self._volumes.all() if self._wants(filters, volume)]
        answer(job, {"Volumes": listed, "Warnings": None})

    def _wants(self, filters: Filters, volume: Volume) -> bool:
        dangling = filters.truth("dangling")
        return (
            filters.fuzzy("name", volume.name)
            and filters.exact("driver", "local")
            and filters.labels(volume.labels)
            and (dangling is None or dangling != bool(users_of(volume.name, self._containers)))
        )


@dataclass(frozen=True, slots=True)
class VolumeCreateRequest:
    """The body of ``POST /volumes/create``."""

    name: str = ""
    driver: str = "local"
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


class VolumeCreate:
    """Answers the volume; one of that name is answered as it is."""

    def __init__(self, volumes: VolumeStore) -> None:
        self._volumes = volumes

    def __call__(self, job: Job) -> None:
        request = api_json.decode(VolumeCreateRequest, json_body(job))
        created = format_time(time.time_ns())
        volume = self._volumes.create(request.name, request.driver, request.labels, request.driver_opts, created)
        if volume.created == created:
            log_other(job, "volume", "create", volume.name, driver="local")
        answer(job, volume.to_json())


class VolumeInspect:
    """Answers one volume."""

    def __init__(self, volumes: VolumeStore) -> None:
        self._volumes = volumes

    def __call__(self, job: Job) -> None:
        answer(job, self._volumes.get(argument(job, what="a volume")).to_json())


class VolumeDelete:
    """Removes a volume that nobody uses. Env: force (a volume that does not exist is no error)."""

    def __init__(self, volumes: VolumeStore, containers: ContainerStore) -> None:
        self._volumes = volumes
        self._containers = containers

    def __call__(self, job: Job) -> None:
        name = argument(job, what="a volume")
        try:
            self._volumes.get(name)
        except NotFound:
            if job.env.get_bool("force"):
                return
            raise
        users = users_of(name, self._containers)
        if users:
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(user.id for user in users)}]")
        self._volumes.remove(name)
        log_other(job, "volume", "destroy", name, driver="local")


class VolumePrune:
    """Removes the volumes that nobody uses; answers ``{"VolumesDeleted", "SpaceReclaimed"}``.

    Env: filters (label, label!, all). ``all=false`` takes only the anonymous ones. Without the word all are taken, as
    up to version 1.41 of the API.
    """

    def __init__(self, volumes: VolumeStore, containers: ContainerStore) -> None:
        self._volumes = volumes
        self._containers = containers

    def __call__(self, job: Job) -> None:
        sieve = PruneFilters.parse(job.env.get("filters", ""), "all", until=False)
        named = sieve.filters.truth("all") is not False
        deleted, freed = [], 0
        for volume in self._volumes.all():
            spared = sieve.spares(volume.labels) or not (named or volume.anonymous)
            if spared or users_of(volume.name, self._containers):
                continue
            size = self._volumes.size(volume)
            self._volumes.remove(volume.name)
            log_other(job, "volume", "destroy", volume.name, driver="local")
            deleted.append(volume.name)
            freed += size
        result: dict[str, Any] = {"VolumesDeleted": deleted or None, "SpaceReclaimed": freed}
        answer(job, result)
