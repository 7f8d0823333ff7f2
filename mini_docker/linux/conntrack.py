"""What the kernel remembers of datagrams that were led to a published port, and how to make it forget.

UDP knows no connections, so the kernel keeps one for every pair of ends that spoke within the last minutes, and
sends each datagram where the first one went. A client that goes on asking would be led to a container that is
gone, or past one that has come. So whenever a port begins or ends to be published, these memories go.

Source: linux/netfilter/nfnetlink_conntrack.h; conntrack(8).
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Iterator, Sequence

from mini_docker.linux.firewall import PortForward, Rule
from mini_docker.linux.nfnetlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    attribute,
    attributes,
    message,
    nested,
    receive,
)

log = logging.getLogger(__name__)

_GET, _DELETE = 0x101, 0x102  # NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE
_TUPLE_ORIGINAL, _FILTER = 1, 25
_TUPLE_ADDRESSES, _TUPLE_PROTOCOL = 1, 2
_DESTINATION = 2
_PROTOCOL_NUMBER, _DESTINATION_PORT = 1, 3
_BY_PROTOCOL_AND_DESTINATION_PORT = 1 << 3 | 1 << 5


def forget_datagrams(rules: Sequence[Rule]) -> None:
    """Forget the conversations with those of the published ports that are UDP's.

    In the background: the kernel walks its whole table, which takes some ten milliseconds, and no start of a
    container shall wait for it. What cannot be forgotten (a kernel without conntrack's netlink) is only told: it
    passes by itself.
    """
    forwards = [rule for rule in rules if isinstance(rule, PortForward) and rule.protocol == "udp"]
    if forwards:
        threading.Thread(target=_forget_all, args=(forwards,), name="conntrack", daemon=True).start()


def _forget_all(forwards: Sequence[PortForward]) -> None:
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as kernel:
            for forward in forwards:
                for conversation in list(_conversations(kernel, forward)):
                    _forget(kernel, conversation)
    except OSError as error:
        log.info("old conversations with published UDP ports are not forgotten: %s", error)


def _conversations(kernel: socket.socket, forward: PortForward) -> Iterator[bytes]:
    """The first direction of each conversation with the port."""
    port = struct.pack(">H", forward.host_port)
    udp = attribute(_PROTOCOL_NUMBER, bytes([socket.IPPROTO_UDP]))
    wanted = nested(_TUPLE_ORIGINAL, nested(_TUPLE_PROTOCOL, udp + attribute(_DESTINATION_PORT, port)))
    wanted += nested(_FILTER, attribute(1, struct.pack("=I", _BY_PROTOCOL_AND_DESTINATION_PORT)))
    kernel.send(message(_GET, NLM_F_REQUEST | NLM_F_DUMP, 1, socket.AF_INET, 0, wanted))
    done = False
    while not done:
        for answer in receive(kernel):
            done |= answer.kind == NLMSG_DONE
            original = attributes(answer.attributes).get(_TUPLE_ORIGINAL, b"")
            parts = attributes(original)
            protocol = attributes(parts.get(_TUPLE_PROTOCOL, b""))
            destination = attributes(parts.get(_TUPLE_ADDRESSES, b"")).get(_DESTINATION)
            # Looked at here too: kernels before 5.8 do not know the filter, and show everything.
            if (
                protocol.get(_PROTOCOL_NUMBER) == bytes([socket.IPPROTO_UDP])
                and protocol.get(_DESTINATION_PORT) == port
                and (forward.host_address.is_unspecified or destination == forward.host_address.packed)
            ):
                yield original


def _forget(kernel: socket.socket, conversation: bytes) -> None:
    body = nested(_TUPLE_ORIGINAL, conversation)
    kernel.send(message(_DELETE, NLM_F_REQUEST | NLM_F_ACK, 2, socket.AF_INET, 0, body))
    try:
        list(receive(kernel))
    except FileNotFoundError:
        return  # it passed meanwhile
