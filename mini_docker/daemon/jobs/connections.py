"""Connections: the part of a start and of an end that has to do with networks.

`allocate` asks the classic jobs for addresses and ports, `join` puts the sandbox on its networks, and
`release` gives all back. It knows networks by name and endpoints by id; what a driver does is the
driver's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from mini_docker.daemon.container.attachment import Attachment, endpoint_from_json, way_out
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.networks import Networks, endpoint_id
from mini_docker.daemon.container.ports import port_bindings
from mini_docker.daemon.name_service import NameService
from mini_docker.daemon.network_files import NetworkFiles
from mini_docker.daemon.settings import DaemonSettings
from mini_docker.dataclasses import replace
from mini_docker.drivers.execdriver.contract import Sandbox
from mini_docker.drivers.networkdriver.contract import EndpointState, PortBinding, SandboxSockets
from mini_docker.drivers.networkdriver.hosts_file import Entry
from mini_docker.engine import Job
from mini_docker.errors import NotFound


class Connections:
    """Connects and disconnects containers, as steps of a start or an end. Stateless but for its collaborators."""

    def __init__(self, networks: Networks, names: NameService, settings: DaemonSettings, host_name: str) -> None:
        self._networks = networks
        self._names = names
        self._files = NetworkFiles(settings, host_name)

    def allocate(self, job: Job, container: Container, undo: ExitStack) -> None:
        """Lease an address on each of the container's networks, by the job ``allocate_interface``."""
        for attachment in list(container.attachments.values()):
            network_id, name = self._networks.resolve(attachment.network_id or attachment.network)
            endpoint = endpoint_id(network_id, container.id)
            child = job.child("allocate_interface", endpoint, network_id)
            wish = attachment.wish
            child.env["address"] = wish.ipam_config.ipv4_address if wish.ipam_config else ""
            child.env["mac_address"] = wish.mac_address or container.config.mac_address
            state = endpoint_from_json(json.loads(child.output()))
            container.detach(attachment.network)
            container.attach(replace(attachment, network=name, network_id=network_id, endpoint=state))
            undo.callback(self._release_one, job, container, name)

    def files(self, container: Container) -> dict[str, str]:
        """Where the container's hostname, hosts and resolv.conf are; see `NetworkFiles.places`."""
        return self._files.places(container)

    def write_files(self, container: Container, linked_hosts: Sequence[Entry] = ()) -> None:
        """Write them; see `NetworkFiles.write`."""
        self._files.write(container, linked_hosts)

    def join(self, container: Container, sandbox: Sandbox, undo: ExitStack) -> None:
        """Put the parked sandbox on its networks; interfaces are numbered in their order."""
        if sandbox.namespace < 0:
            return  # it has no network namespace of its own: nothing to join
        sockets = SandboxSockets(sandbox.namespace, sandbox.netlink)
        leads = way_out(container.attachments.values())
        for index, attachment in enumerate(list(container.attachments.values())):
            assert attachment.endpoint is not None  # allocated just now
            driver = self._networks.driver_of(attachment.network_id)
            joined = driver.join(attachment.endpoint_id, sockets, f"eth{index}", default_route=attachment is leads)
            undo.callback(driver.leave, attachment.endpoint_id, None)
            container.attach(replace(attachment, endpoint=replace(attachment.endpoint, joined=joined)))
        undo.callback(self._names.end, container)
        self._names.serve(container)

    def publish(self, job: Job, container: Container, undo: ExitStack) -> None:
        """Publish the container's ports on the network that leads out, by the job ``allocate_port``."""
        bindings = port_bindings(container.config, container.host_config)
        place = way_out(container.attachments.values())
        if bindings and place is not None:
            container.attach(publish(job, place, bindings))
            undo.callback(self._networks.driver_of(place.network_id).unpublish, place.endpoint_id)

    def release(self, job: Job, container: Container) -> None:
        """Give back everything, by the job ``release_interface``; the sandbox is gone."""
        self._names.end(container)
        for name, attachment in list(container.attachments.items()):
            if attachment.endpoint is not None:
                try:
                    driver = self._networks.driver_of(attachment.network_id)
                except NotFound:
                    pass  # the network was removed by force; nothing of it is left to release
                else:
                    if attachment.endpoint.joined is not None:
                        driver.leave(attachment.endpoint_id, None)
                self._release_one(job, container, name)

    def restore(self, containers: list[Container]) -> None:
        """Tell every driver which endpoints outlived the last daemon; what it has beyond them it collects."""
        endpoints: dict[str, list[EndpointState]] = {}
        for container in containers:
            for attachment in container.attachments.values():
                if attachment.endpoint is not None:
                    driver = self._networks.driver_of(attachment.network_id)
                    endpoints.setdefault(driver.name, []).append(attachment.endpoint)
        for driver in self._networks.drivers():
            driver.restore(endpoints.get(driver.name, ()))
        for container in containers:
            self._names.serve(container)

    def _release_one(self, job: Job, container: Container, network: str) -> None:
        attachment: Attachment = container.attachments[network]
        job.child("release_interface", attachment.endpoint_id, attachment.network_id).run()
        container.attach(attachment.released())


def publish(job: Job, place: Attachment, bindings: Iterable[PortBinding]) -> Attachment:
    """Publish ports at a place that has an endpoint, by the job ``allocate_port``; the place as it is then."""
    assert place.endpoint is not None
    child = job.child("allocate_port", place.endpoint_id, place.network_id)
    child.env.set_json("bindings", [_binding_to_json(binding) for binding in bindings])
    state = endpoint_from_json(json.loads(child.output()))
    return replace(place, endpoint=replace(place.endpoint, published=state.published))


def _binding_to_json(binding: PortBinding) -> dict[str, Any]:
    return {
        "ContainerPort": binding.container_port,
        "Protocol": binding.protocol,
        "HostIp": str(binding.host_address or ""),
        "HostPorts": list(binding.host_ports),
    }
