"""A hundred containers that start at once: nobody gets what another has, and all of it comes back."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.drivers.networkdriver.namespaces import Namespace
from tests.house.house import House

pytestmark = pytest.mark.root

CONTAINERS = 100
AT_ONCE = 25
WANTED = {"80/tcp": [{}], "81/udp": [{}]}


class Api(http.client.HTTPConnection):
    """The Remote API on the house's unix socket: command lines would cost most of the time here."""

    def __init__(self, house: House) -> None:
        super().__init__("localhost", timeout=60)
        self._path = house.host.removeprefix("unix://")

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


def call(house: House, method: str, path: str, body: Any = None) -> Any:
    """One request; the answer's JSON. It must succeed."""
    api = Api(house)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        api.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = api.getresponse()
        content = answer.read()
        assert answer.status < 300, (method, path, answer.status, content)
        return json.loads(content) if content else None
    finally:
        api.close()


def start_one(house: House, number: int) -> dict[str, Any]:
    """Create and start a container with two random ports; what it got."""
    config = {
        "Image": "busybox", "Cmd": ["sleep", "1000"], "ExposedPorts": {port: {} for port in WANTED},
        "HostConfig": {"PortBindings": WANTED},
    }  # fmt: skip
    created = call(house, "POST", f"/containers/create?name=p{number}", config)
    call(house, "POST", f"/containers/{created['Id']}/start")
    settings: dict[str, Any] = call(house, "GET", f"/containers/{created['Id']}/json")["NetworkSettings"]
    return settings


@pytest.fixture
def host(house: House) -> Iterator[Namespace]:
    """The house's network namespace."""
    assert house.namespaces is not None
    namespace = Namespace.of(house.namespaces.pid)
    yield namespace
    namespace.close()


def test_a_hundred_starts_at_once_never_collide(house: House, host: Namespace) -> None:
    """Every address, hardware address and port is one container's alone; released, all can be had again."""
    house.stop()
    # Room for exactly so many: a second round finds addresses only if every one of the first came back.
    house.start("--bip", "10.199.0.1/24", "--fixed-cidr", "10.199.0.0/25")
    at_first = facts(host)
    for _round in range(2):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            given = list(pool.map(lambda number: start_one(house, number), range(CONTAINERS)))
        for key in ("IPAddress", "MacAddress"):
            assert len({settings[key] for settings in given}) == CONTAINERS
        for port in WANTED:
            assert len({settings["Ports"][port][0]["HostPort"] for settings in given}) == CONTAINERS
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda number: call(house, "DELETE", f"/containers/p{number}?force=1"), range(CONTAINERS)))
    deadline = time.monotonic() + 15
    while facts(host) != at_first:  # the kernel takes cables away in its own time, after their namespaces
        assert time.monotonic() < deadline, "cables or rules were left"
        time.sleep(0.1)
    house.stop()
    house.start()


def facts(host: Namespace) -> tuple[list[str], str]:
    """The host's links by name, and its rules."""
    links = [line.split(": ")[1] for line in host.run("ip", "-o", "link").splitlines()]
    return sorted(links), host.run("nft", "-s", "list", "ruleset")
