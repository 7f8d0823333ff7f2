"""The job ``container_rename``: another name for the same container."""

from __future__ import annotations

from contextlib import ExitStack

from mini_docker.daemon.container.names import check_name
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.jobs.answers import argument
from mini_docker.daemon.jobs.events import log_event
from mini_docker.engine import Job
from mini_docker.errors import Invalid
from mini_docker.graph.graphdb import GraphDB


class Rename:
    """Env: name, the new one."""

    def __init__(self, containers: ContainerStore, names: GraphDB) -> None:
        self._containers = containers
        self._names = names

    def __call__(self, job: Job) -> None:
        container, wished = self._containers.get(argument(job)), job.env.get("name", "")
        if not wished:
            raise Invalid("Neither old nor new names may be empty")
        new = check_name(wished)
        with container.lock, ExitStack() as undo:
            old = container.name
            if new == old:
                raise Invalid("Renaming a container with the same name as its current name")
            self._containers.reserve_name(new, container.id)
            undo.callback(self._containers.release_name, new, container.id)
            self._names.rename(f"/{old}", f"/{new}")
            container.name = new
            self._containers.save_config(container)
            self._containers.release_name(old, container.id)
            undo.pop_all()
            log_event(job, container, "rename", oldName=f"/{old}")
