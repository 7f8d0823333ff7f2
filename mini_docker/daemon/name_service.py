"""The name service: sees to it that a container on a network of the user's finds a name server at 127.0.0.11.

It opens the sockets through whoever holds the container, and hands them to the DNS server together with
the container's view of its neighbours and the resolvers for all other names.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.networks import PREDEFINED
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.neighbours import Neighbours
from mini_docker.drivers.networkdriver.contract import Address
from mini_docker.drivers.networkdriver.dns_message import Names
from mini_docker.drivers.networkdriver.resolv_conf import HOST_RESOLV_CONF
from mini_docker.drivers.networkdriver.subnets import nameservers
from mini_docker.errors import MiniDockerError
from mini_docker.linux.dns_sockets import DnsSockets

log = logging.getLogger(__name__)


class DnsServer(Protocol):
    """What is asked of the DNS server."""

    def add(self, id: str, sockets: DnsSockets, names: Names, upstream: Sequence[Address]) -> None:
        """Serve a container from now on."""

    def remove(self, id: str) -> None:
        """Serve it no more; one that is not served is no error."""


class NameService:
    """Starts and ends serving containers. Stateless but for its collaborators.

    Args:
        open_sockets: opens the two sockets inside a running container, by its id.
        dns: resolvers that the daemon's flags name; empty takes the host's.
    """

    def __init__(
        self,
        server: DnsServer,
        open_sockets: Callable[[str], DnsSockets],
        containers: ContainerStore,
        dns: Sequence[str] = (),
    ) -> None:
        self._server = server
        self._open_sockets = open_sockets
        self._containers = containers
        self._dns = dns

    def serve(self, container: Container) -> None:
        """Serve it if it is on a network of the user's, which it has joined; else serve it no more.

        One in which the sockets cannot be opened goes without: that is told, and no reason not to run it.
        """
        self._server.remove(container.id)  # or its old sockets could be in the new ones' way
        if all(name in PREDEFINED for name in container.attachments):
            return
        try:
            sockets = self._open_sockets(container.id)
        except (MiniDockerError, OSError) as error:
            log.warning("container %s has no name server: %s", container.name, error)
            return
        self._server.add(container.id, sockets, Neighbours(container, self._containers), self._upstream(container))

    def end(self, container: Container) -> None:
        """Serve it no more; one that is not served is no error."""
        self._server.remove(container.id)

    def _upstream(self, container: Container) -> tuple[Address, ...]:
        """Whom to ask for all other names: the daemon does, so the host's own loopback is fine here."""
        if not any(place.endpoint and place.endpoint.lease.gateway for place in container.attachments.values()):
            return ()  # on internal networks alone there is no way out, not even for questions
        asked = container.host_config.dns or self._dns
        if asked:
            return nameservers("".join(f"nameserver {word}\n" for word in asked))
        try:
            return nameservers(HOST_RESOLV_CONF.read_text())
        except OSError:
            return ()  # a host without resolvers
