"""The terms on which a container lives on this machine: limits, mounts, modes, ports, privileges.

Frozen values and their checks; it knows nothing of images, kernels or other containers.

Source: Docker Engine API 1.41, HostConfig; Docker's ``daemon/daemon_unix.go`` (verifyPlatformContainerResources).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mini_docker.daemon.container import api_json
from mini_docker.daemon.container.api_json import WORDS, named
from mini_docker.daemon.container.port_words import parse_host_ports, parse_port
from mini_docker.daemon.container.restart import RestartPolicy
from mini_docker.dataclasses import dataclass, field, replace
from mini_docker.errors import Invalid
from mini_docker.units import parse_size

MEGABYTE = 1 << 20
DEFAULT_SHM_BYTES = 64 * MEGABYTE
MIN_MEMORY_BYTES = 6 * MEGABYTE

# Docker's lists, as ``docker inspect`` shows them.
MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Which logging driver writes the container's output."""

    type: str = ""
    config: Mapping[str, str] = field(default_factory=dict)

    def limits(self) -> tuple[int, int]:
        """Bytes at which a new file is begun (0: never), and how many files are kept.

        Raises:
            Invalid: ``max-size`` or ``max-file`` is none.
        """
        files = self.config.get("max-file", "1")
        if not (files.isascii() and files.isdigit()) or int(files) < 1:
            raise Invalid(f"invalid value for log-opt max-file: {files!r}: a number from 1")
        size = self.config.get("max-size", "0")
        return (0 if size == "-1" else parse_size(size)), int(files)


@dataclass(frozen=True, slots=True)
class HostPort:
    """One wish for a host port: ``{"HostIp": "127.0.0.1", "HostPort": "8080"}``."""

    host_ip: str = ""
    host_port: str = ""


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A resource limit by its short name, ``nofile``."""

    name: str = ""
    soft: int = 0
    hard: int = 0


@dataclass(frozen=True, slots=True)
class DeviceMapping:
    """A host device wished for in the container."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class WeightDevice:
    """A block device and its weight."""

    path: str = ""
    weight: int = 0


@dataclass(frozen=True, slots=True)
class ThrottleDevice:
    """A block device and a rate, in bytes or operations a second."""

    path: str = ""
    rate: int = 0


@dataclass(frozen=True, slots=True)
class BindOptions:
    """Options of a bind mount."""

    propagation: str = ""
    non_recursive: bool = False


@dataclass(frozen=True, slots=True)
class VolumeDriverConfig:
    """Which volume driver makes a volume, with which options."""

    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VolumeOptions:
    """Options of a volume mount."""

    no_copy: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    driver_config: VolumeDriverConfig = VolumeDriverConfig()


@dataclass(frozen=True, slots=True)
class TmpfsOptions:
    """Options of a tmpfs mount."""

    size_bytes: int = 0
    mode: int = 0


