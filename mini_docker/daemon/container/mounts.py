"""What the user wants mounted, read from its five spellings: -v, --mount, --tmpfs, VOLUME, --volumes-from.

Pure functions from orders to `MountPoint`s; it makes no volume and mounts nothing.

Source: Docker's ``volume/mounts/linux_parser.go`` and ``daemon/volumes.go`` (registerMountPoints).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable

from mini_docker.daemon.container.config import ContainerConfig
from mini_docker.daemon.container.host_config import HostConfig, MountRequest
from mini_docker.daemon.container.mount_point import MountPoint
from mini_docker.dataclasses import replace
from mini_docker.errors import Invalid

BIND, VOLUME, TMPFS = "bind", "volume", "tmpfs"

PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_ACCESS = ("rw", "ro")
_LABELS = ("z", "Z")
_CONSISTENCIES = ("consistent", "cached", "delegated", "default")

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")


def check_volume_name(name: str) -> None:
    """
    Raises:
        Invalid: not a name Docker allows for a volume.
    """
    if not _VOLUME_NAME.match(name) or len(name) < 2:
        raise Invalid(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def parse_bind(spec: str) -> MountPoint:
    """Read one ``-v`` of the API: ``source:destination[:options]``, or a destination alone.

    Raises:
        Invalid: in Docker's words: ``invalid volume specification: …``.
    """
    parts = spec.split(":")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise Invalid(f"invalid volume specification: '{spec}'")
    source = parts[0] if len(parts) > 1 else ""
    destination = _destination(parts[1] if len(parts) > 1 else parts[0], spec)
    mode = parts[2] if len(parts) == 3 else ""
    if source.startswith("/"):
        point = MountPoint(BIND, destination, source=posixpath.normpath(source), copy_up=False, propagation="rprivate")
    else:
        if source:
            check_volume_name(source)
        point = MountPoint(VOLUME, destination, name=source, driver="local")
    return _with_mode(point, mode, spec)


def _with_mode(point: MountPoint, mode: str, spec: str) -> MountPoint:
    seen: set[str] = set()
    for word in filter(None, mode.split(",")):
        if word in _ACCESS:
            kind, point = "access", replace(point, rw=word == "rw")
        elif word in PROPAGATIONS and point.type == BIND:
            kind, point = "propagation", replace(point, propagation=word)
        elif word == "nocopy" and point.type == VOLUME:
            kind, point = "copy", replace(point, copy_up=False)
        elif word in _LABELS:
            kind = "label"
        elif word in _CONSISTENCIES:
            kind = "consistency"
        else:
            raise Invalid(f"invalid mode: {mode}")
        if kind in seen:
            raise Invalid(f"invalid volume specification: '{spec}': two words for its {kind}")
        seen.add(kind)
    return replace(point, mode=mode)


def from_request(request: MountRequest) -> MountPoint:
    """Read one ``--mount`` of the API.

    Raises:
        Invalid: in Docker's words: ``invalid mount config for type "bind": …``.
    """

    def refuse(reason: str) -> Invalid:
        return Invalid(f'invalid mount config for type "{request.type}": {reason}')

    if not request.target:
        raise refuse("field Target must not be empty")
    if not request.target.startswith("/"):
        raise refuse(f"invalid mount path: '{request.target}' mount path must be absolute")
    destination = posixpath.normpath(request.target)
    if destination == "/":
        raise refuse("invalid specification: destination can't be '/'")
    writable = not request.read_only
    match request.type:
        case "bind":
            if not request.source:
                raise refuse("field Source must not be empty")
            if not request.source.startswith("/"):
                raise refuse(f"invalid mount path: '{request.source}' mount path must be absolute")
            propagation = request.bind_options.propagation or "rprivate"
            if propagation not in PROPAGATIONS:
                raise refuse(f"invalid propagation mode: {propagation}")
            return MountPoint(
                BIND, destination, source=posixpath.normpath(request.source), rw=writable, propagation=propagation,
                copy_up=False, recursive=not request.bind_options.non_recursive,
            )  # fmt: skip
        case "volume":
            if request.source:
                check_volume_name(request.source)
            driver = request.volume_options.driver_config.name or "local"
            return MountPoint(
                VOLUME, destination, name=request.source, driver=driver, rw=writable, mode="z",
                copy_up=not request.volume_options.no_copy,
            )  # fmt: skip
        case "tmpfs":
            if request.source:
                raise refuse("field Source must not be specified")
            options = [f"size={request.tmpfs_options.size_bytes}"] if request.tmpfs_options.size_bytes else []
            options += [f"mode={request.tmpfs_options.mode:o}"] if request.tmpfs_options.mode else []
            return MountPoint(TMPFS, destination, rw=writable, options=",".join(options), copy_up=False)
        case _:
            raise Invalid(f"invalid mount config: mount type unknown: {request.type!r}")


def plan_mounts(
    config: ContainerConfig,
    host: HostConfig,
    mounts_of: Callable[[str], Iterable[MountPoint]],
) -> tuple[MountPoint, ...]:
    """All mounts of a container, by destination; a later spelling of one destination wins over an inherited one.

    Args:
        mounts_of: the mounts of another container, for ``--volumes-from``.

    Raises:
        Invalid: a malformed one, or one destination wanted twice.
    """
    points: dict[str, MountPoint] = {}
    for word in host.volumes_from:
        name, _, mode = word.partition(":")
        if mode not in ("", *_ACCESS, *_LABELS):
            raise Invalid(f"invalid mode for volumes-from: {mode!r}")
        for inherited in mounts_of(name):
            points[inherited.destination] = replace(inherited, rw=inherited.rw and mode != "ro", copy_up=False)
    said: set[str] = set()
    explicit = [parse_bind(spec) for spec in host.binds] + [from_request(request) for request in host.mounts]
    explicit += [
        MountPoint(TMPFS, _destination(path, path), options=options, rw="ro" not in options.split(","), copy_up=False)
        for path, options in host.tmpfs.items()
    ]
    for point in explicit:
        if point.destination in said:
            raise Invalid(f"Duplicate mount point: {point.destination}")
        said.add(point.destination)
        points[point.destination] = point
    for path in config.volumes:
        destination = _destination(path, path)
        points.setdefault(destination, MountPoint(VOLUME, destination, driver="local"))
    return tuple(points[destination] for destination in sorted(points))


def _destination(path: str, spec: str) -> str:
    if not path.startswith("/"):
        reason = f"invalid mount path: '{path}' mount path must be absolute"
        raise Invalid(f"invalid volume specification: '{spec}': {reason}")
    destination = posixpath.normpath(path)
    if destination in ("/", "//"):
        raise Invalid(f"invalid volume specification: '{spec}': invalid specification: destination can't be '/'")
    return destination
