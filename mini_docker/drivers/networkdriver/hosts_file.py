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


def own_entry(address: Address, hostname: str, domainname: str = "") -> Entry:
    """A container's line for itself: ``web.example.org web``, or ``web``."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    return str(address), (full, hostname) if full != hostname else (hostname,)


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