@dataclass(frozen=True, slots=True)
class MountRequest:
    """One ``--mount``."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions = BindOptions()
    volume_options: VolumeOptions = VolumeOptions()
    tmpfs_options: TmpfsOptions = TmpfsOptions()


@dataclass(frozen=True, slots=True)
class HostConfig:
    """The machine's side of a container. Sizes are bytes, times microseconds, unless the name says otherwise.

    Attributes:
        network_mode: default, bridge, host, none, container:ID or a network's name.
        nano_cpus: CPUs times 10**9.
        memory_swap: memory *and* swap together; 0 not said, -1 unlimited.
        masked_paths, readonly_paths: None is Docker's default lists.
    """

    binds: tuple[str, ...] = ()
    container_id_file: str = field(default="", metadata=named("ContainerIDFile"))
    log_config: LogConfig = LogConfig()
    network_mode: str = ""
    port_bindings: Mapping[str, tuple[HostPort, ...] | None] = field(default_factory=dict)
    restart_policy: RestartPolicy = field(default_factory=RestartPolicy)
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = field(default=(), metadata=WORDS)
    cap_drop: tuple[str, ...] = field(default=(), metadata=WORDS)
    cgroupns_mode: str = ""
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    ipc_mode: str = ""
    cgroup: str = ""
    links: tuple[str, ...] = ()
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: tuple[str, ...] = ()
    storage_opt: Mapping[str, str] = field(default_factory=dict)
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    uts_mode: str = field(default="", metadata=named("UTSMode"))
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: Mapping[str, str] = field(default_factory=dict)
    runtime: str = ""
    console_size: tuple[int, ...] = (0, 0)
    isolation: str = ""
    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: tuple[WeightDevice, ...] = ()
    blkio_device_read_bps: tuple[ThrottleDevice, ...] = ()
    blkio_device_write_bps: tuple[ThrottleDevice, ...] = ()
    blkio_device_read_iops: tuple[ThrottleDevice, ...] = field(default=(), metadata=named("BlkioDeviceReadIOps"))
    blkio_device_write_iops: tuple[ThrottleDevice, ...] = field(default=(), metadata=named("BlkioDeviceWriteIOps"))
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: tuple[DeviceMapping, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    device_requests: tuple[Any, ...] = ()
    kernel_memory: int = 0
    kernel_memory_tcp: int = field(default=0, metadata=named("KernelMemoryTCP"))
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    pids_limit: int | None = None
    ulimits: tuple[Ulimit, ...] = ()
    mounts: tuple[MountRequest, ...] = ()
    init: bool | None = None
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, data: Any) -> HostConfig:
        """Decode and check the Remote API's form.

        Raises:
            Invalid: a field of the wrong type or with an impossible value; the message names it.
        """
        host = api_json.decode(cls, data, "HostConfig")
        _check_limits(host)
        _check_ports(host)
        if host.auto_remove and host.restart_policy.restarts:
            raise Invalid("can't create 'AutoRemove' container with restart policy")
        return host

    def to_json(self) -> dict[str, Any]:
        """The whole form, as ``docker inspect`` shows it."""
        data: dict[str, Any] = api_json.encode(self)
        data["MaskedPaths"] = list(self.effective_masked_paths)
        data["ReadonlyPaths"] = list(self.effective_readonly_paths)
        for name in ("StorageOpt", "Tmpfs", "Sysctls"):
            if not data[name]:
                del data[name]
        if not self.mounts:
            del data["Mounts"]
        return data

    def with_defaults(self, cgroup_version: int) -> HostConfig:
        """With every choice made that Docker makes when a container is created.

        Args:
            cgroup_version: 1 or 2: the default cgroup namespace is the host's on v1, private on v2.
        """
        memory_swap = self.memory_swap
        if self.memory > 0 and memory_swap == 0:
            memory_swap = self.memory * 2
        return replace(
            self,
            network_mode=self.network_mode or "default",
            ipc_mode=self.ipc_mode or "private",
            cgroupns_mode=self.cgroupns_mode or ("host" if cgroup_version == 1 else "private"),
            shm_size=self.shm_size or DEFAULT_SHM_BYTES,
            memory_swap=memory_swap,
            log_config=self.log_config if self.log_config.type else replace(self.log_config, type="json-file"),
            runtime=self.runtime or "native",
            restart_policy=self.restart_policy if self.restart_policy.name else RestartPolicy("no"),
        )

    @property
    def effective_masked_paths(self) -> tuple[str, ...]:
        """Paths of /proc and /sys that the container sees nothing in."""
        if self.masked_paths is not None:
            return self.masked_paths
        return () if self.privileged else MASKED_PATHS

    @property
    def effective_readonly_paths(self) -> tuple[str, ...]:
        """Paths of /proc that the container may not write to."""
        if self.readonly_paths is not None:
            return self.readonly_paths
        return () if self.privileged else READONLY_PATHS


def _check_limits(host: HostConfig) -> None:
    if host.memory and host.memory < MIN_MEMORY_BYTES:
        raise Invalid("Minimum memory limit allowed is 6MB")
    if host.memory > 0 and 0 < host.memory_swap < host.memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    if host.memory == 0 and host.memory_swap > 0:
        raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    if host.memory and host.memory_reservation > host.memory:
        raise Invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
    if host.memory_swappiness is not None and not -1 <= host.memory_swappiness <= 100:
        raise Invalid(f"Invalid value: {host.memory_swappiness}, valid memory swappiness range is 0-100")
    if host.nano_cpus and (host.cpu_period or host.cpu_quota):
        raise Invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if host.nano_cpus:
        _check_cpus(host.nano_cpus)
    if host.cpu_shares < 0:
        raise Invalid(f"invalid CPU shares ({host.cpu_shares}): value must be a positive integer")
    if host.cpu_period and not 1000 <= host.cpu_period <= 1_000_000:
        raise Invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < host.cpu_quota < 1000:
        raise Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host.blkio_weight and not 10 <= host.blkio_weight <= 1000:
        raise Invalid("Range of blkio weight is from 10 to 1000")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise Invalid(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if len(host.console_size) != 2:
        raise Invalid("HostConfig.ConsoleSize: expected two numbers, height and width")
    if host.shm_size < 0:
        raise Invalid("SHM size can not be less than 0")
    for ulimit in host.ulimits:
        if ulimit.hard != -1 and (ulimit.soft == -1 or ulimit.soft > ulimit.hard):
            raise Invalid(f"ulimit {ulimit.name}: soft limit must be less than or equal to hard limit")
    host.restart_policy.check()


def _check_cpus(nano_cpus: int) -> None:
    cpus = os.cpu_count() or 1  # reads a file of the kernel's
    if not 0 < nano_cpus <= cpus * 10**9:
        raise Invalid(f"range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available")


def _check_ports(host: HostConfig) -> None:
    for key, wishes in host.port_bindings.items():
        parse_port(key)
        for wish in wishes or ():
            parse_host_ports(wish.host_port)
