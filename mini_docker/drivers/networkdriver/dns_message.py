"""DNS messages: what is asked, and what can be answered from what a container may know of its neighbours. Pure.

Source: RFC 1035 (messages), RFC 2308 (no data is not "no such name"), RFC 6891 (EDNS: large datagrams).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

from dnslib import AAAA, CLASS, PTR, QTYPE, RR, A, DNSError, DNSRecord

from mini_docker.drivers.networkdriver.contract import Address

TTL_SECONDS = 600


class Names(Protocol):
    """What one container may know of its neighbours."""

    def addresses(self, name: str) -> Sequence[Address] | None:
        """Those of the neighbour *name* (lower case, no dot at the end); None when nobody is called so."""

    def names(self, address: Address) -> Sequence[str]:
        """What the neighbour at *address* is called; empty when nobody is there."""


def parse_question(message: bytes) -> DNSRecord | None:
    """A question; None for what is none, which gets no answer."""
    try:
        question = DNSRecord.parse(message)
    except (DNSError, ValueError, UnicodeError):
        return None
    return question if not question.header.qr and question.questions else None


def answer_locally(question: DNSRecord, names: Names) -> DNSRecord | None:
    """The answer to a question about neighbours; None when it has to be asked outside.

    Pure. A neighbour without an address of the wanted kind gives an empty answer: "no such name" would
    make resolvers give up on the kind that it has.
    """
    if len(question.questions) != 1 or question.q.qclass != CLASS.IN:
        return None
    name = str(question.q.qname).rstrip(".").lower()
    kind = question.q.qtype
    reply: DNSRecord = question.reply(aa=0, ra=1)
    if kind == QTYPE.PTR:
        address = address_of_reverse_name(name)
        found = names.names(address) if address is not None else ()
        for neighbour in found:
            reply.add_answer(RR(question.q.qname, QTYPE.PTR, ttl=TTL_SECONDS, rdata=PTR(neighbour)))
        return reply if found else None
    addresses = names.addresses(name)
    if addresses is None:
        return None
    for version, wanted, data in ((4, QTYPE.A, A), (6, QTYPE.AAAA, AAAA)):
        for each in addresses:
            if each.version == version and kind in (wanted, QTYPE.ANY):
                reply.add_answer(RR(question.q.qname, wanted, ttl=TTL_SECONDS, rdata=data(str(each))))
    return reply


def address_of_reverse_name(name: str) -> Address | None:
    """The address in ``2.0.17.172.in-addr.arpa`` or its kin of IPv6; None when there is none in it."""
    try:
        if name.endswith(".in-addr.arpa"):
            return ip_address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
        if name.endswith(".ip6.arpa"):
            digits = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
            return ip_address(bytes.fromhex(digits)) if len(digits) == 32 else None
    except ValueError:
        pass  # not such a name, then
    return None


def failure(question: DNSRecord, code: int) -> bytes:
    """An answer that says why there is none."""
    reply = question.reply(aa=0, ra=1)
    reply.header.rcode = code
    return bytes(reply.pack())


def for_datagram(reply: DNSRecord, question: DNSRecord) -> bytes:
    """The answer as it fits a datagram; one that does not is cut, and the asker comes again by TCP."""
    limit = max((extra.rclass for extra in question.ar if extra.rtype == QTYPE.OPT), default=512)
    packed = bytes(reply.pack())
    return packed if len(packed) <= max(limit, 512) else bytes(reply.truncate().pack())
