"""Live connections: a running container is put on one more network, or taken off one, as a plug in a wall.

The steps are those of a start (`Connections`) for one network alone, and undone in reverse when one fails.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from mini_docker.daemon.container.attachment import Attachment, endpoint_from_json, way_out
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.networks import Networks, endpoint_id
from mini_docker.daemon.container.ports import port_bindings
from mini_docker.daemon.jobs.connections import publish
from mini_docker.daemon.network_files import NetworkFiles
from mini_docker.dataclasses import replace
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.drivers.networkdriver.contract import PortBinding, SandboxSockets
from mini_docker.engine import Job
from mini_docker.errors import Conflict

log = logging.getLogger(__name__)


class LiveConnections:
    """Plugs and unplugs running containers, whose lock the caller holds. Stateless but for its collaborators."""

    def __init__(self, networks: Networks, exec_driver: ExecDriver, files: NetworkFiles) -> None:
        self._networks = networks
        self._exec_driver = exec_driver
        self._files = files

    def plug(self, job: Job, container: Container, place: Attachment) -> Attachment:
        """Lease an address by the job ``allocate_interface`` and join; the place with what it holds.

        If this is where the container's way out leads from now on, its published ports come along.

        Raises:
            Conflict: the container has no network namespace of its own.
        """
        driver = self._networks.driver_of(place.network_id)
        endpoint = endpoint_id(place.network_id, container.id)
        before = way_out(container.attachments.values())
        with self._sockets(container) as sockets, ExitStack() as undo:
            child = job.child("allocate_interface", endpoint, place.network_id)
            child.env["address"] = place.wish.ipam_config.ipv4_address if place.wish.ipam_config else ""
            child.env["mac_address"] = place.wish.mac_address
            state = endpoint_from_json(json.loads(child.output()))
            undo.callback(job.child("release_interface", endpoint, place.network_id).run)
            joined = driver.join(endpoint, sockets, _free_interface(container), default_route=False)
            undo.callback(driver.leave, endpoint, sockets)
            place = replace(place, endpoint=replace(state, joined=joined))
            container.attach(place)
            undo.callback(container.detach, place.network)
            if way_out(container.attachments.values()) is place:
                ports: Sequence[PortBinding] = port_bindings(container.config, container.host_config)
                if before is not None:
                    ports = self._take_ports(container, before)
                    undo.callback(self._lead_out, job, container, before, ports, sockets)
                self._lead_out(job, container, place, ports, sockets)
            self._files.correct(container)
            undo.pop_all()
        return container.attachments[place.network]

    def unplug(self, job: Job, container: Container, place: Attachment) -> None:
        """Leave, and give the address back by the job ``release_interface``.

        If the container's way out led from here, it leads from another of its networks now, and so do its ports.
        """
        led = way_out(container.attachments.values())
        with self._sockets(container) as sockets:
            self._networks.driver_of(place.network_id).leave(place.endpoint_id, sockets)
            job.child("release_interface", place.endpoint_id, place.network_id).run()
            container.detach(place.network)
            leads = way_out(container.attachments.values())
            if led is not None and leads is not None and led.network == place.network:
                try:
                    self._lead_out(job, container, leads, _same_ports(led), sockets)
                except Conflict as error:
                    log.warning("container %s lost its published ports: %s", container.name, error)
        self._files.correct(container)

    def _lead_out(
        self, job: Job, container: Container, place: Attachment, ports: Sequence[PortBinding], sockets: SandboxSockets
    ) -> None:
        """Let the container's way out lead from this place, and publish ports there."""
        self._networks.driver_of(place.network_id).set_gateway(place.endpoint_id, sockets)
        if ports:
            container.attach(publish(job, place, ports))

    def _take_ports(self, container: Container, place: Attachment) -> tuple[PortBinding, ...]:
        """Publish nothing at this place any more; what was, as wishes."""
        assert place.endpoint is not None
        self._networks.driver_of(place.network_id).unpublish(place.endpoint_id)
        container.attach(replace(place, endpoint=replace(place.endpoint, published=())))
        return _same_ports(place)

    @contextmanager
    def _sockets(self, container: Container) -> Iterator[SandboxSockets]:
        sandbox = self._exec_driver.open_netlink(container.id)
        try:
            if sandbox.namespace < 0:
                raise Conflict(f"container {container.id} has no network namespace of its own")
            yield SandboxSockets(sandbox.namespace, sandbox.netlink)
        finally:
            for descriptor in (sandbox.namespace, sandbox.netlink):
                if descriptor >= 0:
                    os.close(descriptor)


def _same_ports(place: Attachment) -> tuple[PortBinding, ...]:
    """The ports that are published at a place, as wishes for the very same of the host's."""
    published = place.endpoint.published if place.endpoint else ()
    return tuple(
        PortBinding(port.container_port, port.protocol, port.host_address, (port.host_port, port.host_port))
        for port in published
    )


def _free_interface(container: Container) -> str:
    """The first of eth0, eth1, … that no place of the container has."""
    used = {place.endpoint.joined.interface for place in container.attachments.values()
            if place.endpoint and place.endpoint.joined}  # fmt: skip
    return next(name for number in range(len(used) + 1) if (name := f"eth{number}") not in used)
