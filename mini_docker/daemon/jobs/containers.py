"""The jobs ``containers`` and ``container_inspect``: all containers, a line each; one, whole.

Classic Docker's Containers (``daemon/list.go``) and ContainerInspect (``daemon/inspect.go``).
"""

from __future__ import annotations

import json
import time

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.port_words import parse_port
from mini_docker.daemon.container.state import STATUSES
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.summary import Line, inspect, ports_of
from mini_docker.daemon.filters import Filters
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.daemon.jobs.exec import Executions
from mini_docker.dataclasses import dataclass
from mini_docker.engine import Job
from mini_docker.errors import Invalid, MiniDockerError
from mini_docker.graph.container_layers import ContainerLayers

FILTERS = (
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
    "publish", "since", "status", "volume",
)  # fmt: skip
"""``isolation`` tells nothing apart where there is no Windows, and is let through, as in Docker."""
HEALTHS = ("starting", "healthy", "unhealthy", "none")


@dataclass(frozen=True, slots=True)
class ContainersRequest:
    """Which containers: *all* of them or the running, at most *limit* (0: no limit), with *size*."""

    all: bool
    limit: int
    size: bool
    filters: Filters

    @classmethod
    def decode(cls, job: Job) -> ContainersRequest:
        """Read the job's environment.

        Raises:
            Invalid: an unknown filter, or a value that is none.
        """
        filters = Filters.parse(job.env.get("filters", ""), FILTERS)
        for status in filters.get("status"):
            if status not in STATUSES:
                raise Invalid(f"invalid filter 'status={status}'")
        for health in filters.get("health"):
            if health not in HEALTHS:
                raise Invalid(f"Unrecognised filter value for health: {health}")
        limit = max(job.env.get_int("limit"), 0)  # compose says -1 for "no limit"
        everything = job.env.get_bool("all") or limit > 0 or "status" in filters or "exited" in filters
        return cls(everything, limit, job.env.get_bool("size"), filters)


class Containers:
    """Answers a list, newest first.

    *Guarded by being replaced whole*: the lines kept from the last listing.
    """

    def __init__(self, containers: ContainerStore, images: ImageLookup, layers: ContainerLayers) -> None:
        self._containers = containers
        self._images = images
        self._layers = layers
        self._lines: dict[str, Line] = {}

    def __call__(self, job: Job) -> None:
        request = ContainersRequest.decode(job)
        everything = self._containers.all()
        wanted = [one for one in reversed(everything) if self._wants(request, one)]
        if request.limit:
            wanted = wanted[: request.limit]
        names: dict[str, str] = {}
        now = time.time_ns()
        texts, kept = [], {}
        for container in wanted:
            word = container.config.image
            if word not in names:
                names[word] = self._image_id(word)
            # A name that means another image by now would mislead.
            line = self._line(container, word if names[word] == container.image else container.image)
            kept[container.id] = line
            text = line.encode(container, now)
            texts.append(self._with_size(container, text) if request.size else text)
        old = self._lines
        self._lines = kept | {one.id: old[one.id] for one in everything if one.id in old and one.id not in kept}
        job.stdout.write(f"[{','.join(texts)}]\n".encode())

    def _line(self, container: Container, image: str) -> Line:
        line = self._lines.get(container.id)
        return line if line is not None and line.is_of(container, image) else Line(container, image)

    def _image_id(self, word: str) -> str:
        try:
            return self._images.find(word).id if word else ""
        except MiniDockerError:
            return ""

    def _with_size(self, container: Container, text: str) -> str:
        written, whole = container_sizes(container, self._images, self._layers)
        return json.dumps(json.loads(text) | {"SizeRw": written, "SizeRootFs": whole})

    def _wants(self, request: ContainersRequest, container: Container) -> bool:
        if not request.all and not (container.state.running or container.state.restarting):
            return False
        filters = request.filters
        if not filters.values:
            return True
        return (
            filters.prefix("id", container.id)
            and filters.fuzzy("name", container.name, f"/{container.name}")
            and filters.exact("status", container.state.status)
            and filters.exact("health", "none")  # health checks are not run
            and not filters.truth("is-task")  # a swarm's tasks are not here
            and filters.labels(container.config.labels)
            and filters.exact("exited", str(container.state.exit_code))
            and ("exited" not in filters or not container.state.running)
            and _is_on_network(filters, container)
            and _has_volume(filters, container)
            and _has_port("publish", filters, [key for key, bound in ports_of(container).items() if bound])
            and _has_port("expose", filters, list(container.config.exposed_ports))
            and self._is_of_ancestor(filters, container)
            and self._is_beside("before", filters, container)
            and self._is_beside("since", filters, container)
        )

    def _is_of_ancestor(self, filters: Filters, container: Container) -> bool:
        """Whether its image is, or was made from, one of those."""
        if "ancestor" not in filters:
            return True
        wanted = {self._image_id(word) for word in filters.get("ancestor")} - {""}
        image: str | None = container.image
        graph = self._images.graph
        while image and image not in wanted:
            image = graph.get(image).parent if graph.exists(image) else None
        return bool(image)

    def _is_beside(self, key: str, filters: Filters, container: Container) -> bool:
        for word in filters.get(key):
            other = self._containers.get(word)
            if container is other or (container.created < other.created) != (key == "before"):
                return False
        return True


def _is_on_network(filters: Filters, container: Container) -> bool:
    return "network" not in filters or any(
        filters.exact("network", name) or filters.prefix("network", place.network_id)
        for name, place in container.attachments.items()
    )


def _has_volume(filters: Filters, container: Container) -> bool:
    return "volume" not in filters or any(
        filters.exact("volume", mount.name or mount.source, mount.destination) for mount in container.mounts
    )


def _has_port(key: str, filters: Filters, ports: list[str]) -> bool:
    if key not in filters:
        return True
    wanted = {pair for word in filters.get(key) for pair in parse_port(word)}
    return any(pair in wanted for port in ports for pair in parse_port(port))


def container_sizes(container: Container, images: ImageLookup, layers: ContainerLayers) -> tuple[int, int]:
    """Bytes that it wrote itself, and bytes with its image."""
    written = layers.size(container.id) if layers.exists(container.id) else 0
    graph = images.graph
    below = graph.size(graph.get(container.image)) if container.image and graph.exists(container.image) else 0
    return written, written + below


class ContainerInspect:
    """Answers the whole form. Env: size."""

    def __init__(
        self,
        containers: ContainerStore,
        images: ImageLookup,
        layers: ContainerLayers,
        executions: Executions,
        storage_driver: str,
    ) -> None:
        self._containers = containers
        self._images = images
        self._layers = layers
        self._executions = executions
        self._storage_driver = storage_driver

    def __call__(self, job: Job) -> None:
        container = self._containers.get(argument(job))
        form = inspect(container, self._storage_driver, self._executions.of(container.id))
        if job.env.get_bool("size"):
            form["SizeRw"], form["SizeRootFs"] = container_sizes(container, self._images, self._layers)
        answer(job, form)
