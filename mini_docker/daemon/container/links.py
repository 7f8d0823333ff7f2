"""Links: what one container is told of another on the default bridge: variables, and a line in /etc/hosts. Pure.

Source: classic Docker's ``links/links.go``.
"""

from __future__ import annotations

from collections.abc import Iterable

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.networkdriver.hosts_file import Entry
from mini_docker.errors import Invalid

_NOT_TOLD = ("HOME", "PATH", "HOSTNAME")


@dataclass(frozen=True, slots=True)
class Link:
    """One link.

    Attributes:
        parent, child: names of the container that is told, and of the one it is told of.
        alias: what the parent calls the child.
        address: the child's.
        ports: the child's exposed ports.
        env: the child's variables.
        other_names: further names for /etc/hosts: the child's own host name and name.
    """

    parent: str
    child: str
    alias: str
    address: str
    ports: tuple[tuple[int, str], ...] = ()
    env: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()

    def to_env(self) -> list[str]:
        """``DB_PORT_5432_TCP_ADDR=…`` and its kin."""
        prefix = self.alias.replace("-", "_").upper()
        words = [f"{prefix}_NAME=/{self.parent}/{self.alias}"]
        ports = sorted(self.ports, key=lambda port: (port[1] != "tcp", port[0]))
        if ports:
            number, protocol = ports[0]
            words.insert(0, f"{prefix}_PORT={protocol}://{self.address}:{number}")
        for number, protocol in ports:
            name = f"{prefix}_PORT_{number}_{protocol.upper()}"
            words += [
                f"{name}={protocol}://{self.address}:{number}",
                f"{name}_ADDR={self.address}",
                f"{name}_PORT={number}",
                f"{name}_PROTO={protocol}",
            ]
        told = (word for word in self.env if word.partition("=")[0] not in _NOT_TOLD and "=" in word)
        return words + [f"{prefix}_ENV_{word}" for word in told]

    def to_hosts_entry(self) -> Entry:
        """The child's address with all its names, each once."""
        return self.address, tuple(dict.fromkeys((self.alias, *self.other_names)))


@dataclass(frozen=True, slots=True)
class Linked:
    """All links of a container, added up."""

    env: tuple[str, ...] = ()
    hosts: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, links: Iterable[Link]) -> Linked:
        """What these links tell."""
        links = list(links)
        env = tuple(word for link in links for word in link.to_env())
        return cls(env, tuple(link.to_hosts_entry() for link in links))


def parse_link(word: str) -> tuple[str, str]:
    """``other:alias``, or ``other`` alone, as (name of the other, alias).

    Raises:
        Invalid: anything else.
    """
    parts = word.split(":")
    # A stored link is written /other:/container/alias.
    other, alias = parts[0].lstrip("/"), parts[-1].rpartition("/")[2]
    if len(parts) > 2 or not other or not alias:
        raise Invalid(f"bad format for links: {word}")
    return other, alias
