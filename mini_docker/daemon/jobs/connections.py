"""Connections: the part of a start and of an end that has to do with networks.

`allocate` asks the classic jobs for addresses and ports, `join` puts the sandbox on its networks, and
`release` gives all back. It knows networks by name and endpoints by id; what a driver does is the
driver's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from mini_docker.daemon.container.attachment import Attachment, endpoint_from_json
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.networks import HOST, PREDEFINED, Networks, endpoint_id
from mini_docker.daemon.container.ports import port_bindings
from mini_docker.daemon.container.spec import hostname_of
from mini_docker.daemon.name_service import NameService
from mini_docker.daemon.settings import DaemonSettings
from mini_docker.drivers.execdriver.contract import Sandbox
from mini_docker.drivers.networkdriver import hosts_file, resolv_conf
from mini_docker.drivers.networkdriver.contract import EndpointState, PortBinding, SandboxSockets
from mini_docker.drivers.networkdriver.hosts_file import Entry
from mini_docker.durable import replace_file
from mini_docker.engine import Job
from mini_docker.errors import NotFound

HOST_RESOLV_CONF = Path("/etc/resolv.conf")
HOST_HOSTS = Path("/etc/hosts")
EMBEDDED_DNS = "127.0.0.11"


class Connections:
    """Connects and disconnects containers, as steps of a start or an end. Stateless but for its collaborators."""

    def __init__(self, networks: Networks, names: NameService, settings: DaemonSettings, host_name: str) -> None:
        self._networks = networks
        self._names = names
        self._settings = settings
        self._host_name = host_name

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

    def write_files(self, container: Container, linked_hosts: Sequence[Entry] = ()) -> dict[str, str]:
        """Write the container's hostname, hosts and resolv.conf.

        Args:
            linked_hosts: entries for /etc/hosts, of links.

        Returns:
            path in the container → path on the host.

        Raises:
            Invalid: an ``--add-host`` that is none.
        """
        hostname = hostname_of(container.id, container.config, container.host_config, self._host_name)
        replace_file(container.hostname_path, f"{hostname}\n".encode(), durable=False)
        replace_file(container.hosts_path, self._hosts(container, hostname, linked_hosts).encode(), durable=False)
        replace_file(container.resolv_conf_path, self._resolv_conf(container).encode(), durable=False)
        return {
            "/etc/resolv.conf": str(container.resolv_conf_path),
            "/etc/hostname": str(container.hostname_path),
            "/etc/hosts": str(container.hosts_path),
        }

    @staticmethod
    def _hosts(container: Container, hostname: str, linked: Sequence[Entry]) -> str:
        leases = [place.endpoint.lease for place in container.attachments.values() if place.endpoint]
        gateway = next((lease.gateway for lease in leases if lease.gateway), None)
        extra = hosts_file.extra_entries(container.host_config.extra_hosts, gateway)
        if HOST in container.attachments:
            # It is at the host's place, so it knows whom the host knows.
            return _read(HOST_HOSTS) + "".join(f"{address}\t{' '.join(names)}\n" for address, names in extra)
        domain = container.config.domainname
        own = [hosts_file.own_entry(lease.address.ip, hostname, domain) for lease in leases if lease.address]
        return hosts_file.text((*extra, *linked, *own))

    def _resolv_conf(self, container: Container) -> str:
        host, settings = container.host_config, self._settings
        if HOST in container.attachments and not (host.dns or host.dns_search or host.dns_options):
            return _read(HOST_RESOLV_CONF)
        conf = resolv_conf.for_container(
            _read(HOST_RESOLV_CONF),
            host.dns or settings.dns,
            host.dns_search or settings.dns_search,
            host.dns_options or settings.dns_options,
        )
        if any(name not in PREDEFINED for name in container.attachments):
            # On a network of the user's names are asked of our own server, which asks the others.
            conf = replace(conf, nameservers=(EMBEDDED_DNS,), options=(*conf.options, "ndots:0"))
        return conf.text()

    def join(self, container: Container, sandbox: Sandbox, undo: ExitStack) -> None:
        """Put the parked sandbox on its networks; interfaces are numbered in their order."""
        if sandbox.namespace < 0:
            return  # it has no network namespace of its own: nothing to join
        sockets = SandboxSockets(sandbox.namespace, sandbox.netlink)
        for index, attachment in enumerate(list(container.attachments.values())):
            assert attachment.endpoint is not None  # allocated just now
            driver = self._networks.driver_of(attachment.network_id)
            joined = driver.join(attachment.endpoint_id, sockets, f"eth{index}", default_route=index == 0)
            undo.callback(driver.leave, attachment.endpoint_id, None)
            container.attach(replace(attachment, endpoint=replace(attachment.endpoint, joined=joined)))
        undo.callback(self._names.end, container)
        self._names.serve(container)

    def publish(self, job: Job, container: Container, undo: ExitStack) -> None:
        """Publish the container's ports on its first network, by the job ``allocate_port``."""
        bindings = port_bindings(container.config, container.host_config)
        place = next((place for place in container.attachments.values() if place.endpoint), None)
        if not bindings or place is None or place.endpoint is None or place.endpoint.lease.address is None:
            return
        child = job.child("allocate_port", place.endpoint_id, place.network_id)
        child.env.set_json("bindings", [_binding_to_json(binding) for binding in bindings])
        state = endpoint_from_json(json.loads(child.output()))
        undo.callback(self._networks.driver_of(place.network_id).unpublish, place.endpoint_id)
        container.attach(replace(place, endpoint=replace(place.endpoint, published=state.published)))

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


def _binding_to_json(binding: PortBinding) -> dict[str, Any]:
    return {
        "ContainerPort": binding.container_port,
        "Protocol": binding.protocol,
        "HostIp": str(binding.host_address or ""),
        "HostPorts": list(binding.host_ports),
    }


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
