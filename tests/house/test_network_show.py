"""`network show` and `info` on a real daemon: what stands in the kernel is what is drawn."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.house.house import House

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_what_stands_is_drawn(house: House) -> None:
    """Bridge, container, cable, port, and rules that count packets; Graphviz gets the same."""
    started = house.ours("run", "-d", "--name", "drawn", "-p", "127.0.0.1:18080:80", "busybox", "sleep", "60")
    assert started.code == 0, started.err
    try:
        text = house.ours("network", "show").out
        assert re.search(r"└─ drawn eth0 [0-9.]+/\d+ ── veth", text), text
        assert "127.0.0.1:18080->80/tcp" in text and "none: none" in text and "host: host" in text
        assert re.search(r"rules \(\w+\):", text) and re.search(r"packets \d+|\[\d+:\d+\]", text), text
        assert '-> "container drawn"' in house.ours("network", "show", "--viz").out
    finally:
        assert house.ours("rm", "-f", "drawn").code == 0
    assert "drawn" not in house.ours("network", "show").out


def test_info_tells_the_walls(house: House) -> None:
    """The driver in use, which walls it has, and the others with their reasons; limits as the kernel keeps them."""
    text = house.ours("info").out
    assert "Execution Driver: native" in text and re.search(r"^ Walls: .*\bpid\b.*\bmount\b", text, re.MULTILINE)
    assert " Other: chroot\n" in text and " Other: bsd-jails (not available: " in text
    told = json.loads(house.ours("info", "--format", "json").out)
    assert told["MemoryLimit"] is True and isinstance(told["PidsLimit"], bool)
