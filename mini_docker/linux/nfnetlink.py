"""The dialect of netlink(7) that the packet filter speaks: messages with one more header, numbers in network order.

For the few things that are asked of it without a library. No I/O but `receive`.

Source: linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from mini_docker.dataclasses import dataclass

NETLINK_NETFILTER = 12
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_CREATE, NLM_F_APPEND = 0x1, 0x4, 0x300, 0x400, 0x800

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_NFGENMSG = struct.Struct(">BBH")  # struct nfgenmsg: family, version, resource
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_NESTED = 0x8000


@dataclass(frozen=True, slots=True)
class Answer:
    """One message from the kernel: its type, and its attributes (none of an acknowledgement)."""

    kind: int
    attributes: bytes


def message(kind: int, flags: int, sequence: int, family: int, resource: int, body: bytes) -> bytes:
    """A message; *body* is its attributes."""
    content = _NFGENMSG.pack(family, 0, resource) + body
    return _HEADER.pack(_HEADER.size + len(content), kind, flags, sequence, 0) + content


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, value: bytes) -> bytes:
    """An attribute whose value is attributes."""
    return attribute(kind | _NESTED, value)


def number(kind: int, value: int) -> bytes:
    """An attribute of 32 bits."""
    return attribute(kind, struct.pack(">i", value))


def attributes(data: bytes) -> dict[int, bytes]:
    """The values of attributes in a row, by kind."""
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        found[kind & ~_NESTED] = data[_ATTRIBUTE.size : length]
        data = data[max(length + 3 & ~3, _ATTRIBUTE.size) :]
    return found


def receive(kernel: socket.socket) -> Iterator[Answer]:
    """The messages of the next datagram.

    Raises:
        OSError: one of them is a refusal. BlockingIOError: there is none, and the socket does not wait.
    """
    data = kernel.recv(65536)
    while data:
        length, kind, *_ = _HEADER.unpack_from(data)
        if kind == NLMSG_ERROR:
            (negative,) = struct.unpack_from("=i", data, _HEADER.size)
            if negative:
                raise OSError(-negative, os.strerror(-negative))
            yield Answer(kind, b"")
        else:
            yield Answer(kind, data[_HEADER.size + _NFGENMSG.size : length])
        data = data[length + 3 & ~3 :]
