"""Live connections: a running container is put on one more network, or taken off one, as a plug in a wall.

The steps are those of a start (`Connections`) for one network alone, and undone in reverse when one fails.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from mini_docker.daemon.container.attachment import Attachment, endpoint_from_json
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.networks import Networks, endpoint_id
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.drivers.networkdriver.contract import SandboxSockets
from mini_docker.engine import Job
from mini_docker.errors import Conflict


class LiveConnections:
    """Plugs and unplugs running containers, whose lock the caller holds. Stateless but for its collaborators."""

    def __init__(self, networks: Networks, exec_driver: ExecDriver) -> None:
        self._networks = networks
        self._exec_driver = exec_driver

    def plug(self, job: Job, container: Container, place: Attachment) -> Attachment:
        """Lease an address by the job ``allocate_interface`` and join; the place with what it holds.

        Raises:
            Conflict: the container has no network namespace of its own.
        """
        driver = self._networks.driver_of(place.network_id)
        endpoint = endpoint_id(place.network_id, container.id)
        with ExitStack() as undo, self._sockets(container) as sockets:
            child = job.child("allocate_interface", endpoint, place.network_id)
            child.env["address"] = place.wish.ipam_config.ipv4_address if place.wish.ipam_config else ""
            child.env["mac_address"] = place.wish.mac_address
            state = endpoint_from_json(json.loads(child.output()))
            undo.callback(job.child("release_interface", endpoint, place.network_id).run)
            has_way_out = any(each.endpoint and each.endpoint.lease.gateway for each in container.attachments.values())
            joined = driver.join(endpoint, sockets, _free_interface(container), default_route=not has_way_out)
            undo.pop_all()
        return replace(place, endpoint=replace(state, joined=joined))

    def unplug(self, job: Job, container: Container, place: Attachment) -> None:
        """Leave, and give the address back by the job ``release_interface``."""
        with self._sockets(container) as sockets:
            self._networks.driver_of(place.network_id).leave(place.endpoint_id, sockets)
        job.child("release_interface", place.endpoint_id, place.network_id).run()

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


def _free_interface(container: Container) -> str:
    """The first of eth0, eth1, … that no place of the container has."""
    used = {place.endpoint.joined.interface for place in container.attachments.values()
            if place.endpoint and place.endpoint.joined}  # fmt: skip
    return next(name for number in range(len(used) + 1) if (name := f"eth{number}") not in used)
