"""A redirection of a container's questions for its name server, written into the container's own packet filter.

Whoever asks at 127.0.0.11:53 is led to the ports where the server really listens. So port 53 stays free, at
every address, for a program of the container's own. It is one small nftables table, put in place of an
earlier one in a single transaction; nft(8) would show it as

    table ip mini_docker_dns {
        chain output {
            type nat hook output priority -100
            meta l4proto udp ip daddr 127.0.0.11 th dport 53 dnat to :PORT
            meta l4proto tcp ip daddr 127.0.0.11 th dport 53 dnat to :PORT
        }
    }

The messages are written by hand, because they are sent from within the namespace, by the process that
holds containers: it loads no library and starts no program for it. It knows nothing of DNS.

Source: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h; netlink(7).
"""

from __future__ import annotations

import itertools
import os
import socket
import struct

NETLINK_NETFILTER = 12
TABLE, CHAIN = b"mini_docker_dns", b"output"

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_NFGENMSG = struct.Struct(">BBH")  # struct nfgenmsg: family, version, resource
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE, _NLM_F_APPEND = 0x1, 0x4, 0x400, 0x800
_NLMSG_ERROR = 2
_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE, _DELETE_RULE = 0, 3, 6, 8
_HOOK_OUTPUT, _BEFORE_ROUTING = 3, -100  # NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST
_REGISTER = 1
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_META_PROTOCOL, _DNAT = 16, 1


def redirect(address: str, port: int, datagram_port: int, stream_port: int) -> None:
    """Lead what is sent to a port of an address of loopback to other ports of it, where the caller is.

    Raises:
        OSError: this kernel has no nftables, or the caller may not change them.
    """
    messages = [
        (_NEW_TABLE, _attribute(1, TABLE + b"\0")),
        (_NEW_CHAIN, _chain()),
        # Of an earlier time, only the rules have to go. Whatever goes, closing the socket waits some milliseconds until
        # the kernel is done with it; so a container's first time, when nothing is there, must not delete a thing.
        (_DELETE_RULE, _attribute(1, TABLE + b"\0") + _attribute(2, CHAIN + b"\0")),
        (_NEW_RULE, _rule(socket.IPPROTO_UDP, address, port, datagram_port)),
        (_NEW_RULE, _rule(socket.IPPROTO_TCP, address, port, stream_port)),
    ]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as kernel:
        _transact(kernel, messages)


def _transact(kernel: socket.socket, messages: list[tuple[int, bytes]]) -> None:
    """Send the messages as one transaction. The kernel has answered each by the time that sending returns."""
    sequences = itertools.count()
    flags = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE | _NLM_F_APPEND
    batch = _message(_BATCH_BEGIN, _NLM_F_REQUEST, next(sequences), socket.AF_UNSPEC, _SUBSYSTEM, b"")
    for verb, body in messages:
        batch += _message(_SUBSYSTEM << 8 | verb, flags, next(sequences), socket.AF_INET, 0, body)
    batch += _message(_BATCH_END, _NLM_F_REQUEST, next(sequences), socket.AF_UNSPEC, _SUBSYSTEM, b"")
    kernel.sendto(batch, (0, 0))
    kernel.setblocking(False)
    acknowledged = 0
    while acknowledged < len(messages):
        answer = kernel.recv(65536)  # BlockingIOError would mean that the kernel broke its word
        while answer:
            length, kind, *_ = _HEADER.unpack_from(answer)
            if kind == _NLMSG_ERROR:
                (negative,) = struct.unpack_from("=i", answer, _HEADER.size)
                if negative:
                    raise OSError(-negative, os.strerror(-negative))
                acknowledged += 1
            answer = answer[length + 3 & ~3 :]


def _chain() -> bytes:
    hook = _number(1, _HOOK_OUTPUT) + _number(2, _BEFORE_ROUTING)
    return _attribute(1, TABLE + b"\0") + _attribute(3, CHAIN + b"\0") + _nested(4, hook) + _attribute(7, b"nat\0")


def _rule(protocol: int, address: str, port: int, to_port: int) -> bytes:
    """If protocol, destination and port are these, then another port. Each step works on one register."""
    steps = (
        (b"meta", _number(1, _REGISTER) + _number(2, _META_PROTOCOL)),
        _is(bytes([protocol])),
        _load(_NETWORK_HEADER, 16, 4),  # of an IPv4 header: the destination
        _is(socket.inet_aton(address)),
        _load(_TRANSPORT_HEADER, 2, 2),  # of UDP's and of TCP's: the destination's port
        _is(struct.pack(">H", port)),
        (b"immediate", _number(1, _REGISTER) + _nested(2, _attribute(1, struct.pack(">H", to_port)))),
        (b"nat", _number(1, _DNAT) + _number(2, socket.AF_INET) + _number(5, _REGISTER)),
    )
    expressions = b"".join(_nested(1, _attribute(1, name + b"\0") + _nested(2, data)) for name, data in steps)
    return _attribute(1, TABLE + b"\0") + _attribute(2, CHAIN + b"\0") + _nested(4, expressions)


def _load(header: int, offset: int, length: int) -> tuple[bytes, bytes]:
    return b"payload", _number(1, _REGISTER) + _number(2, header) + _number(3, offset) + _number(4, length)


def _is(value: bytes) -> tuple[bytes, bytes]:
    return b"cmp", _number(1, _REGISTER) + _number(2, 0) + _nested(3, _attribute(1, value))


def _message(kind: int, flags: int, sequence: int, family: int, resource: int, body: bytes) -> bytes:
    content = _NFGENMSG.pack(family, 0, resource) + body
    return _HEADER.pack(_HEADER.size + len(content), kind, flags, sequence, 0) + content


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | 0x8000, value)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">i", value))
