"""A netlink door that only writes down, on a small model of one host's links: for tests without root."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from mini_docker import dataclasses
from mini_docker.linux.netlink import NetlinkError
from mini_docker.linux.netlink_requests import (
    AddAddress,
    CreateBridge,
    CreateVeth,
    DeleteAddress,
    DeleteLink,
    Link,
    LinkAddress,
    Request,
    Route,
    SetLink,
)


class RecordingNetlink:
    """Stands in the door of `Netlink`; links and addresses of the own namespace come and go as ordered.

    Attributes:
        applied: every order so far, with the namespace socket that it went to (None: the own).

    Args:
        routes: what `routes` answers.
        failures: errno by class name of an order: that order raises `NetlinkError`.
    """

    def __init__(self, routes: tuple[Route, ...] = (), failures: dict[str, int] | None = None) -> None:
        self.applied: list[tuple[int | None, Request]] = []
        self.failures = failures or {}
        self._routes = routes
        self._links: dict[str, Link] = {}
        self._addresses: list[LinkAddress] = []

    def apply(self, requests: Sequence[Request], namespace_socket: int | None = None) -> None:
        for request in requests:
            self.applied.append((namespace_socket, request))
            if type(request).__name__ in self.failures:
                raise NetlinkError(request, self.failures[type(request).__name__])
            if namespace_socket is None:
                self._model(request)

    def link(self, name: str, namespace_socket: int | None = None) -> Link | None:
        return self._links.get(name)

    def links(self, namespace_socket: int | None = None) -> tuple[Link, ...]:
        return tuple(self._links.values())

    def addresses(self, namespace_socket: int | None = None) -> tuple[LinkAddress, ...]:
        return tuple(self._addresses)

    def routes(self, namespace_socket: int | None = None) -> tuple[Route, ...]:
        return self._routes

    def _model(self, request: Request) -> None:
        match request:
            case CreateBridge(name, mac_address, mtu):
                self._add(request, Link(self._next_index(), name, "bridge", mac_address, mtu))
            case CreateVeth(name=name, master=master):
                self._add(request, Link(self._next_index(), name, "veth", master=self._links[master].index))
            case SetLink(name=name, alias=str(alias)):
                self._links[name] = dataclasses.replace(self._links[name], alias=alias)
            case DeleteLink(name):
                if name not in self._links:
                    raise NetlinkError(request, errno.ENODEV)
                index = self._links.pop(name).index
                self._addresses = [address for address in self._addresses if address.link != index]
            case AddAddress(link, address):
                self._addresses.append(LinkAddress(self._links[link].index, address))
            case DeleteAddress(link, address):
                self._addresses.remove(LinkAddress(self._links[link].index, address))

    def _add(self, request: Request, link: Link) -> None:
        if link.name in self._links:
            raise NetlinkError(request, errno.EEXIST)
        self._links[link.name] = link

    def _next_index(self) -> int:
        return max((link.index for link in self._links.values()), default=1) + 1
