"""What a container is, as data: libcontainer's own words for the OCI runtime configuration.

Frozen values only. A spec says what shall be, in the kernel's terms; it knows nothing of images,
names or Docker's options. It crosses to the supervisor as JSON (`to_json`, `from_json`).

Source: OCI runtime specification 1.2, config.md and config-linux.md.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable
from typing import Any

from mini_docker import dataclasses
from mini_docker.dataclasses import dataclass, field
from mini_docker.errors import Invalid
from mini_docker.linux.id_mapping import IdMap

NAMESPACES = ("pid", "mount", "uts", "ipc", "network", "cgroup", "user", "time")


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace of the container: new, or that of another process.

    Attributes:
        kind: one of `NAMESPACES`. A kind that is not listed in the spec is shared with the host.
        path: a /proc/PID/ns file to join; empty for a new one.
    """

    kind: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class TimeOffset:
    """How far a clock of the container is ahead of the machine's; *clock* is monotonic or boottime."""

    clock: str
    seconds: int
    nanoseconds: int = 0


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount inside the container, in the order in which they are made.

    Attributes:
        destination: absolute in the container.
        type: file system type; ``bind`` for a bind mount.
        source: device or host path.
        options: as in fstab: ro, nosuid, noexec, nodev, bind, rbind, rprivate, rslave, size=…, …
    """

    destination: str
    type: str
    source: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """A device node to make in /dev."""

    path: str
    kind: str  # c, b or p
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """One line of the device access list. A major or minor of -1 means any."""

    allow: bool
    kind: str = "a"
    major: int = -1
    minor: int = -1
    access: str = "rwm"


@dataclass(frozen=True, slots=True)
class Rlimit:
    """A resource limit: ``RLIMIT_NOFILE`` and so on."""

    kind: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class ThrottleDevice:
    """A block device and a number for it: a weight, or bytes or operations a second."""

    major: int
    minor: int
    value: int


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits, in the OCI's units; 0 (or empty) means "not set", -1 "unlimited" where the kernel knows it.

    Attributes:
        memory_bytes, memory_reservation_bytes: hard and soft limit.
        memory_swap_bytes: memory *and* swap together, as cgroup v1 and Docker count.
        memory_swappiness: 0 to 100; -1 not set.
        oom_kill_disable: v1 only.
        cpu_shares: 2 to 262144 (v1's scale).
        cpu_quota_us, cpu_period_us: microseconds of CPU time in each period.
        cpuset_cpus, cpuset_mems: lists such as ``0-1,3``.
        pids: most processes; -1 unlimited.
        blkio_weight: 10 to 1000.
        hugepages: page size (``2MB``) to bytes.
    """

    memory_bytes: int = 0
    memory_reservation_bytes: int = 0
    memory_swap_bytes: int = 0
    memory_swappiness: int = -1
    kernel_memory_bytes: int = 0
    oom_kill_disable: bool = False
    cpu_shares: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 0
    cpu_realtime_runtime_us: int = 0
    cpu_realtime_period_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids: int = 0
    blkio_weight: int = 0
    blkio_weight_devices: tuple[ThrottleDevice, ...] = ()
    blkio_read_bps: tuple[ThrottleDevice, ...] = ()
    blkio_write_bps: tuple[ThrottleDevice, ...] = ()
    blkio_read_iops: tuple[ThrottleDevice, ...] = ()
    blkio_write_iops: tuple[ThrottleDevice, ...] = ()
    hugepages: dict[str, int] = field(default_factory=dict)
    devices: tuple[DeviceRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The five sets of capabilities(7), by name (``CAP_CHOWN``)."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to run in a container: its init, or an exec.

    Attributes:
        args: the command; ``args[0]`` is looked up in the container's own PATH.
        env: ``K=V`` words. HOME is added from the container's passwd file where absent.
        cwd: absolute; made when it does not exist, as Docker does.
        user: ``user[:group]`` by name or number, looked up in the container's own files; empty is root.
        additional_groups: by name or number.
        terminal: whether it gets one; *rows* and *columns* its first size, 0 unknown.
        keep_capabilities: a user other than root keeps the sets as listed, and has the groups that are listed, as the
            OCI says; else it starts with none but the ambient ones, and its own group is a supplementary one, too, as
            Docker has it.
        seccomp: a profile in Docker's JSON form; None runs unconfined.
        oom_score_adj: -1000 to 1000; None leaves it.
        umask: which permission bits new files lack.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    additional_groups: tuple[str, ...] = ()
    terminal: bool = False
    rows: int = 0
    columns: int = 0
    capabilities: Capabilities = Capabilities()
    keep_capabilities: bool = False
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    seccomp: dict[str, Any] | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""
    oom_score_adj: int | None = None
    umask: int = 0o022


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A whole container.

    Attributes:
        root_readonly: the root file system is read-only.
        root_propagation: shared, slave, private (default) or unbindable.
        time_offsets: of the clocks of a new time namespace.
        cgroup: path below the cgroup root, ``docker/<id>``.
        init: run a small init of ours as PID 1, which reaps and forwards signals.
    """

    process: ProcessSpec
    namespaces: tuple[Namespace, ...]
    hostname: str = ""
    domainname: str = ""
    root_readonly: bool = False
    root_propagation: str = "private"
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    time_offsets: tuple[TimeOffset, ...] = ()
    cgroup: str = ""
    resources: Resources = Resources()
    init: bool = False
    mount_label: str = ""

    def has_own(self, kind: str) -> bool:
        """Whether the container has a namespace of this kind apart from the host's, new or another's."""
        return any(namespace.kind == kind for namespace in self.namespaces)

    def has_new(self, kind: str) -> bool:
        """Whether the container gets a new namespace of this kind."""
        return any(namespace.kind == kind and not namespace.path for namespace in self.namespaces)


def to_json(value: Any) -> Any:
    """Any value of this module as JSON-able data, defaults left out; `from_json` is the inverse."""
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    cls: Any = type(value)
    fields = fields_of(cls)
    if fields is None:
        return value
    data = {}
    for name, default in fields:
        item = getattr(value, name)
        if item is not default and item != default:
            data[name] = to_json(item)
    return data


T = typing.TypeVar("T")


def from_json(cls: type[T], data: Any) -> T:
    """Rebuild a value of this module from JSON data.

    Raises:
        Invalid: a field is missing, unknown or of another type; the message names it.
    """
    try:
        return typing.cast(T, decoder(typing.cast(Any, cls))(data))
    except _Misfit as misfit:
        raise Invalid(f"{cls.__name__}{misfit.way}: {misfit}") from None


class _Misfit(ValueError):
    """Data that does not fit. The way to it, ``.mounts[2].type``, is put together on the way out: only errors pay."""

    way = ""

    def below(self, step: str) -> _Misfit:
        self.way = step + self.way
        return self


Decoder = Callable[[Any], Any]
"""Checks JSON data and makes a value of it."""


@functools.cache
def decoder(kind: Any) -> Decoder:
    """What checks and rebuilds data of this type; made once a type, since each start decodes a whole spec."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda data: data
    if origin in (types.UnionType, typing.Union):  # only ever "T | None" here
        some = decoder(args[0])
        return lambda data: None if data is None else some(data)
    if origin is tuple:
        return _tuple_decoder(decoder(args[0]))
    if origin is dict:
        return _dict_decoder(decoder(args[1]))
    if dataclasses.is_dataclass(kind):
        return _dataclass_decoder(kind)
    return _plain_decoder(kind)


def _plain_decoder(kind: type) -> Decoder:
    def decode(data: Any) -> Any:
        if type(data) is not kind:
            raise _Misfit(f"expected {kind.__name__}, got {type(data).__name__}")
        return data

    return decode


def _tuple_decoder(of_item: Decoder) -> Decoder:
    def decode(data: Any) -> Any:
        if not isinstance(data, list | tuple):
            raise _Misfit(f"expected a list, got {type(data).__name__}")
        try:
            return tuple(map(of_item, data))
        except _Misfit:
            return tuple(_below(f"[{index}]", of_item, item) for index, item in enumerate(data))

    return decode


def _dict_decoder(of_item: Decoder) -> Decoder:
    def decode(data: Any) -> Any:
        if not isinstance(data, dict):
            raise _Misfit(f"expected an object, got {type(data).__name__}")
        return {key: _below(f".{key}", of_item, item) for key, item in data.items()}

    return decode


def _dataclass_decoder(kind: Any) -> Decoder:
    fields = {name: decoder(hint) for name, hint in typing.get_type_hints(kind).items()}

    def decode(data: Any) -> Any:
        if not isinstance(data, dict):
            raise _Misfit(f"expected an object, got {type(data).__name__}")
        if not data.keys() <= fields.keys():
            raise _Misfit(f"unknown field {min(data.keys() - fields.keys())!r}")
        try:
            values = {name: fields[name](item) for name, item in data.items()}
        except _Misfit:
            values = {name: _below(f".{name}", fields[name], item) for name, item in data.items()}
        try:
            return kind(**values)
        except TypeError as error:
            raise _Misfit(str(error)) from None

    return decode


def _below(step: str, decode: Decoder, data: Any) -> Any:
    try:
        return decode(data)
    except _Misfit as misfit:
        raise misfit.below(step) from None


@functools.cache
def fields_of(cls: type) -> tuple[tuple[str, Any], ...] | None:
    """The fields of a class of this module, each with its default; None for a plain type."""
    if not dataclasses.is_dataclass(cls):
        return None
    return tuple(
        (field.name, field.default if field.default_factory is dataclasses.MISSING else field.default_factory())
        for field in dataclasses.fields(cls)
    )
