"""How a container looks from outside: the whole form (``docker inspect``), the one line (``docker ps``). Pure."""

from __future__ import annotations

import json
from typing import Any

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.networks import BRIDGE
from mini_docker.daemon.container.ports import ports_list, ports_map
from mini_docker.daemon.container.security import SecurityOptions
from mini_docker.daemon.container.timestamps import format_time


def ports_of(container: Container) -> dict[str, list[dict[str, str]] | None]:
    """``NetworkSettings.Ports``; empty while it does not run."""
    if not container.state.running:
        return {}
    published = [
        port for place in container.attachments.values() if place.endpoint for port in place.endpoint.published
    ]
    return ports_map(container.config, published)


def network_settings(container: Container) -> dict[str, Any]:
    """The NetworkSettings of ``docker inspect``; the top fields are those of the default bridge, as ever."""
    networks = {name: place.to_api() for name, place in container.attachments.items()}
    default = networks.get(BRIDGE, {})
    fields = (
        "EndpointID", "Gateway", "GlobalIPv6Address", "IPAddress", "IPv6Gateway", "MacAddress",
    )  # fmt: skip
    return {
        "Bridge": "",
        "SandboxID": container.id if container.state.running else "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports_of(container),
        "SandboxKey": f"/proc/{container.state.pid}/ns/net" if container.state.pid else "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **{name: default.get(name, "") for name in fields},
        "GlobalIPv6PrefixLen": default.get("GlobalIPv6PrefixLen", 0),
        "IPPrefixLen": default.get("IPPrefixLen", 0),
        "Networks": networks,
    }


def inspect(container: Container, storage_driver: str, executions: list[str]) -> dict[str, Any]:
    """The whole form."""
    command = container.config.command
    host = container.host_config.to_json()
    if container.host_config.links:
        host["Links"] = [_link(container.name, link) for link in container.host_config.links]
    return {
        "Id": container.id,
        "Created": format_time(container.created),
        "Path": command[0] if command else "",
        "Args": list(command[1:]),
        "State": container.state.to_json(),
        "Image": container.image,
        "ResolvConfPath": str(container.resolv_conf_path),
        "HostnamePath": str(container.hostname_path),
        "HostsPath": str(container.hosts_path),
        "LogPath": str(container.log_path),
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": storage_driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": SecurityOptions.parse(container.host_config.security_opt).apparmor_profile,
        "ExecIDs": executions or None,
        "HostConfig": host,
        "GraphDriver": {"Name": storage_driver, "Data": {}},
        "Mounts": [mount.to_api() for mount in container.mounts if mount.type != "tmpfs"],
        "Config": container.config.to_json(),
        "NetworkSettings": network_settings(container),
    }


def _link(name: str, link: str) -> str:
    other, _, alias = link.partition(":")
    return f"/{other.lstrip('/')}:/{name}/{(alias or other).rpartition('/')[2]}"


class Line:
    """The one line of a container, encoded; made anew only when the container changed.

    Its status text alone changes by the clock, so the JSON is kept in two halves around it.
    """

    def __init__(self, container: Container, image: str) -> None:
        self._key = _key(container, image)
        before, after = _before_status(container, image), _after_status(container)
        self._head = json.dumps(before, separators=(",", ":"))[:-1] + ',"Status":"'
        self._tail = '",' + json.dumps(after, separators=(",", ":"))[1:]

    def is_of(self, container: Container, image: str) -> bool:
        """Whether it still is the container's line: every value it was made from is the same."""
        return self._key == _key(container, image)  # tuples ask first whether it is the same object

    def encode(self, container: Container, now: int) -> str:
        """The JSON.

        Args:
            now: nanoseconds since the epoch.
        """
        # A status is made of our own words and digits, none of which JSON escapes.
        return f"{self._head}{container.state.summary(now)}{self._tail}"


def _key(container: Container, image: str) -> tuple[object, ...]:
    return container.name, container.state, container.attachments, container.mounts, container.host_config, image


def _before_status(container: Container, image: str) -> dict[str, Any]:
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": image,
        "ImageID": container.image,
        "Command": " ".join(container.config.command),
        "Created": container.created // 10**9,
        "Ports": ports_list(ports_of(container)),
        "Labels": dict(container.config.labels),
        "State": container.state.status,
    }


def _after_status(container: Container) -> dict[str, Any]:
    return {
        "HostConfig": {"NetworkMode": container.host_config.network_mode},
        "NetworkSettings": {"Networks": {name: place.to_api() for name, place in container.attachments.items()}},
        "Mounts": [mount.to_api() for mount in container.mounts if mount.type != "tmpfs"],
    }


def line(container: Container, image: str, status: str) -> dict[str, Any]:
    """The one line.

    Args:
        image: what the image is called now.
        status: the words of `State.summary`.
    """
    return {**_before_status(container, image), "Status": status, **_after_status(container)}
