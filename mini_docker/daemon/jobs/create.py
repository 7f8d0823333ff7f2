"""The job ``create``: from an order to a container that is ready to start.

Image → merged config → name → layers → mounts and volumes → store → links → event; each step is undone in reverse
when a later one fails. Classic Docker's ContainerCreate (``daemon/create.go``).
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import ExitStack
from functools import partial

from mini_docker.archive.ownership import give_to_root
from mini_docker.daemon.container.attachment import Attachment
from mini_docker.daemon.container.config import ContainerConfig, CreateOrder, EndpointConfig
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.devices import block_device_numbers, wished_devices
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.links import parse_link
from mini_docker.daemon.container.mount_point import MountPoint
from mini_docker.daemon.container.mounts import plan_mounts
from mini_docker.daemon.container.names import check_name, random_name
from mini_docker.daemon.container.networks import JOIN_PREFIX, NONE, PREDEFINED, check_wish, network_of
from mini_docker.daemon.container.ports import port_bindings
from mini_docker.daemon.container.security import SecurityOptions
from mini_docker.daemon.container.spec import Surroundings, hostname_of, resources_of
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.timestamps import format_time
from mini_docker.daemon.container.ungranted import refuse_ungranted, ungranted_warnings
from mini_docker.daemon.container.user_namespace import has_user_namespace, refuse_host_namespaces
from mini_docker.daemon.container.volumes import VolumeStore
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.answers import answer
from mini_docker.daemon.jobs.events import log_event, log_other
from mini_docker.dataclasses import dataclass, replace
from mini_docker.drivers.graphdriver.contract import StorageOptions
from mini_docker.engine import Job
from mini_docker.errors import Invalid
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.graphdb import GraphDB
from mini_docker.libcontainer.capabilities import normalize_capabilities
from mini_docker.libcontainer.cgroups.features import CgroupFeatures, drop_unsupported
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping
from mini_docker.units import parse_size


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A name (empty: choose one) and the order."""

    name: str
    order: CreateOrder

    @classmethod
    def decode(cls, job: Job) -> CreateRequest:
        """Read the job's environment and body.

        Raises:
            Invalid: the name or a field of the order is wrong.
        """
        name = job.env.get("name", "")
        return cls(check_name(name) if name else "", CreateOrder.decode(job.stdin.read()))


