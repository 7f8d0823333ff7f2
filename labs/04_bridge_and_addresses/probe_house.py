"""A whole Docker with your code in it: its daemon wires a container, and the container says what it has."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from mini_docker.lab.house import House

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="runs containers: needs root")]


def test_a_whole_docker_wires_its_containers_by_your_code(tmp_path: Path) -> None:
    """The address that inspect shows is the one that the container has, and the sheet is signed by the daemon."""
    name = secrets.token_hex(4)
    with House(tmp_path) as house:
        house.run("run", "-d", "--name", name, "busybox", "sleep", "60")
        address = house.run("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name).strip()
        assert f"inet {address}/" in house.run("exec", name, "ip", "address", "show", "eth0")
        assert address in house.run("exec", name, "ip", "route")
        daemon = house.daemon_pid
    sheet = os.environ.get("MINI_DOCKER_OVERLAY_PROOF")
    if sheet is not None:
        signed = dict(line.split() for line in Path(sheet).read_text().splitlines()[1:])
        assert int(signed["mini_docker.drivers.networkdriver.bridge_plan:host_side"]) == daemon
