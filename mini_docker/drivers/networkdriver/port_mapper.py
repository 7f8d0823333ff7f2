"""The port mapper: turns wishes for ports into ports that are promised, held, and served where rules do not.

It joins the allocator (our own promises), the holder (other programs) and the userland proxies. Rules are
the driver's affair.

Source: classic Docker's ``daemon/networkdriver/portmapper``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address

from mini_docker.drivers.networkdriver.contract import Address, PortBinding, PortTaken, PublishedPort
from mini_docker.drivers.networkdriver.port_allocator import (
    FIRST_DYNAMIC_PORT,
    LAST_DYNAMIC_PORT,
    HostPort,
    PortAllocator,
)
from mini_docker.drivers.networkdriver.port_holder import PortHolder
from mini_docker.drivers.networkdriver.userland_proxies import UserlandProxies
from mini_docker.errors import Conflict, Invalid, Unavailable

ALL_ADDRESSES = IPv4Address(0)

log = logging.getLogger(__name__)


class PortMapper:
    """Which endpoint has which ports of the host.

    *Guarded by the lock*: both books.

    Args:
        proxies: who serves ports; None where rules lead every port.
        needs_proxy: whether rules do not lead this one.
        holder: who sits on the ports.
    """

    def __init__(
        self,
        proxies: UserlandProxies | None = None,
        needs_proxy: Callable[[PublishedPort], bool] = lambda port: False,
        holder: PortHolder | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._proxies = proxies
        self._needs_proxy = needs_proxy
        self._allocator = PortAllocator()
        self._holder = holder or PortHolder()

    def map(
        self,
        endpoint: str,
        bindings: Sequence[PortBinding],
        default_address: Address | None,
        container: Address,
        cable: str,
    ) -> tuple[PublishedPort, ...]:
        """Grant all the wishes, or none.

        Args:
            default_address: where a port is bound when the wish names no address; None for all of the host's.
            container: where the endpoint is.
            cable: the network interface that leads there.

        Raises:
            PortTaken: a port is in use, by us or another program.
            Conflict: a range has no free port.
            Invalid: a wish that makes no sense, or an address that the host does not have.
            Unavailable: a proxy cannot be started.
        """
        granted: list[PublishedPort] = []
        with self._lock:
            try:
                for binding in bindings:
                    address = binding.host_address or default_address or ALL_ADDRESSES
                    port = self._grant(endpoint, binding, address)
                    granted.append(PublishedPort(binding.container_port, binding.protocol, address, port.port))
                    self._serve(granted[-1], container, cable)
            except Exception:
                self._unmap(granted)
                raise
        return tuple(granted)

    def unmap(self, ports: Sequence[PublishedPort]) -> None:
        """Take ports back; those that nobody has are no error."""
        with self._lock:
            self._unmap(ports)

    def collect(self, keep: Iterable[PublishedPort]) -> None:
        """End proxies of ports that are published no more, or need none now. Before `restore`, which takes ports."""
        if self._proxies is not None:
            self._proxies.collect([port for port in keep if self._needs_proxy(port)])

    def restore(self, endpoint: str, ports: Sequence[PublishedPort], container: Address, cable: str) -> None:
        """Know again what was granted before a restart. The rules work on, so what cannot be held is only told."""
        with self._lock:
            for port in ports:
                try:
                    if self._proxies is not None and self._needs_proxy(port) and self._proxies.runs(port):
                        self._allocator.allocate(_host_port(port), endpoint)  # the proxy holds it
                    else:
                        self._take(_host_port(port), endpoint)
                        self._serve(port, container, cable)
                except (PortTaken, Invalid, Unavailable) as error:
                    log.warning("published port of endpoint %s: %s", endpoint, error)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            for port in self._allocator.snapshot():
                self._give_back(port)

    def _grant(self, endpoint: str, binding: PortBinding, address: Address) -> HostPort:
        if not 0 < binding.container_port < 65536:
            raise Invalid(f"invalid container port: {binding.container_port}")
        first, last = binding.host_ports
        if (first, last) == (0, 0):
            first, last = FIRST_DYNAMIC_PORT, LAST_DYNAMIC_PORT
        if not 0 < first <= last < 65536:
            raise Invalid(f"invalid range of host ports: {first}-{last}")
        if first == last:
            port = HostPort(address, first, binding.protocol)
            self._take(port, endpoint)
            return port
        for port in self._allocator.candidates(address, binding.protocol, first, last):
            try:
                self._take(port, endpoint)
            except PortTaken:
                continue  # another program has it: the next
            return port
        raise Conflict(f"all ports are allocated: none of {first}-{last}/{binding.protocol} is free on {address}")

    def _take(self, port: HostPort, endpoint: str) -> None:
        self._allocator.allocate(port, endpoint)
        try:
            self._holder.hold(port)
        except Exception:
            self._allocator.release(port)
            raise

    def _serve(self, port: PublishedPort, container: Address, cable: str) -> None:
        if self._proxies is not None and self._needs_proxy(port):
            self._proxies.start(port, self._holder.hand_over(_host_port(port)), container, cable)

    def _give_back(self, port: HostPort) -> None:
        self._holder.let_go(port)
        self._allocator.release(port)

    def _unmap(self, ports: Sequence[PublishedPort]) -> None:
        for port in ports:
            if self._proxies is not None and self._needs_proxy(port):
                self._proxies.end(port)
            self._give_back(_host_port(port))


def _host_port(port: PublishedPort) -> HostPort:
    return HostPort(port.host_address, port.host_port, port.protocol)
