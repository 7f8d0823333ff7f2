"""The language of rtnetlink(7): orders to bytes, bytes to facts.

A message is a header, a fixed structure and a tail of attributes, each a length, a kind and a
value that may hold attributes itself: a tree in a row of bytes, everything padded to four. No
I/O here: netlink.py sends and receives.

Source: netlink(7), rtnetlink(7); linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/veth.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid
from mini_docker.linux.netlink_requests import (
    AddAddress,
    AddRoute,
    CreateBridge,
    CreateVeth,
    DeleteAddress,
    DeleteLink,
    IPAddress,
    IPNetwork,
    Link,
    LinkAddress,
    Request,
    Route,
    SetLink,
)

# linux/netlink.h: the header's types and flags
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSGERR_ATTR_MSG = 1

# linux/rtnetlink.h: what a message is about
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST = 254, 3, 0, 1
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15

# linux/if_link.h, linux/if_addr.h, linux/veth.h
IFF_UP = 1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 20, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED, VETH_INFO_PEER = 4, 33, 1
IFLA_AF_SPEC, IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_MODE_EUI64, ADDR_GEN_MODE_NONE = 26, 8, 0, 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4

NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_IFINFO = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_IFADDR = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct(
    "=BBBBBBBBI"
)  # struct rtmsg: family, dst and src length, tos, table, protocol, scope, type, flags

IndexOf = Callable[[str], int]
"""The number of a link, by its name."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message from the kernel, cut from the row of bytes that it came in."""

    type: int
    flags: int
    sequence: int
    body: bytes


def encode(request: Request, sequence: int, index_of: IndexOf) -> bytes:
    """The message for one order; its answer will be one acknowledgement with the same *sequence*.

    Raises:
        Invalid: a link's name that cannot be.
    """
    acknowledged = NLM_F_REQUEST | NLM_F_ACK
    new = acknowledged | NLM_F_CREATE | NLM_F_EXCL
    match request:
        case CreateBridge():
            body = _ifinfo() + _link_attributes(request.name, request.mac_address, request.mtu)
            body += _nested(IFLA_LINKINFO, _text(IFLA_INFO_KIND, "bridge"))
            return message(RTM_NEWLINK, new, sequence, body)
        case CreateVeth():
            peer = _ifinfo() + _link_attributes(request.peer, request.mac_address, request.mtu)
            peer += _number(IFLA_NET_NS_FD, request.peer_namespace)
            kind = _text(IFLA_INFO_KIND, "veth") + _nested(IFLA_INFO_DATA, _nested(VETH_INFO_PEER, peer))
            body = _ifinfo(up=True) + _link_attributes(request.name, "", request.mtu)
            if request.master:
                body += _number(IFLA_MASTER, index_of(request.master))
            return message(RTM_NEWLINK, new, sequence, body + _nested(IFLA_LINKINFO, kind))
        case SetLink():
            body = _ifinfo(up=request.up) + _link_attributes(request.name, "", request.mtu or 0)
            if request.alias is not None:
                body += _attribute(IFLA_IFALIAS, request.alias.encode())
            port = b""
            if request.hairpin is not None:
                port += _attribute(IFLA_BRPORT_MODE, bytes([request.hairpin]))
            if request.isolated is not None:
                port += _attribute(IFLA_BRPORT_ISOLATED, bytes([request.isolated]))
            if port:
                kind = _text(IFLA_INFO_SLAVE_KIND, "bridge")
                body += _nested(IFLA_LINKINFO, kind + _nested(IFLA_INFO_SLAVE_DATA, port))
            if request.link_local is not None:
                mode = ADDR_GEN_MODE_EUI64 if request.link_local else ADDR_GEN_MODE_NONE
                ipv6 = _nested(socket.AF_INET6, _attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([mode])))
                body += _nested(IFLA_AF_SPEC, ipv6)
            return message(RTM_NEWLINK, acknowledged, sequence, body)
        case DeleteLink():
            return message(RTM_DELLINK, acknowledged, sequence, _ifinfo() + _text(IFLA_IFNAME, request.name))
        case AddAddress() | DeleteAddress():
            kind_and_flags = (RTM_NEWADDR, new) if isinstance(request, AddAddress) else (RTM_DELADDR, acknowledged)
            return message(*kind_and_flags, sequence, _address(request.address, index_of(request.link)))
        case AddRoute():
            family = _family(request.gateway)
            length = request.destination.prefixlen if request.destination else 0
            body = _ROUTE.pack(
                family, length, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0
            )  # fmt: skip
            if request.destination:
                body += _attribute(RTA_DST, request.destination.network_address.packed)
            body += _attribute(RTA_GATEWAY, request.gateway.packed) + _number(RTA_OIF, index_of(request.link))
            put = acknowledged | NLM_F_CREATE | NLM_F_REPLACE if request.replace else new
            return message(RTM_NEWROUTE, put, sequence, body)


def encode_get_link(name: str, sequence: int) -> bytes:
    """The question for one link by name; the answer is a description of it, or an error."""
    return message(RTM_GETLINK, NLM_F_REQUEST, sequence, _ifinfo() + _text(IFLA_IFNAME, name))


