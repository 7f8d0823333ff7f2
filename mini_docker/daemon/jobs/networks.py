"""The jobs of user-defined networks: list, create, inspect, delete, prune, connect, disconnect. Ours by name.

Docker got them with libnetwork (1.9). What a network is, its driver knows; who is on it, the containers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mini_docker.daemon.container import api_json
from mini_docker.daemon.container.attachment import Attachment
from mini_docker.daemon.container.config import EndpointConfig
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.networks import HOST, NONE, PREDEFINED, check_wish
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.timestamps import parse_time
from mini_docker.daemon.filters import Filters, PruneFilters
from mini_docker.daemon.jobs.answers import answer, argument, json_body
from mini_docker.daemon.jobs.live_connections import LiveConnections
from mini_docker.daemon.jobs.network_show import NetworkShow
from mini_docker.daemon.name_service import NameService
from mini_docker.daemon.network_files import NetworkFiles
from mini_docker.daemon.network_record import NetworkRecord
from mini_docker.daemon.network_request import API_DRIVER_NAMES, network_config, network_to_api
from mini_docker.daemon.network_table import NetworkTable
from mini_docker.dataclasses import dataclass, replace
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.engine import Handler, Job
from mini_docker.errors import Conflict, Denied, Invalid, MiniDockerError

FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")


def handlers(
    networks: NetworkTable, containers: ContainerStore, exec_driver: ExecDriver, names: NameService, files: NetworkFiles
) -> Mapping[str, Handler]:
    """Every job of this family, and what runs it."""
    connections = LiveConnections(networks, exec_driver, files)
    return {
        "networks": Networks(networks, containers),
        "network_create": NetworkCreate(networks),
        "network_inspect": NetworkInspect(networks, containers),
        "network_show": NetworkShow(networks, containers),
        "network_delete": NetworkDelete(networks, containers),
        "network_prune": NetworkPrune(networks, containers),
        "network_connect": NetworkConnect(networks, containers, connections, names),
        "network_disconnect": NetworkDisconnect(networks, containers, connections, names),
    }


def users_of(network_id: str, containers: ContainerStore) -> list[Container]:
    """The containers that are on a network now."""
    return [
        container
        for container in containers.all()
        if any(place.network_id == network_id and place.endpoint for place in container.attachments.values())
    ]


class Networks:
    """``networks``: a JSON list. Env: filters."""

    def __init__(self, networks: NetworkTable, containers: ContainerStore) -> None:
        self._networks = networks
        self._containers = containers

    def __call__(self, job: Job) -> None:
        filters = Filters.parse(job.env.get("filters", ""), FILTERS)
        answer(job, [network_to_api(record) for record in self._networks.all() if self._wants(filters, record)])

    def _wants(self, filters: Filters, record: NetworkRecord) -> bool:
        config = record.config
        dangling = filters.truth("dangling")
        return (
            filters.fuzzy("name", config.name)
            and filters.prefix("id", config.id)
            and filters.exact("driver", API_DRIVER_NAMES.get(record.driver, record.driver))
            and filters.exact("scope", "local")
            and filters.exact("type", "builtin" if config.name in PREDEFINED else "custom")
            and filters.labels(config.labels)
            and (dangling is None or dangling == self._is_dangling(record))
        )

    def _is_dangling(self, record: NetworkRecord) -> bool:
        return record.config.name not in PREDEFINED and not users_of(record.config.id, self._containers)


class NetworkCreate:
    """``network_create``: a network from the body on stdin; answers its id."""

    def __init__(self, networks: NetworkTable) -> None:
        self._networks = networks

    def __call__(self, job: Job) -> None:
        config, driver = network_config(json_body(job))
        record = self._networks.create(config, driver)
        _log(job, "create", record)
        answer(job, {"Id": record.config.id, "Warning": ""})


class NetworkInspect:
    """``network_inspect NETWORK``: all about one, with the containers on it."""

    def __init__(self, networks: NetworkTable, containers: ContainerStore) -> None:
        self._networks = networks
        self._containers = containers

    def __call__(self, job: Job) -> None:
        record = self._networks.find(argument(job, 0, "a network"))
        answer(job, network_to_api(record, users_of(record.config.id, self._containers)))


class NetworkDelete:
    """``network_delete NETWORK``: remove one that nobody is on."""

    def __init__(self, networks: NetworkTable, containers: ContainerStore) -> None:
        self._networks = networks
        self._containers = containers

    def __call__(self, job: Job) -> None:
        record = self._networks.find(argument(job, 0, "a network"))
        if record.config.name not in PREDEFINED and users_of(record.config.id, self._containers):
            # As Docker, which answers 403 here.
            raise Denied(
                f"error while removing network: network {record.config.name} id {record.config.id} has active endpoints"
            )
        self._networks.delete(record.config.id)
        _log(job, "destroy", record)


class NetworkPrune:
    """``network_prune``: remove all networks of the user's that nobody is on. Env: filters (label, label!, until)."""

    def __init__(self, networks: NetworkTable, containers: ContainerStore) -> None:
        self._networks = networks
        self._containers = containers

    def __call__(self, job: Job) -> None:
        sieve = PruneFilters.parse(job.env.get("filters", ""))
        deleted = []
        for record in self._networks.all():
            config = record.config
            if config.name in PREDEFINED or sieve.spares(config.labels, parse_time(record.created)):
                continue
            if not users_of(config.id, self._containers):
                try:
                    job.child("network_delete", config.id).run()
                except (Conflict, Denied):
                    continue  # somebody joined it meanwhile
                deleted.append(config.name)
        answer(job, {"NetworksDeleted": deleted})


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """Which container, to or from which network, and the wishes for its place there."""

    network: str
    container: str
    wish: EndpointConfig
    force: bool

    @classmethod
    def decode(cls, job: Job) -> ConnectRequest:
        """Read the job's argument and body.

        Raises:
            Invalid: no container is named, or a wish that is none.
        """
        body: dict[str, Any] = json_body(job)
        if not body.get("Container"):
            raise Invalid(f"{job.name}: a container must be named")
        wish = api_json.decode(EndpointConfig, body.get("EndpointConfig") or {}).check()
        return cls(argument(job, 0, "a network"), str(body["Container"]), wish, bool(body.get("Force")))


