"""The little languages in a flag's value: ``8080:80/udp``, ``/a:/b:ro``, ``nofile=1:2``, ``type=bind,src=/a``.

Pure: each function turns one such word into the fragment of JSON that the Remote API wants for it.
Source of the grammars: docs.docker.com/reference/cli/docker/container/run.
"""

from __future__ import annotations

from mini_docker.units import parse_size

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

PROTOCOLS = ("tcp", "udp", "sctp")


def parse_ports(word: str) -> list[tuple[str, str, str]]:
    """``[[ip:]host:]container[/protocol]``, ranges allowed: (port/protocol, host address, host port) each.

    A host port of "" lets the daemon choose. A host range longer than the container's one port is passed on
    whole, for the daemon to choose from.

    Raises:
        ValueError: it is no such word.
    """
    front, protocol = _split_protocol(word)
    address, host, container = "", "", front
    if ":" in front:
        rest, _, container = front.rpartition(":")
        if rest.startswith("["):
            address, bracket, host = rest[1:].partition("]")
            if not bracket or not host.startswith(":"):
                raise ValueError(f"invalid IP address: {rest}")
            host = host[1:]
        elif ":" in rest:
            address, _, host = rest.rpartition(":")
        else:
            host = rest
        if address and not _is_address(address):
            raise ValueError(f"invalid IP address: {address}")
    if not container:
        raise ValueError(f"no port specified: {word}<empty>")
    first, last = _port_range(container, "containerPort")
    if not host:
        return [(f"{port}/{protocol}", address, "") for port in range(first, last + 1)]
    host_first, host_last = _port_range(host, "hostPort")
    if last == first and host_last > host_first:
        return [(f"{first}/{protocol}", address, f"{host_first}-{host_last}")]
    if host_last - host_first != last - first:
        raise ValueError(f"invalid ranges specified for container and host Ports: {container} and {host}")
    return [
        (f"{port}/{protocol}", address, str(host_port))
        for port, host_port in zip(range(first, last + 1), range(host_first, host_last + 1), strict=True)
    ]


def parse_expose(word: str) -> list[str]:
    """``80``, ``80-82/udp``: the names of the ports.

    Raises:
        ValueError: it is no port or range.
    """
    ports, protocol = _split_protocol(word)
    if ":" in ports:
        raise ValueError(f"invalid port format for --expose: {word}")
    first, last = _port_range(ports, "--expose port")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _split_protocol(word: str) -> tuple[str, str]:
    ports, _, protocol = word.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    return ports, protocol


