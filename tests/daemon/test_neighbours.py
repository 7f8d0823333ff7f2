"""Who knows whom by name: those that share a network of the user's, as they are at that moment."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from mini_docker.daemon.container.attachment import Attachment
from mini_docker.daemon.container.config import ContainerConfig, EndpointConfig
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.neighbours import Neighbours
from mini_docker.drivers.networkdriver.contract import EndpointState, Lease


class Street:
    """Containers on networks, in a store."""

    def __init__(self, root: Path) -> None:
        self.store = ContainerStore(root)

    def settle(self, name: str, network: str, address: str, **wish: tuple[str, ...]) -> Container:
        """A running container of that name on the network."""
        id = (name.encode().hex() + "e" * 64)[:64]
        container = Container(id, name, time.time_ns(), "", ContainerConfig(), HostConfig(), self.store.folder(id))
        lease = Lease(f"endpoint of {name}", network, ip_interface(f"{address}/24"))
        container.attach(Attachment(network, network, EndpointConfig(**wish), EndpointState(lease)))
        self.store.reserve_name(name, id)
        self.store.add(container)
        return container


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path)


def test_neighbours_are_called_by_name_alias_and_short_id(street: Street) -> None:
    """And by each of these with the network's name; one who shares no network is unknown."""
    me = street.settle("me", "n1", "10.1.0.2", links=("web:front",))
    web = street.settle("Web", "n1", "10.1.0.3", aliases=("www",))
    other = street.settle("web", "n1", "10.1.0.4", aliases=("www",))
    street.settle("far", "n2", "10.2.0.2")
    names = Neighbours(me, street.store)
    assert names.addresses("www") == (ip_address("10.1.0.3"), ip_address("10.1.0.4"))
    assert names.addresses("front") == (ip_address("10.1.0.4"),)
    assert names.addresses(web.id[:12]) == (ip_address("10.1.0.3"),)
    assert names.addresses("www.n1") == names.addresses("www")
    assert names.addresses("far") is None
    assert names.names(ip_address("10.1.0.4")) == ("web.n1",)
    assert names.names(ip_address("10.2.0.2")) == ()
    assert Neighbours(other, street.store).addresses("front") is None


def test_a_neighbour_that_moves_out_is_forgotten_at_once(street: Street) -> None:
    """Nothing is copied: a stopped or disconnected container has no address to tell."""
    me, web = street.settle("me", "n1", "10.1.0.2"), street.settle("web", "n1", "10.1.0.3")
    names = Neighbours(me, street.store)
    web.release_attachments()
    assert names.addresses("web") is None
    me.detach("n1")
    assert names.addresses("me") is None


def test_the_default_bridge_gives_no_names(street: Street) -> None:
    """As in Docker: there only links do."""
    me = street.settle("me", "bridge", "172.17.0.2")
    street.settle("web", "bridge", "172.17.0.3")
    assert Neighbours(me, street.store).addresses("web") is None
