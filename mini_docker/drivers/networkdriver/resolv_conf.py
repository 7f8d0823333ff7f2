"""A container's /etc/resolv.conf: the host's, without the resolvers that only the host can reach, or as asked.

Pure text in, pure text out. Source: resolv.conf(5).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.networkdriver.contract import Address
from mini_docker.drivers.networkdriver.subnets import nameservers

HOST_RESOLV_CONF = Path("/etc/resolv.conf")
"""Where the host's own is, for those who read it."""
DEFAULT_NAMESERVERS = ("8.8.8.8", "8.8.4.4")
"""What Docker falls back on when the host's file names only resolvers on the host itself."""


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """The file's meaning.

    Attributes:
        nameservers: addresses, in the order in which to ask.
        search: domains to complete a short name with; ``("." ,)`` means none.
        options: such as ``ndots:2``.
    """

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def text(self) -> str:
        """The file."""
        lines = []
        if self.search and self.search != (".",):
            lines.append("search " + " ".join(self.search))
        lines += [f"nameserver {address}" for address in self.nameservers]
        if self.options:
            lines.append("options " + " ".join(self.options))
        return "".join(line + "\n" for line in lines)


def parse(text: str) -> ResolvConf:
    """What a host's file means. Of several ``search`` or ``domain`` lines the last counts."""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in ("search", "domain"):
            search = tuple(words[1:])
        elif words and words[0] == "options":
            options += tuple(words[1:])
    return ResolvConf(tuple(map(str, nameservers(text))), search, options)


def for_container(
    host_text: str, dns: Sequence[str] = (), search: Sequence[str] = (), options: Sequence[str] = ()
) -> ResolvConf:
    """What a container with its own network namespace gets.

    Args:
        host_text: the host's file.
        dns, search, options: what ``--dns``, ``--dns-search`` and ``--dns-opt`` asked for; each replaces the host's.
    """
    host = parse(host_text)
    # 127.0.0.53 and the like would be the container's own loopback: nobody listens there.
    reachable = tuple(str(address) for address in nameservers(host_text) if not _local(address))
    return ResolvConf(
        tuple(dns) or reachable or DEFAULT_NAMESERVERS, tuple(search) or host.search, tuple(options) or host.options
    )


def _local(address: Address) -> bool:
    # A link-local resolver needs the host's interface beside its address.
    return address.is_loopback or (address.version == 6 and address.is_link_local)
