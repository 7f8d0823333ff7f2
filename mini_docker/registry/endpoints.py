"""Endpoints: the doors at which a registry can be reached, in the order in which to knock.

Docker Hub's images may be fetched from mirrors first; a registry marked insecure may be spoken
to without verified TLS, and without TLS at all. The plan is pure data but for one question to
the resolver: is that host on an insecure network?

It knows no HTTP. Source: classic Docker's ``registry/service_v2.go`` (order), ``registry/config.go`` (insecure
registries), and "Verify repository client with certificates" (``certs.d``).
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mini_docker.dataclasses import dataclass, field
from mini_docker.errors import Invalid
from mini_docker.registry.reference import DEFAULT_DOMAIN, LEGACY_DEFAULT_DOMAIN

DOCKER_HUB = "https://registry-1.docker.io"
DOCKER_HUB_INDEX = "https://index.docker.io"
"""Docker Hub's first API lives on there for search alone."""
DEFAULT_CERTS_FOLDER = Path("/etc/docker/certs.d")

if TYPE_CHECKING:
    import ssl

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str], Iterable[str]]
CertsVersion = tuple[tuple[str, int, int], ...]
"""Name, size and time of each file."""

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
"""Insecure without being told so: who can listen on this machine's loopback is trusted anyway."""


def resolve(host: str) -> list[str]:
    """The addresses of *host*; none when it has no name here."""
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a registry, and how far to trust it.

    Attributes:
        url: scheme and host, without a slash at the end.
        mirror: whether it only copies for someone else; then any failure leads on to the next endpoint.
        verify: whether its certificate must be good.
        certs: the folder with the authorities and client certificates for this host; it may be missing.
    """

    url: str
    mirror: bool = False
    verify: bool = True
    certs: Path | None = None

    def tls(self) -> ssl.SSLContext:
        """What to check of the server, and what to show it.

        Raises:
            Invalid: the ``certs`` folder is broken; the message names the file.
        """
        import ssl

        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for file in sorted(self.certs.iterdir()) if self.certs and self.certs.is_dir() else ():
            try:
                if file.suffix == ".crt":
                    context.load_verify_locations(file)
                elif file.suffix == ".cert":
                    key = file.with_suffix(".key")
                    if not key.exists():
                        raise Invalid(
                            f"missing key {key.name} for client certificate {file.name}. "
                            "Note that CA certificates should use the extension .crt"
                        )
                    context.load_cert_chain(file, key)
                elif file.suffix == ".key" and not file.with_suffix(".cert").exists():
                    raise Invalid(f"missing client certificate {file.with_suffix('.cert').name} for key {file.name}")
            except (OSError, ssl.SSLError) as error:
                raise Invalid(f"cannot use {file}: {error}") from error
        return context

    def certs_version(self) -> CertsVersion:
        """What tells one state of the ``certs`` folder from the next, for it counts at once, without a restart."""
        if self.url.startswith("http:") or self.certs is None:
            return ()
        try:
            files = sorted(os.scandir(self.certs), key=lambda file: file.name)
            return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
        except OSError:
            return ()


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """What the daemon's flags say of registries.

    Attributes:
        insecure: ``--insecure-registry``: hosts (``host``, ``host:port``) and networks (``10.0.0.0/8``).
        mirrors: ``--registry-mirror``: URLs tried first for Docker Hub's images.
        certs_folder: holds a folder ``<host>[:<port>]`` for each registry with certificates of its own.
        hub, hub_index: where Docker Hub is, and its search. (Tests put their own there.)
    """

    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    certs_folder: Path = DEFAULT_CERTS_FOLDER
    hub: str = DOCKER_HUB
    hub_index: str = DOCKER_HUB_INDEX
    resolve: Resolve = field(default=resolve, repr=False)

    def __post_init__(self) -> None:
        for mirror in self.mirrors:
            check_mirror(mirror)

    def is_insecure(self, host: str) -> bool:
        """Whether *host* (``name[:port]``) may be spoken to without proof that it is who it says."""
        networks = [*LOOPBACK, *(_network(word) for word in self.insecure)]
        if host in self.insecure:
            return True
        name = urlsplit(f"//{host}").hostname or ""
        for address in self.resolve(name):
            ip = ipaddress.ip_address(address.partition("%")[0])
            if any(network is not None and ip in network for network in networks):
                return True
        return False

    def for_pull(self, domain: str) -> tuple[Endpoint, ...]:
        """The endpoints to try, in order, to read from the registry *domain* of a reference."""
        mirrors = self.mirrors if domain == DEFAULT_DOMAIN else ()
        plan = [endpoint for url in mirrors for endpoint in self._endpoints(url.rstrip("/"), mirror=True)]
        return (*plan, *self.for_push(domain))

    def for_push(self, domain: str) -> tuple[Endpoint, ...]:
        """The endpoints to try, in order, to write to the registry *domain*: never a mirror."""
        return self._endpoints(self.hub if domain == DEFAULT_DOMAIN else f"https://{domain}", mirror=False)

    def for_search(self, domain: str) -> tuple[Endpoint, ...]:
        """The endpoints to try, in order, to search the registry *domain*."""
        return self._endpoints(self.hub_index, mirror=False) if domain == DEFAULT_DOMAIN else self.for_push(domain)

    def _endpoints(self, url: str, mirror: bool) -> tuple[Endpoint, ...]:
        host = urlsplit(url).netloc
        insecure = self.is_insecure(host)
        certs = self.certs_folder / host
        if url.startswith("http://"):
            return (Endpoint(url, mirror, verify=False, certs=certs),)
        first = Endpoint(url, mirror, verify=not insecure, certs=certs)
        # Even an insecure registry is asked by TLS first: it may have a certificate nobody signed.
        return (first, Endpoint(f"http://{host}", mirror, verify=False, certs=certs)) if insecure else (first,)


def domain_of(server_address: str) -> str:
    """The registry that ``docker login ADDRESS`` means: a URL or a bare host; empty is Docker Hub."""
    host = urlsplit(server_address if "://" in server_address else f"//{server_address}").netloc
    return DEFAULT_DOMAIN if host in ("", LEGACY_DEFAULT_DOMAIN, DEFAULT_DOMAIN) else host


def check_mirror(url: str) -> None:
    """Accept a ``--registry-mirror`` or say what is wrong with it.

    Raises:
        Invalid: in Docker's words.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise Invalid(f'invalid mirror: unsupported scheme "{parts.scheme}" in "{url}"')
    if parts.path.strip("/") or parts.query or parts.fragment or not parts.hostname:
        raise Invalid(f'invalid mirror: path, query, or fragment at end of the URI "{url}"')
    if parts.username is not None:
        raise Invalid(f'invalid mirror: username/password not allowed in URI "{url}"')


def _network(word: str) -> Network | None:
    try:
        return ipaddress.ip_network(word)
    except ValueError:
        return None
