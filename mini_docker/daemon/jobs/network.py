"""The classic jobs of the network driver: leasing addresses, publishing ports, linking.

Thin: each turns its arguments and environment into one call of a driver, and writes JSON. An endpoint's
id is the first argument, its network's id the second.

Classic Docker's ``daemon/networkdriver/bridge/driver.go`` (InitDriver to LinkContainers).
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from mini_docker.daemon.container.attachment import endpoint_to_json
from mini_docker.daemon.container.networks import Networks
from mini_docker.daemon.container.port_words import parse_port
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.daemon.network_table import NetworkTable
from mini_docker.dataclasses import dataclass
from mini_docker.drivers.networkdriver.contract import (
    Address,
    EndpointState,
    NetworkConfig,
    NetworkDriver,
    PortBinding,
    PortTaken,
)
from mini_docker.engine import Job
from mini_docker.errors import Invalid


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """Which endpoint on which network."""

    endpoint: str
    network: str

    @classmethod
    def decode(cls, job: Job) -> EndpointRequest:
        """Read the job's arguments.

        Raises:
            Invalid: one is missing.
        """
        return cls(argument(job, 0, "an endpoint"), argument(job, 1, "a network"))


class InitNetworkdriver:
    """``init_networkdriver``: make every network real; writes the default one.

    Args:
        default_network: the config of the network ``bridge``, by its id, as the daemon's flags have it.
    """

    def __init__(self, networks: NetworkTable, default_network: Callable[[str], NetworkConfig]) -> None:
        self._networks = networks
        self._default_network = default_network

    def __call__(self, job: Job) -> None:
        answer(job, self._networks.load(self._default_network).to_json())


class _EndpointJob:
    """What the jobs about one endpoint have in common: the way from a network's id to its driver."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    def _driver(self, request: EndpointRequest) -> NetworkDriver:
        return self._networks.driver_of(request.network)


class AllocateInterface(_EndpointJob):
    """``allocate_interface ENDPOINT NETWORK``: lease an address. Env: address, mac_address (wishes; empty for none).

    Writes the endpoint, and beside it the words of the classic job: IP, IPPrefixLen, Gateway, MacAddress.
    """

    def __call__(self, job: Job) -> None:
        request = EndpointRequest.decode(job)
        wish = _address(job.env.get("address", ""))
        lease = self._driver(request).lease(
            request.network, request.endpoint, wish, job.env.get("mac_address", "")
        )  # fmt: skip
        classic = {
            "IP": str(lease.address.ip) if lease.address else "",
            "IPPrefixLen": lease.address.network.prefixlen if lease.address else 0,
            "Gateway": str(lease.gateway or ""),
            "MacAddress": lease.mac_address,
        }
        answer(job, endpoint_to_json(EndpointState(lease)) | classic)


class ReleaseInterface(_EndpointJob):
    """``release_interface ENDPOINT NETWORK``: give address and ports back."""

    def __call__(self, job: Job) -> None:
        request = EndpointRequest.decode(job)
        self._driver(request).release(request.endpoint)


class AllocatePort(_EndpointJob):
    """``allocate_port ENDPOINT NETWORK``: publish ports, all or none; writes the endpoint.

    A driver knows endpoints only: whose container has a port that is taken, is found out here.

    Env: bindings, a JSON list of {ContainerPort, Protocol, HostIp, HostPorts: [first, last]}.
    """

    def __init__(self, networks: Networks, containers: ContainerStore) -> None:
        super().__init__(networks)
        self._containers = containers

    def __call__(self, job: Job) -> None:
        request = EndpointRequest.decode(job)
        bindings = tuple(_binding(item) for item in job.env.get_json("bindings", []))
        driver = self._driver(request)
        try:
            driver.publish(request.endpoint, bindings)
        except PortTaken as error:
            raise error.told(holder=self._name(error.endpoint)) from None
        answer(job, endpoint_to_json(driver.endpoint(request.endpoint)))

    def _name(self, endpoint: str) -> str:
        """Who has an endpoint, as a user knows it; empty if nobody is found."""
        for container in self._containers.all():
            if endpoint and any(place.endpoint_id == endpoint for place in container.attachments.values()):
                return f"container {container.name}"
        return ""


class Link:
    """``link ENDPOINT TARGET``: let the one reach ports of the other although their network has icc off.

    Env: action (add or delete), ports (a list of ``80/tcp``).
    """

    def __init__(self, driver: NetworkDriver) -> None:
        self._driver = driver

    def __call__(self, job: Job) -> None:
        endpoint, target = argument(job, 0, "an endpoint"), argument(job, 1, "the endpoint to link to")
        words = (parse_port(word) for word in job.env.get_list("ports"))
        ports = [(protocol, number) for pairs in words for number, protocol in pairs]
        action = job.env.get("action", "add")
        if action not in ("add", "delete"):
            raise Invalid(f"link: the action is add or delete, not {action!r}")
        change = self._driver.link if action == "add" else self._driver.unlink
        change(endpoint, target, ports)


def _address(text: str) -> Address | None:
    if not text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        raise Invalid(f"invalid IP address: {text!r}") from None


def _binding(item: Any) -> PortBinding:
    try:
        first, last = item.get("HostPorts", (0, 0))
        return PortBinding(
            int(item["ContainerPort"]), str(item["Protocol"]), _address(item["HostIp"]), (int(first), int(last))
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Invalid(f"bad port binding {item!r}: {error!r}") from None
