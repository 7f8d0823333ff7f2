"""How ports are written: ``80``, ``80/udp``, ``80-82/tcp``; and of the host ``8080`` or ``8080-8090``. Pure.

Source: Docker's ``nat`` package.
"""

from __future__ import annotations

import re

from mini_docker.errors import Invalid

_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?\Z", re.ASCII)


def parse_port(key: str) -> list[tuple[int, str]]:
    """A container's ports as (port, protocol) pairs.

    Raises:
        Invalid: not such a word.
    """
    match = _PORTS.match(key)
    if match is not None:
        first, last = int(match[1]), int(match[2] or match[1])
        if 0 < first <= last <= 65535:
            return [(port, match[3] or "tcp") for port in range(first, last + 1)]
    raise Invalid(f"invalid port specification: {key!r}")


def parse_host_ports(text: str) -> tuple[int, int]:
    """The first and last port of the host to choose from; nothing, and 0, is (0, 0): any free one.

    Raises:
        Invalid: not such a word.
    """
    match = _PORTS.match(text or "0")
    if match is not None and match[3] is None:
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last <= 65535 and (first > 0 or last == 0):
            return first, last
    raise Invalid(f"invalid port specification: {text!r}")
