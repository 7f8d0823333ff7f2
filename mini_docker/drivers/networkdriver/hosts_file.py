"""A container's /etc/hosts: itself, its links and what ``--add-host`` adds. Pure text. Source: hosts(5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from mini_docker.drivers.networkdriver.contract import Address
from mini_docker.errors import Invalid

Entry = tuple[str, tuple[str, ...]]
"""An address, and the names that mean it."""

STANDARD_ENTRIES: tuple[Entry, ...] = (
    ("127.0.0.1", ("localhost",)),
    ("::1", ("localhost", "ip6-localhost", "ip6-loopback")),
    ("fe00::0", ("ip6-localnet",)),
    ("ff00::0", ("ip6-mcastprefix",)),
    ("ff02::1", ("ip6-allnodes",)),
    ("ff02::2", ("ip6-allrouters",)),
)
"""What Docker writes into every container's file."""


def text(entries: Iterable[Entry]) -> str:
    """The file: the standard entries, then these."""
    return "".join(f"{address}\t{' '.join(names)}\n" for address, names in (*STANDARD_ENTRIES, *entries))


def own_names(hostname: str, domainname: str = "") -> tuple[str, ...]:
    """What a container calls itself: ``web.example.org web``, or ``web``."""
    return (f"{hostname}.{domainname}", hostname) if domainname else (hostname,)


def own_entry(address: Address, hostname: str, domainname: str = "") -> Entry:
    """A container's line for itself."""
    return str(address), own_names(hostname, domainname)


def with_own(file: str, names: Sequence[str], entries: Iterable[Entry]) -> str:
    """The file with these entries in place of all that have exactly these names; every other line stays as it is."""
    lines = [line for line in file.splitlines() if line.split()[1:] != list(names)]
    lines += [f"{address}\t{' '.join(own)}" for address, own in entries]
    return "".join(line + "\n" for line in lines)


def extra_entries(words: Sequence[str], host_gateway: Address | None = None) -> tuple[Entry, ...]:
    """What ``--add-host name:address`` asks for; ``host-gateway`` stands for the host.

    Args:
        words: as the user wrote them.
        host_gateway: the bridge's address, or None where there is none.

    Raises:
        Invalid: not a name, a colon (or ``=``) and an address.
    """
    return tuple(_extra_entry(word, host_gateway) for word in words)


def _extra_entry(word: str, host_gateway: Address | None) -> Entry:
    name, colon, address = word.partition(":")
    if not colon or "=" in name:
        name, colon, address = word.partition("=")
    address = address.strip("[]")
    if not name or not colon:
        raise Invalid(f"bad format for add-host: {word!r}: it is name:address")
    if address == "host-gateway":
        if host_gateway is None:
            raise Invalid(f"bad format for add-host: {word!r}: this network has no gateway to the host")
        return str(host_gateway), (name,)
    try:
        return str(ip_address(address)), (name,)
    except ValueError:
        raise Invalid(f"invalid IP address in add-host: {address!r}") from None
