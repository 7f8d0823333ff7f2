"""Links between containers on the default bridge, as a step of a start. Their names stand in the `GraphDB`."""

from __future__ import annotations

from contextlib import ExitStack

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.links import Link, Linked, parse_link
from mini_docker.daemon.container.networks import BRIDGE
from mini_docker.daemon.container.port_words import parse_port
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.engine import Job
from mini_docker.errors import Conflict, NotFound


class Links:
    """Finds out what a container is told of others, and opens the firewall for it by the job ``link``."""

    def __init__(self, containers: ContainerStore) -> None:
        self._containers = containers

    def connect(self, job: Job, container: Container, undo: ExitStack) -> Linked:
        """All links of a container that is about to start and has its addresses.

        Raises:
            NotFound: a container it is linked to is gone. Conflict: one does not run.
        """
        links = []
        place = container.attachments.get(BRIDGE)
        if place is None:
            return Linked()  # on networks of the user's, names are the DNS server's business
        for word in container.host_config.links:
            other, alias = parse_link(word)
            child = self._containers.find(other)
            if child is None:
                raise NotFound(f"could not get container for {other}: No such container: {other}")
            link = _link(container, child, alias)
            links.append(link)
            if link.ports:
                self._run_job(job, "add", place.endpoint_id, child, link)
                undo.callback(self._run_job, job, "delete", place.endpoint_id, child, link)
        return Linked.of(links)

    def env(self, container: Container) -> tuple[str, ...]:
        """What its links tell a further process of a running container; a link to who does not run tells nothing."""
        links = []
        for word in container.host_config.links if BRIDGE in container.attachments else ():
            other, alias = parse_link(word)
            child = self._containers.find(other)
            if child is not None and child.state.running and BRIDGE in child.attachments:
                links.append(_link(container, child, alias))
        return tuple(Linked.of(links).env)

    @staticmethod
    def _run_job(job: Job, action: str, parent_endpoint: str, child: Container, link: Link) -> None:
        opened = job.child("link", parent_endpoint, child.attachments[BRIDGE].endpoint_id)
        opened.env["action"] = action
        opened.env.set_json("ports", [f"{number}/{protocol}" for number, protocol in link.ports])
        opened.run()


def _link(parent: Container, child: Container, alias: str) -> Link:
    place = child.attachments.get(BRIDGE)
    if place is None or place.endpoint is None or place.endpoint.lease.address is None:
        raise Conflict(f"Cannot link to a non running container: /{child.name} AS /{parent.name}/{alias}")
    return Link(
        parent.name, child.name, alias, str(place.endpoint.lease.address.ip),
        tuple(pair for key in child.config.exposed_ports for pair in parse_port(key)),
        child.config.env, (child.config.hostname, child.name),
    )  # fmt: skip
