"""A container's order form, in three sheets: what to run, on what terms, and on which networks.

`ContainerConfig` is portable and comes from image and user; `HostConfig` (host_config.py) binds it to
this machine; `NetworkingConfig` names its networks. All are frozen; where an image's config fills
the user's gaps is `ContainerConfig.merge`. They know nothing of kernels, drivers or running containers.

Source: Docker Engine API 1.41, ContainerConfig; Docker's ``runconfig/merge.go``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mini_docker.daemon.container import api_json
from mini_docker.daemon.container.api_json import WORDS, named
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.links import parse_link
from mini_docker.daemon.container.port_words import parse_port
from mini_docker.dataclasses import dataclass, field, replace
from mini_docker.errors import Invalid, Unsupported


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """A command that tells whether the container is well. Durations are nanoseconds, as on the wire."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """What to run: the portable half of a container, and the ``Config`` of an image.

    Attributes:
        entrypoint, cmd: None is "not said" (the image decides), empty is "none".
        env: ``K=V`` words; ``K`` alone removes a variable of the image.
        exposed_ports, volumes: sets, spelled as objects (``{"80/tcp": {}}``).
        stop_timeout: seconds; None is the daemon's ten.
    """

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: Mapping[str, Any] = field(default_factory=dict)
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] | None = field(default=None, metadata=WORDS)
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: Mapping[str, Any] = field(default_factory=dict)
    working_dir: str = ""
    entrypoint: tuple[str, ...] | None = field(default=None, metadata=WORDS)
    network_disabled: bool = False
    mac_address: str = ""
    on_build: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: tuple[str, ...] | None = field(default=None, metadata=WORDS)

    @classmethod
    def from_json(cls, data: Any) -> ContainerConfig:
        """Decode the Remote API's form.

        Raises:
            Invalid: a field of the wrong type or with an impossible value; the message names it.
        """
        config = api_json.decode(cls, data)
        for port in config.exposed_ports:
            if len(parse_port(port)) > 1:
                raise Invalid(f"invalid port in ExposedPorts: {port!r}: one port, not a range")
        for word in config.env:
            if word.startswith("=") or not word:
                raise Invalid(f"invalid environment variable: {word!r}")
        for word in (*config.env, *config.command):
            _check_word(word)
        if config.working_dir and not config.working_dir.startswith("/"):
            raise Invalid(f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path")
        if not config.exposed_ports:
            return config
        ports: dict[str, Any] = {port if "/" in port else f"{port}/tcp": {} for port in config.exposed_ports}
        return replace(config, exposed_ports=ports)

    def to_json(self) -> dict[str, Any]:
        """The whole form; Docker leaves out a few members that are rarely set, so do we."""
        data: dict[str, Any] = api_json.encode(self)
        for name in _OMITTED_WHEN_EMPTY:
            if not data[name] and not (name == "StopTimeout" and data[name] == 0):  # no seconds is a word, too
                del data[name]
        data["Env"] = list(self.env)
        data["Volumes"] = data["Volumes"] or None
        return data

    def merge(self, image: ContainerConfig) -> ContainerConfig:
        """This config with its gaps filled from an image's.

        Ports, volumes, labels and variables are joined (ours win); a command is the image's only when
        we said neither command nor entrypoint, for a command belongs to its entrypoint.
        """
        entrypoint, cmd = self.entrypoint, self.cmd
        if not entrypoint:
            if not cmd:
                cmd = image.cmd
            if entrypoint is None:
                entrypoint = image.entrypoint
        if entrypoint == ("",):  # --entrypoint "" takes the image's away
            entrypoint = None
        return replace(
            self,
            user=self.user or image.user,
            exposed_ports={**image.exposed_ports, **self.exposed_ports},
            env=fill_env(image.env, self.env),
            cmd=cmd,
            entrypoint=entrypoint,
            healthcheck=self.healthcheck or image.healthcheck,
            volumes={**image.volumes, **self.volumes},
            working_dir=self.working_dir or image.working_dir,
            labels={**image.labels, **self.labels},
            stop_signal=self.stop_signal or image.stop_signal,
            stop_timeout=self.stop_timeout if self.stop_timeout is not None else image.stop_timeout,
            shell=self.shell or image.shell,
        )

    @property
    def command(self) -> tuple[str, ...]:
        """Entrypoint and command in one: what will be executed."""
        return (self.entrypoint or ()) + (self.cmd or ())


_OMITTED_WHEN_EMPTY = (
    "ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal", "StopTimeout", "Shell",
)  # fmt: skip


def fill_env(base: tuple[str, ...], ours: tuple[str, ...]) -> tuple[str, ...]:
    """*ours*, then what *base* has besides: an order's gaps filled from its image, in Docker's order.

    ``K`` without a value stays and hides the base's; what a process is given at last, `spec.merge_environment` says.
    """
    names = {word.partition("=")[0] for word in ours}
    return ours + tuple(word for word in base if word.partition("=")[0] not in names)


@dataclass(frozen=True, slots=True)
class EndpointIpam:
    """Wished addresses on one network."""

    ipv4_address: str = field(default="", metadata=named("IPv4Address"))
    ipv6_address: str = field(default="", metadata=named("IPv6Address"))
    link_local_ips: tuple[str, ...] = field(default=(), metadata=named("LinkLocalIPs"))


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """What the user wishes of one network: addresses, aliases, links."""

    ipam_config: EndpointIpam | None = field(default=None, metadata=named("IPAMConfig"))
    links: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    mac_address: str = ""
    driver_opts: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> EndpointConfig:
        """Itself, if it can be granted as far as that can be known without the network.

        Raises:
            Invalid: a link that is none. Unsupported: an address that no network gives here.
        """
        for link in self.links:
            parse_link(link)
        ipam = self.ipam_config or EndpointIpam()
        if ipam.ipv6_address:
            raise Unsupported(f"no IPv6 address can be wished for: {ipam.ipv6_address}: networks give IPv4 ones here")
        if ipam.link_local_ips:
            raise Unsupported(f"no link-local address can be given: {', '.join(ipam.link_local_ips)}")
        return self


@dataclass(frozen=True, slots=True)
class NetworkingConfig:
    """Which networks, by name or id, a container joins when it starts."""

    endpoints_config: Mapping[str, EndpointConfig | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreateOrder:
    """The body of ``POST /containers/create``: all three sheets."""

    config: ContainerConfig
    host_config: HostConfig
    networking: NetworkingConfig

    @classmethod
    def decode(cls, body: bytes) -> CreateOrder:
        """Decode the body.

        Raises:
            Invalid: it is empty, not JSON, or a field is wrong; the message names it.
        """
        if not body:
            raise Invalid("Config cannot be empty in order to create a container")
        try:
            data = json.loads(body)
        except ValueError as error:
            raise Invalid(f"invalid JSON in the request's body: {error}") from None
        if not data:
            raise Invalid("Config cannot be empty in order to create a container")
        if not isinstance(data, dict):
            raise Invalid(f"the request's body must be an object, not {type(data).__name__}")
        networking = api_json.decode(NetworkingConfig, data.get("NetworkingConfig") or {}, "NetworkingConfig")
        for wish in networking.endpoints_config.values():
            if wish is not None:
                wish.check()
        return cls(ContainerConfig.from_json(data), HostConfig.from_json(data.get("HostConfig") or {}), networking)


def _check_word(word: str) -> None:
    """Argument and variables end up in execve(2), which ends each at a NUL and knows bytes only."""
    try:
        nul = b"\0" in word.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise Invalid(f"not a text that can be executed: {word!r}") from None
    if nul:
        raise Invalid(f"an argument or variable must not hold a NUL byte: {word!r}")