class NetworkConnect:
    """``network_connect NETWORK``: give a container a place on one more network; at once if it runs.

    Body: Container, EndpointConfig.
    """

    def __init__(
        self, networks: NetworkTable, containers: ContainerStore, connections: LiveConnections, names: NameService
    ) -> None:
        self._networks = networks
        self._containers = containers
        self._connections = connections
        self._names = names

    def __call__(self, job: Job) -> None:
        request = ConnectRequest.decode(job)
        record = self._networks.find(request.network)
        container = self._containers.get(request.container)
        with container.lock:
            place = self._place(container, record, request)
            if container.state.running:
                place = self._connections.plug(job, container, place)
            container.attach(place)
            if place.endpoint is not None:
                self._names.serve(container)
            self._containers.save_networks(container)
        _log(job, "connect", record, container=container.id)

    @staticmethod
    def _place(container: Container, record: NetworkRecord, request: ConnectRequest) -> Attachment:
        """Its place there, not yet taken.

        Raises:
            Denied: it has one already, or host and none do not go with others.
            Invalid: an address or an alias is wished for on a network that has its own rules.
        """
        name = record.config.name
        if HOST in (name, *container.attachments):
            raise Denied("container cannot be disconnected from host network or connected to host network")
        if NONE in (name, *container.attachments):
            raise Denied("container cannot be connected to multiple networks with one of the networks in private "
                         "(none) mode")  # fmt: skip
        if name in container.attachments:
            raise Denied(f"endpoint with name {container.name} already exists in network {name}")
        wish = request.wish
        check_wish(name, wish)
        if name not in PREDEFINED and container.id[:12] not in wish.aliases:
            wish = replace(wish, aliases=(*wish.aliases, container.id[:12]))
        return Attachment(name, record.config.id, wish)


class NetworkDisconnect:
    """``network_disconnect NETWORK``: take a container's place on a network. Body: Container, Force."""

    def __init__(
        self, networks: NetworkTable, containers: ContainerStore, connections: LiveConnections, names: NameService
    ) -> None:
        self._networks = networks
        self._containers = containers
        self._connections = connections
        self._names = names

    def __call__(self, job: Job) -> None:
        request = ConnectRequest.decode(job)
        record = self._networks.find(request.network)
        container = self._containers.get(request.container)
        name = record.config.name
        with container.lock:
            if name == HOST and name in container.attachments:
                raise Denied("container cannot be disconnected from host network or connected to host network")
            if name not in container.attachments:
                # Of no kind, as in Docker, which answers 500 here.
                raise MiniDockerError(f"container {container.id} is not connected to network {name}")
            place = container.attachments[name]
            if place.endpoint is not None:
                self._connections.unplug(job, container, place)
            container.detach(name)
            if place.endpoint is not None:
                self._names.serve(container)
            self._containers.save_networks(container)
        _log(job, "disconnect", record, container=container.id)


def _log(job: Job, action: str, record: NetworkRecord, **attributes: str) -> None:
    """Have a child of *job* log that *action* happened to a network."""
    child = job.child("log", action, record.config.id)
    child.env["type"] = "network"
    child.env.set_json("attributes", {"name": record.config.name, "type": record.driver} | attributes)
    child.run()
