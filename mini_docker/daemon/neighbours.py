"""Neighbours: what one container may know of others by name: those that it shares a network of the user's with.

A view on the containers as they are at the moment of the question; nothing is copied, so nothing turns stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mini_docker.daemon.container.attachment import Attachment
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.links import parse_link
from mini_docker.daemon.container.networks import PREDEFINED
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.drivers.networkdriver.contract import Address


class Neighbours:
    """The view of one container; what the DNS server needs is the Protocol `Names`.

    A neighbour is called by its name, its aliases and its short id on the shared network, each also with
    ``.network`` after it, and by what a link on that network calls it.
    """

    def __init__(self, container: Container, containers: ContainerStore) -> None:
        self._container = container
        self._containers = containers

    def addresses(self, name: str) -> Sequence[Address] | None:
        """Those of the neighbours that are called *name*; None when nobody is."""
        found = [address for names, address in self._known() if name in names]
        return tuple(dict.fromkeys(found)) or None

    def names(self, address: Address) -> Sequence[str]:
        """The first name, with its network's, of who has the address."""
        return tuple(names[0] for names, known in self._known() if known == address)

    def _known(self) -> Iterator[tuple[list[str], Address]]:
        """Every neighbour's names, ``name.network`` first, and its address."""
        mine = self._container.attachments
        for other in self._containers.all():
            for network, place in other.attachments.items():
                if network in mine and network not in PREDEFINED and place.endpoint and place.endpoint.lease.address:
                    short = [other.name, *place.wish.aliases, other.id[:12], *self._linked_as(mine[network], other)]
                    full = [f"{name}.{network}" for name in short]
                    yield [name.lower() for name in (*full, *short)], place.endpoint.lease.address.ip

    @staticmethod
    def _linked_as(mine: Attachment, other: Container) -> list[str]:
        pairs = (parse_link(word) for word in mine.wish.links)
        return [alias for target, alias in pairs if target in (other.name, other.id, other.id[:12])]