def _port_range(text: str, what: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not dash:
        last = first
    if not (first.isdecimal() and last.isdecimal()) or not 0 <= int(first) <= int(last) <= 65535:
        raise ValueError(f"invalid {what}: {text}")
    return int(first), int(last)


def _is_address(text: str) -> bool:
    from _socket import AF_INET, AF_INET6, inet_pton

    for family in (AF_INET, AF_INET6):
        try:
            inet_pton(family, text)
        except OSError:
            continue
        return True
    return False


def parse_env(words: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """``NAME=value`` as it is; a bare ``NAME`` takes our own value, and is left out when we have none.

    Raises:
        ValueError: the name is empty.
    """
    result = []
    for word in words:
        name, equals, _ = word.partition("=")
        if not name:
            raise ValueError(f"invalid environment variable: {word}")
        if equals:
            result.append(word)
        elif name in environ:
            result.append(f"{name}={environ[name]}")
    return result


def parse_env_file(text: str, path: str) -> list[str]:
    """The words of an ``--env-file``: a line each, ``#`` starts a comment line, blank lines don't count.

    Raises:
        ValueError: a name is empty or holds white space.
    """
    words = []
    for line in map(str.lstrip, text.removeprefix("\ufeff").splitlines()):
        if not line or line.startswith("#"):
            continue
        name = line.partition("=")[0]
        if not name:
            raise ValueError(f"invalid env file ({path}): no variable name on line '{line}'")
        if len(name.split()) > 1 or name != name.strip():
            raise ValueError(f"invalid env file ({path}): variable '{name}' contains whitespaces")
        words.append(line)
    return words


def parse_pairs(words: Iterable[str]) -> dict[str, str]:
    """``key=value`` words as a map; a bare ``key`` has the empty value."""
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def is_bind(word: str) -> bool:
    """Whether a ``-v`` word names two places (a bind), not just one in the container (an anonymous volume)."""
    return ":" in word


def parse_volume(word: str) -> str:
    """A ``-v`` bind as the daemon wants it: a relative host path that starts with a dot is made absolute.

    Raises:
        ValueError: it has too many parts or an empty one.
    """
    parts = word.split(":")
    if len(parts) > 3 or not all(parts):
        raise ValueError(f"invalid volume specification: '{word}'")
    if parts[0].startswith("."):
        import os

        parts[0] = os.path.abspath(parts[0])
    return ":".join(parts)


def parse_ulimit(word: str) -> dict[str, Any]:
    """``nofile=soft[:hard]``; -1 is unlimited.

    Raises:
        ValueError: it is no such word.
    """
    name, equals, limits = word.partition("=")
    soft, colon, hard = limits.partition(":")
    try:
        low, high = int(soft), int(hard if colon else soft)
    except ValueError:
        low = high = -2
    if not name or not equals or low < -1 or high < -1:
        raise ValueError(f"invalid ulimit argument: {word}")
    if high != -1 and (low == -1 or low > high):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {low} > {high}")
    return {"Name": name, "Soft": low, "Hard": high}


def parse_device(word: str) -> dict[str, str]:
    """``/dev/host[:/dev/container][:rwm]``.

    Raises:
        ValueError: it is no such word.
    """
    host, *rest = word.split(":")
    inside, permissions = host, "rwm"
    if len(rest) == 1:
        inside, permissions = (host, rest[0]) if _is_permissions(rest[0]) else (rest[0], permissions)
    elif len(rest) == 2:
        inside, permissions = rest[0] or host, rest[1]
    if not host or len(rest) > 2 or not _is_permissions(permissions):
        raise ValueError(f"invalid device specification: {word}")
    return {"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": permissions}


def _is_permissions(text: str) -> bool:
    return 0 < len(text) <= 3 and set(text) <= set("rwm") and len(set(text)) == len(text)


def parse_restart(word: str) -> dict[str, Any]:
    """``no``, ``always``, ``unless-stopped``, ``on-failure[:retries]``.

    Raises:
        ValueError: the number of retries is none.
    """
    name, colon, count = word.partition(":")
    if colon and not count.isdecimal():
        raise ValueError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name or "no", "MaximumRetryCount": int(count or 0)}


_MOUNT_KEYS = {"type": "Type", "source": "Source", "src": "Source", "target": "Target", "dst": "Target",
               "destination": "Target"}  # fmt: skip


def parse_mount(word: str) -> dict[str, Any]:
    """``type=bind|volume|tmpfs,source=…,target=…[,readonly][,bind-propagation=…][,tmpfs-size=…]…``.

    Raises:
        ValueError: a field is unknown or missing.
    """
    mount: dict[str, Any] = {"Type": "volume"}
    for field in word.split(","):
        key, equals, value = field.partition("=")
        key = key.lower().strip()
        if key in _MOUNT_KEYS and value:
            mount[_MOUNT_KEYS[key]] = value
        elif key in ("readonly", "ro"):
            if value not in ("", "1", "true", "0", "false"):
                raise ValueError(f"invalid value for {key}: {value}")
            mount["ReadOnly"] = value in ("", "1", "true")
        elif key == "bind-propagation" and value:
            mount.setdefault("BindOptions", {})["Propagation"] = value
        elif key == "volume-nocopy":
            mount.setdefault("VolumeOptions", {})["NoCopy"] = value in ("", "1", "true")
        elif key == "tmpfs-size" and value:
            mount.setdefault("TmpfsOptions", {})["SizeBytes"] = parse_size(value)
        elif key == "tmpfs-mode" and value:
            mount.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)
        else:
            raise ValueError(
                f"unexpected key '{key}' in '{field}'"
                if equals
                else f"invalid field '{field}' must be a key=value pair"
            )
    if "Target" not in mount:
        raise ValueError("target is required")
    if mount["Type"] == "bind" and "Source" not in mount:
        raise ValueError("source is required for a bind mount")
    return mount


def parse_capability(word: str) -> str:
    """``net_admin``, ``CAP_NET_ADMIN``, ``ALL``: the name in full."""
    name = word.upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


def parse_filters(words: Iterable[str]) -> str:
    """``--filter key=value`` words as the JSON that lists take; empty when there are none."""
    from mini_docker.http import quick_json

    filters: dict[str, dict[str, bool]] = {}
    for word in words:
        name, _, value = word.partition("=")
        filters.setdefault(name.strip().lower(), {})[value.strip()] = True
    return quick_json.dumps(filters) if filters else ""