class Create:
    """Answers ``{"Id", "Warnings"}``.

    Args:
        driver: the graph driver's name, for ``inspect``.
        cgroup_version: 1 or 2.
        features: which limits this kernel can keep.
        ids: who containers' users are on the host.
    """

    def __init__(
        self,
        containers: ContainerStore,
        images: ImageLookup,
        layers: ContainerLayers,
        names: GraphDB,
        volumes: VolumeStore,
        driver: str,
        cgroup_version: int,
        features: CgroupFeatures,
        ids: IdMapping = NO_MAPPING,
    ) -> None:
        self._containers = containers
        self._images = images
        self._layers = layers
        self._names = names
        self._volumes = volumes
        self._driver = driver
        self._cgroup_version = cgroup_version
        self._features = features
        self._ids = ids

    def __call__(self, job: Job) -> None:
        request = CreateRequest.decode(job)
        order = request.order
        image = self._images.find(order.config.image) if order.config.image else None
        config = order.config
        if image is not None:
            config = config.merge(ContainerConfig.from_json(dict(image.config.config)))
        if not config.command:
            raise Invalid("No command specified")
        host = order.host_config.with_defaults(self._cgroup_version)
        if config.network_disabled:
            host = replace(host, network_mode=NONE)
        self._check(host, config)
        warnings = [*ungranted_warnings(config, host), *self._limit_warnings(host)]
        attachments = _attachments(order, host)
        with ExitStack() as undo:
            id = _new_id()
            name = self._take_name(request.name, id, undo)
            hostname = hostname_of(id, config, host, os.uname().nodename)
            config = replace(config, hostname=hostname if not host.network_mode.startswith(JOIN_PREFIX) else "")
            container = Container(
                id, name, time.time_ns(), image.id if image else "", config, host, self._containers.folder(id),
                self._driver,
            )  # fmt: skip
            for attachment in attachments:
                container.attach(_with_short_id(attachment, id))
            self._layers.create(id, image, _storage_options(host))
            undo.callback(self._layers.remove, id)
            container.mounts = self._make_mounts(job, container, undo)
            self._containers.add(container)
            undo.callback(self._containers.remove, container)
            self._register_links(container)
            log_event(job, container, "create")
            undo.pop_all()
        job.afterwards(partial(self._containers.make_durable, container))
        answer(job, {"Id": id, "Warnings": warnings})

    def _limit_warnings(self, host: HostConfig) -> tuple[str, ...]:
        """A sentence for each limit that this kernel cannot keep, and that the container will run without.

        Raises:
            Invalid: a limit names a device that is none, or a device rule cannot be read.
        """
        world = Surroundings(device_numbers=block_device_numbers(host))
        return drop_unsupported(resources_of(host, world), self._features)[1]

    def _check(self, host: HostConfig, config: ContainerConfig) -> None:
        """Say no now to what could only fail at the start."""
        refuse_ungranted(host)
        if has_user_namespace(host, self._ids):
            refuse_host_namespaces(host)
        SecurityOptions.parse(host.security_opt)
        normalize_capabilities((*host.cap_add, *host.cap_drop))
        port_bindings(config, host)
        for link in host.links:
            parse_link(link)
        if host.log_config.type not in ("json-file", "none"):
            raise Invalid(f"logger: no log driver named '{host.log_config.type}' is registered")
        host.log_config.limits()
        if host.runtime not in ("native", "runc"):
            raise Invalid(f"Unknown runtime specified {host.runtime}")
        for mode in (host.network_mode, host.pid_mode, host.ipc_mode):
            if mode.startswith(JOIN_PREFIX) and not mode.removeprefix(JOIN_PREFIX):
                raise Invalid(f"invalid mode {mode!r}: it names no container")
        if host.network_mode.startswith(JOIN_PREFIX) and (host.port_bindings or host.publish_all_ports):
            raise Invalid("conflicting options: port publishing and the container type network mode")
        if host.network_mode.startswith(JOIN_PREFIX) and config.hostname:
            raise Invalid("conflicting options: hostname and the network mode")
        if not host.privileged:
            wished_devices(host)

    def _take_name(self, wished: str, id: str, undo: ExitStack) -> str:
        name = wished or random_name(self._containers.has_name)
        self._containers.reserve_name(name, id)
        undo.callback(self._containers.release_name, name, id)
        self._names.reserve_late(f"/{name}", id)
        undo.callback(self._names.purge_late, id)
        return name

    def _register_links(self, container: Container) -> None:
        for link in container.host_config.links:
            other, alias = parse_link(link)
            self._names.reserve(f"/{container.name}/{alias}", self._containers.get(other).id)

    def _make_mounts(self, job: Job, container: Container, undo: ExitStack) -> tuple[MountPoint, ...]:
        """Plan the mounts, make the volumes among them, and fill the new ones from the image."""
        points = plan_mounts(container.config, container.host_config, lambda name: self._containers.get(name).mounts)
        labels = {os.path.normpath(one.target): one.volume_options.labels for one in container.host_config.mounts}
        made: list[MountPoint] = []
        for point in points:
            if point.type == "bind" and not os.path.exists(point.source):
                self._make_missing_source(container.host_config, point)
            if point.type != "volume" or point.source:
                made.append(point)
                continue
            known = {volume.name for volume in self._volumes.all()} if point.name else set()
            volume = self._volumes.create(
                point.name, point.driver, labels.get(point.destination), created=format_time(time.time_ns())
            )
            if volume.name not in known:
                undo.callback(self._volumes.remove, volume.name)
                log_other(job, "volume", "create", volume.name, driver="local")
            if point.copy_up:
                root = self._layers.open(container.id)
                try:
                    self._volumes.copy_up(volume, root, point.destination)
                finally:
                    self._layers.close(container.id)
            made.append(replace(point, name=volume.name, source=str(volume.mountpoint)))
        return tuple(made)

    def _make_missing_source(self, host: HostConfig, point: MountPoint) -> None:
        """``-v`` makes a host folder that does not exist; ``--mount`` refuses, as in Docker."""
        if any(request.target == point.destination for request in host.mounts):
            raise Invalid(f'invalid mount config for type "bind": bind source path does not exist: {point.source}')
        try:
            os.makedirs(point.source, exist_ok=True)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise Invalid(
                f"error while creating mount source path '{point.source}': mkdir {error.filename}: {reason}"
            ) from None
        give_to_root(point.source, self._ids)


def _new_id() -> str:
    """64 random hex digits, whose first 12 do not read as a number: they become a host name."""
    while (id := secrets.token_hex(32))[:12].isdigit():
        pass
    return id


def _attachments(order: CreateOrder, host: HostConfig) -> tuple[Attachment, ...]:
    """The networks that the container will join: that of its mode, with the wishes said for it."""
    wishes = order.networking.endpoints_config
    if len(wishes) > 1:
        raise Invalid(f"Container cannot be connected to network endpoints: {', '.join(sorted(wishes))}")
    network = network_of(host.network_mode)
    if not network:
        return ()
    wish = next(iter(wishes.values()), None) or EndpointConfig()
    check_wish(network, wish)
    return (Attachment(network, wish=wish),)


def _with_short_id(attachment: Attachment, id: str) -> Attachment:
    """On a user's network a container is also found by its short id."""
    if attachment.network in PREDEFINED:
        return attachment
    return replace(attachment, wish=replace(attachment.wish, aliases=(*attachment.wish.aliases, id[:12])))


def _storage_options(host: HostConfig) -> StorageOptions:
    for key in host.storage_opt:
        if key != "size":
            raise Invalid(f"unknown storage option: {key}")
    return StorageOptions(parse_size(host.storage_opt["size"])) if host.storage_opt else StorageOptions()
