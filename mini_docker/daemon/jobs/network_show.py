"""The job ``network_show``: the networks of this machine as a picture, in text or for Graphviz. Ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.network_record import NetworkRecord
from mini_docker.daemon.network_table import NetworkTable
from mini_docker.daemon.network_topology import draw_graphviz, draw_text, topology
from mini_docker.engine import Job
from mini_docker.errors import NotFound


class NetworkShow:
    """Draws bridges, containers, addresses, published ports, and the rules with their packet counters. Env: viz."""

    def __init__(self, networks: NetworkTable, containers: ContainerStore) -> None:
        self._networks = networks
        self._containers = containers

    def __call__(self, job: Job) -> None:
        names = {
            place.endpoint_id: container.name
            for container in self._containers.all()
            for place in container.attachments.values()
            if place.endpoint is not None
        }
        drawn = topology(((record, self._facts(record)) for record in self._networks.all()), names)
        draw = draw_graphviz if job.env.get_bool("viz") else draw_text
        job.stdout.write(draw(drawn).encode())

    def _facts(self, record: NetworkRecord) -> Mapping[str, Any] | None:
        try:
            return self._networks.driver_of(record.config.id).describe(record.config.id)
        except NotFound:
            return None  # it could not be made at this start, or it was removed a moment ago
