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
import socket
import struct

from mini_docker.linux.nfnetlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    attribute,
    message,
    nested,
    number,
    receive,
)

TABLE, CHAIN = b"mini_docker_dns", b"output"

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
        (_NEW_TABLE, attribute(1, TABLE + b"\0")),
        (_NEW_CHAIN, _chain()),
        # Of an earlier time, only the rules have to go. Whatever goes, closing the socket waits some milliseconds until
        # the kernel is done with it; so a container's first time, when nothing is there, must not delete a thing.
        (_DELETE_RULE, attribute(1, TABLE + b"\0") + attribute(2, CHAIN + b"\0")),
        (_NEW_RULE, _rule(socket.IPPROTO_UDP, address, port, datagram_port)),
        (_NEW_RULE, _rule(socket.IPPROTO_TCP, address, port, stream_port)),
    ]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as kernel:
        _transact(kernel, messages)


def _transact(kernel: socket.socket, messages: list[tuple[int, bytes]]) -> None:
    """Send the messages as one transaction. The kernel has answered each by the time that sending returns."""
    sequences = itertools.count()
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND
    batch = message(_BATCH_BEGIN, NLM_F_REQUEST, next(sequences), socket.AF_UNSPEC, _SUBSYSTEM, b"")
    for verb, body in messages:
        batch += message(_SUBSYSTEM << 8 | verb, flags, next(sequences), socket.AF_INET, 0, body)
    batch += message(_BATCH_END, NLM_F_REQUEST, next(sequences), socket.AF_UNSPEC, _SUBSYSTEM, b"")
    kernel.sendto(batch, (0, 0))
    kernel.setblocking(False)  # what is not there by now will never come
    acknowledged = 0
    while acknowledged < len(messages):
        acknowledged += sum(answer.kind == NLMSG_ERROR for answer in receive(kernel))


def _chain() -> bytes:
    hook = number(1, _HOOK_OUTPUT) + number(2, _BEFORE_ROUTING)
    return attribute(1, TABLE + b"\0") + attribute(3, CHAIN + b"\0") + nested(4, hook) + attribute(7, b"nat\0")


def _rule(protocol: int, address: str, port: int, to_port: int) -> bytes:
    """If protocol, destination and port are these, then another port. Each step works on one register."""
    steps = (
        (b"meta", number(1, _REGISTER) + number(2, _META_PROTOCOL)),
        _is(bytes([protocol])),
        _load(_NETWORK_HEADER, 16, 4),  # of an IPv4 header: the destination
        _is(socket.inet_aton(address)),
        _load(_TRANSPORT_HEADER, 2, 2),  # of UDP's and of TCP's: the destination's port
        _is(struct.pack(">H", port)),
        (b"immediate", number(1, _REGISTER) + nested(2, attribute(1, struct.pack(">H", to_port)))),
        (b"nat", number(1, _DNAT) + number(2, socket.AF_INET) + number(5, _REGISTER)),
    )
    expressions = b"".join(nested(1, attribute(1, name + b"\0") + nested(2, data)) for name, data in steps)
    return attribute(1, TABLE + b"\0") + attribute(2, CHAIN + b"\0") + nested(4, expressions)


def _load(header: int, offset: int, length: int) -> tuple[bytes, bytes]:
    return b"payload", number(1, _REGISTER) + number(2, header) + number(3, offset) + number(4, length)


def _is(value: bytes) -> tuple[bytes, bytes]:
    return b"cmp", number(1, _REGISTER) + number(2, 0) + nested(3, attribute(1, value))