def encode_dump(type: int, sequence: int) -> bytes:
    """The question for all links, addresses or routes (RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE)."""
    body = {RTM_GETLINK: _IFINFO.size, RTM_GETADDR: _IFADDR.size, RTM_GETROUTE: _ROUTE.size}[type]
    return message(type, NLM_F_REQUEST | NLM_F_DUMP, sequence, bytes(body))


def message(type: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A header before a body. The port stays 0: the kernel fills it in."""
    return _HEADER.pack(_HEADER.size + len(body), type, flags, sequence, 0) + body


def split_messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram.

    Raises:
        ValueError: a length that cannot be.
    """
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, type, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if not _HEADER.size <= length <= len(data) - offset:
            raise ValueError(f"netlink message of {length} bytes in {len(data) - offset}")
        yield Message(type, flags, sequence, data[offset + _HEADER.size : offset + length])
        offset += _aligned(length)


def decode_error(answer: Message) -> tuple[int, str]:
    """The errno of an acknowledgement (0 is success), and the kernel's own words on it, if it gave any."""
    (negative,) = struct.unpack_from("=i", answer.body)
    if not negative or not answer.flags & NLM_F_ACK_TLVS:
        return -negative, ""
    # The request comes back between errno and words: whole, or (capped) its header alone.
    (request_length,) = struct.unpack_from("=I", answer.body, 4)
    words = 4 + (_HEADER.size if answer.flags & NLM_F_CAPPED else _aligned(request_length))
    return -negative, _string(_attributes(answer.body, words).get(NLMSGERR_ATTR_MSG, b""))


def decode_link(body: bytes) -> Link:
    """The link that an RTM_NEWLINK message describes."""
    _family, _type, index, flags, _change = _IFINFO.unpack_from(body)
    attributes = _attributes(body, _IFINFO.size)
    info = _attributes(attributes.get(IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=_string(attributes.get(IFLA_IFNAME, b"")),
        kind=_string(info.get(IFLA_INFO_KIND, b"")),
        mac_address=attributes.get(IFLA_ADDRESS, b"").hex(":"),
        mtu=_integer(attributes.get(IFLA_MTU)),
        master=_integer(attributes.get(IFLA_MASTER)),
        up=bool(flags & IFF_UP),
        alias=_string(attributes.get(IFLA_IFALIAS, b"")),
    )


def decode_address(body: bytes) -> LinkAddress:
    """The address that an RTM_NEWADDR message describes. On IPv4, IFA_LOCAL is the link's own."""
    _family, length, _flags, _scope, index = _IFADDR.unpack_from(body)
    attributes = _attributes(body, _IFADDR.size)
    own = attributes.get(IFA_LOCAL) or attributes[IFA_ADDRESS]
    return LinkAddress(index, ip_interface((own, length)))


def decode_route(body: bytes) -> Route | None:
    """The route that an RTM_NEWROUTE message describes; None for one outside the main table or not to a host or net."""
    family, length, _src, _tos, table, _protocol, _scope, kind, _flags = _ROUTE.unpack_from(body)
    attributes = _attributes(body, _ROUTE.size)
    if _integer(attributes.get(RTA_TABLE), table) != RT_TABLE_MAIN or kind != RTN_UNICAST:
        return None
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    destination: IPNetwork | None = None
    if RTA_DST in attributes:
        destination = ip_network((attributes[RTA_DST], length))
    gateway = ip_address(attributes[RTA_GATEWAY]) if RTA_GATEWAY in attributes else None
    return Route(destination, gateway, _integer(attributes.get(RTA_OIF)))


def _ifinfo(up: bool | None = None) -> bytes:
    return _IFINFO.pack(socket.AF_UNSPEC, 0, 0, IFF_UP if up else 0, 0 if up is None else IFF_UP)


def _link_attributes(name: str, mac_address: str, mtu: int) -> bytes:
    if not 0 < len(name.encode()) < 16:
        raise Invalid(f"a link's name has 1 to 15 bytes: {name!r}")
    body = _text(IFLA_IFNAME, name)
    if mac_address:
        body += _attribute(IFLA_ADDRESS, bytes.fromhex(mac_address.replace(":", "")))
    if mtu:
        body += _number(IFLA_MTU, mtu)
    return body


def _address(address: IPv4Interface | IPv6Interface, index: int) -> bytes:
    body = _IFADDR.pack(_family(address.ip), address.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    body += _attribute(IFA_LOCAL, address.packed) + _attribute(IFA_ADDRESS, address.packed)
    if isinstance(address, IPv4Interface) and address.network.prefixlen < 31:
        body += _attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    return body


def _family(address: IPAddress) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | NLA_F_NESTED, value)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from *offset* to the end, by kind; of repeated ones the last."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & NLA_TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)
    return found


def _string(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _integer(value: bytes | None, default: int = 0) -> int:
    return int.from_bytes(value, "little" if struct.pack("=H", 1)[0] else "big") if value else default
