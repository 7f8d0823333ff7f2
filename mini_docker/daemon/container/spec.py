"""The architect's drawing: from what a user ordered (`ContainerConfig`, `HostConfig`) to what libcontainer builds.

One pure function, `container_spec`. All that must be looked up first (device numbers, namespaces of
others, the machine's cgroup version) comes in as `Surroundings`, so that every rule of Docker's here
is tested without root. It knows nothing of images, processes or drivers.

Source: Docker's ``daemon/oci_linux.go`` and ``oci/defaults.go``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mini_docker.daemon.container.config import ContainerConfig
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.mount_point import MountPoint
from mini_docker.daemon.container.security import SecurityOptions
from mini_docker.dataclasses import dataclass, field
from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import (
    Capabilities,
    ContainerSpec,
    Device,
    DeviceRule,
    Mount,
    Namespace,
    ProcessSpec,
    Resources,
    Rlimit,
    ThrottleDevice,
)
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CPU_PERIOD_US = 100_000
SHM = "/dev/shm"  # noqa: S108  # a mount point of the container's own, not a shared folder
DEVPTS_OPTIONS = ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5")

DEFAULT_DEVICES = (
    Device("/dev/null", "c", 1, 3),
    Device("/dev/zero", "c", 1, 5),
    Device("/dev/full", "c", 1, 7),
    Device("/dev/random", "c", 1, 8),
    Device("/dev/urandom", "c", 1, 9),
    Device("/dev/tty", "c", 5, 0),
)

DEFAULT_DEVICE_RULES = (
    DeviceRule(False),
    # Any node may be made, for an archive to be unpacked; few may be opened.
    DeviceRule(True, "c", access="m"),
    DeviceRule(True, "b", access="m"),
    *(DeviceRule(True, device.kind, device.major, device.minor) for device in DEFAULT_DEVICES),
    DeviceRule(True, "c", 5, 1),  # console
    DeviceRule(True, "c", 5, 2),  # ptmx
    DeviceRule(True, "c", 136),  # pts
)

_DEVICE_RULE = re.compile(r"([abc]) (\d+|\*):(\d+|\*) ([rwm]{1,3})\Z", re.ASCII)
_NAMESPACED_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced",
)  # fmt: skip

_MODES = {"pid": "pid_mode", "ipc": "ipc_mode", "uts": "uts_mode", "network": "network_mode"}
"""Namespace kinds that a mode of the host config decides on, and that mode."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the drawing needs to know of the world.

    Attributes:
        cgroup_version: 1 or 2.
        host_name: the machine's own.
        joined: namespace kind → /proc/PID/ns file, for modes ``container:ID``.
        joined_name: host name of the container whose network it shares; empty for none.
        system_files: path in the container → file on the host: /etc/hosts and its kind.
        links_env: variables of ``--link``.
        seccomp: Docker's default profile; None when the kernel cannot filter.
        capabilities: what the container may have, adjustments made.
        devices: the host devices asked for (all of them for a privileged container), each with the access granted.
        ids: who the container's users are on the host; empty when it is born into no user namespace of its own.
        device_numbers: path of a block device → (major, minor), for the block io limits.
    """

    cgroup_version: int = 1
    host_name: str = ""
    joined: Mapping[str, str] = field(default_factory=dict)
    joined_name: str = ""
    system_files: Mapping[str, str] = field(default_factory=dict)
    links_env: tuple[str, ...] = ()
    seccomp: dict[str, Any] | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)
    devices: tuple[tuple[Device, str], ...] = ()
    device_numbers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    ids: IdMapping = NO_MAPPING


def container_spec(
    container: str,
    config: ContainerConfig,
    host: HostConfig,
    mounts: Sequence[MountPoint],
    world: Surroundings,
) -> ContainerSpec:
    """Everything that libcontainer must know of a container.

    Raises:
        Invalid: options that contradict each other or name what does not exist.
    """
    namespaces = _namespaces(host, world)
    kinds = {namespace.kind for namespace in namespaces}
    hostname = world.joined_name or hostname_of(container, config, host, world.host_name)
    security = SecurityOptions.parse(host.security_opt)
    return ContainerSpec(
        process=ProcessSpec(
            args=config.command,
            env=environment(config, hostname, world.links_env),
            cwd=config.working_dir or "/",
            user=config.user,
            additional_groups=host.group_add,
            terminal=config.tty,
            capabilities=world.capabilities,
            rlimits=tuple(_rlimit(ulimit.name, ulimit.soft, ulimit.hard) for ulimit in host.ulimits),
            no_new_privileges=security.no_new_privileges,
            seccomp=_seccomp(host, security, world),
            apparmor_profile=security.apparmor_profile,
            selinux_label=security.selinux_label,
            oom_score_adj=host.oom_score_adj or None,
        ),
        namespaces=namespaces,
        # Who shares the host's names must not rename the host.
        hostname=hostname if "uts" in kinds and "uts" not in world.joined else "",
        domainname=config.domainname if "uts" in kinds and "uts" not in world.joined else "",
        root_readonly=host.readonly_rootfs,
        mounts=_all_mounts(host, mounts, world),
        devices=_devices(world),
        masked_paths=host.effective_masked_paths,
        readonly_paths=host.effective_readonly_paths,
        sysctls=_sysctls(host, kinds),
        uid_map=world.ids.uids,
        gid_map=world.ids.gids,
        cgroup=cgroup_of(container, host),
        resources=resources_of(host, world),
        init=bool(host.init),
    )


def cgroup_of(container: str, host: HostConfig) -> str:
    """Where the container's cgroups lie, below the roots of the hierarchies."""
    return f"{host.cgroup_parent.strip('/') or 'mini-docker'}/{container}"


def hostname_of(container: str, config: ContainerConfig, host: HostConfig, host_name: str) -> str:
    """The name a container calls itself: its own, the host's when it shares the host's network, or its short id."""
    if config.hostname:
        return config.hostname
    return host_name if "host" in (host.network_mode, host.uts_mode) else container[:12]


def environment(config: ContainerConfig, hostname: str, links: Iterable[str] = ()) -> tuple[str, ...]:
    """The variables in Docker's order: PATH, HOSTNAME, TERM on a terminal, links, then the config's.

    A later word replaces an earlier one in its place; a name without ``=`` removes it. HOME comes
    last, from libcontainer, which alone can read the container's passwd file.
    """
    words = [DEFAULT_PATH, f"HOSTNAME={hostname}"]
    if config.tty:
        words.append("TERM=xterm")
    return merge_environment(words, (*links, *config.env))


def merge_environment(base: Iterable[str], later: Iterable[str]) -> tuple[str, ...]:
    """*base* with the words of *later* put in place of their namesakes, or at the end; ``K`` alone removes."""
    values: dict[str, str] = {}
    for word in (*base, *later):
        name, equals, _ = word.partition("=")
        if equals:
            values[name] = word
        else:
            values.pop(name, None)
    return tuple(values.values())


def _namespaces(host: HostConfig, world: Surroundings) -> tuple[Namespace, ...]:
    kinds = [Namespace("mount")]
    if "user" in world.joined:
        kinds.append(Namespace("user", world.joined["user"]))
    elif world.ids:
        kinds.append(Namespace("user"))
    for kind, attribute in _MODES.items():
        if kind in world.joined:
            kinds.append(Namespace(kind, world.joined[kind]))
        elif getattr(host, attribute) != "host":
            kinds.append(Namespace(kind))
    default = "host" if world.cgroup_version == 1 else "private"
    if (host.cgroupns_mode or default) == "private":
        kinds.append(Namespace("cgroup"))
    return tuple(kinds)


def _seccomp(host: HostConfig, security: SecurityOptions, world: Surroundings) -> dict[str, Any] | None:
    if host.privileged or security.seccomp_unconfined:
        return None
    return security.seccomp_profile or world.seccomp


def _all_mounts(host: HostConfig, points: Sequence[MountPoint], world: Surroundings) -> tuple[Mount, ...]:
    """System mounts, then the user's from the shallowest to the deepest, so that none hides another.

    A place that the user mounts something at loses the system's own mount there.
    """
    taken = {point.destination for point in points}
    system = [mount for mount in _system_mounts(host, world) if mount.destination not in taken]
    files = [
        Mount(path, "bind", source, ("rbind", "rprivate"))
        for path, source in world.system_files.items()
        if path not in taken
    ]
    users = [_users_mount(point, host.shm_size) for point in points]
    return tuple(system + sorted(files + users, key=lambda mount: (mount.destination.count("/"), mount.destination)))


def _system_mounts(host: HostConfig, world: Surroundings) -> list[Mount]:
    access = "rw" if host.privileged else "ro"
    mounts = [
        Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        Mount("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", *DEVPTS_OPTIONS)),
        Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", access)),
        Mount("/sys/fs/cgroup", "cgroup", "cgroup", (access, "nosuid", "noexec", "nodev")),
        Mount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ]
    if host.ipc_mode == "host":
        # Shared memory belongs to the IPC namespace: who shares that shares these, too.
        if world.ids or "user" in world.joined:  # what is the host's may be shown there, and not mounted
            mounts[-1] = Mount("/dev/mqueue", "bind", "/dev/mqueue", ("rbind", "nosuid", "noexec", "nodev"))
        mounts.append(Mount(SHM, "bind", SHM, ("rbind", "rprivate")))
    elif "ipc" in world.joined:
        others_root = world.joined["ipc"].replace("/ns/ipc", "/root")
        mounts.append(Mount(SHM, "bind", others_root + SHM, ("bind", "rprivate")))
    elif host.ipc_mode != "none":
        options = ("nosuid", "noexec", "nodev", "mode=1777", f"size={host.shm_size or 64 << 20}")
        mounts.append(Mount(SHM, "tmpfs", "shm", options))
    return mounts


def _users_mount(point: MountPoint, shm_size: int) -> Mount:
    if point.type == "tmpfs":
        words = ["nosuid", "nodev", "noexec", *filter(None, point.options.split(","))]
        opposite = {"suid": "nosuid", "dev": "nodev", "exec": "noexec", "rw": "ro", "ro": "rw"}
        kept: list[str] = []
        for word in words:  # the later word wins
            if word in opposite and opposite[word] in kept:
                kept.remove(opposite[word])
            if word not in kept:
                kept.append(word)
        if not point.rw and "ro" not in kept:
            kept.append("ro")
        return Mount(point.destination, "tmpfs", "tmpfs", tuple(kept))
    options = ["rbind" if point.recursive else "bind", point.propagation or "rprivate"]
    if not point.rw:
        options.append("ro")
    return Mount(point.destination, "bind", point.source, tuple(options))


def _devices(world: Surroundings) -> tuple[Device, ...]:
    """The default nodes, and those asked for; of one path, the one that was asked for."""
    nodes = {device.path: device for device in (*DEFAULT_DEVICES, *(device for device, _ in world.devices))}
    return tuple(nodes.values())


def _rlimit(name: str, soft: int, hard: int) -> Rlimit:
    infinity = (1 << 64) - 1
    return Rlimit(
        f"RLIMIT_{name.removeprefix('RLIMIT_').upper()}",
        infinity if soft == -1 else soft,
        infinity if hard == -1 else hard,
    )


def _sysctls(host: HostConfig, kinds: set[str]) -> dict[str, str]:
    for name in host.sysctls:
        if name.startswith("net."):
            if "network" not in kinds:
                raise Invalid(f"sysctl '{name}' not allowed in host network namespace")
        elif name.startswith("fs.mqueue.") or name in _NAMESPACED_SYSCTLS:
            if "ipc" not in kinds:
                raise Invalid(f"sysctl '{name}' not allowed in host ipc namespace")
        else:
            raise Invalid(f"sysctl '{name}' is not in a separate kernel namespace")
    return dict(host.sysctls)


def resources_of(host: HostConfig, world: Surroundings) -> Resources:
    """The limits in the kernel's terms.

    Raises:
        Invalid: a device rule or a block device that cannot be.
    """
    quota, period = host.cpu_quota, host.cpu_period
    if host.nano_cpus:
        quota, period = host.nano_cpus * CPU_PERIOD_US // 10**9, CPU_PERIOD_US

    def throttle(pairs: Iterable[tuple[str, int]]) -> tuple[ThrottleDevice, ...]:
        return tuple(ThrottleDevice(*world.device_numbers[path], value) for path, value in pairs)

    swap = host.memory_swap or (host.memory * 2 if host.memory > 0 else 0)
    return Resources(
        memory_bytes=host.memory,
        memory_reservation_bytes=host.memory_reservation,
        memory_swap_bytes=swap,
        memory_swappiness=-1 if host.memory_swappiness is None else host.memory_swappiness,
        kernel_memory_bytes=host.kernel_memory,
        oom_kill_disable=host.oom_kill_disable,
        cpu_shares=host.cpu_shares,
        cpu_quota_us=quota,
        cpu_period_us=period,
        cpu_realtime_runtime_us=host.cpu_realtime_runtime,
        cpu_realtime_period_us=host.cpu_realtime_period,
        cpuset_cpus=host.cpuset_cpus,
        cpuset_mems=host.cpuset_mems,
        pids=-1 if host.pids_limit in (0, -1) else host.pids_limit or 0,
        blkio_weight=host.blkio_weight,
        blkio_weight_devices=throttle((device.path, device.weight) for device in host.blkio_weight_device),
        blkio_read_bps=throttle((device.path, device.rate) for device in host.blkio_device_read_bps),
        blkio_write_bps=throttle((device.path, device.rate) for device in host.blkio_device_write_bps),
        blkio_read_iops=throttle((device.path, device.rate) for device in host.blkio_device_read_iops),
        blkio_write_iops=throttle((device.path, device.rate) for device in host.blkio_device_write_iops),
        devices=_device_rules(host, world),
    )


def _device_rules(host: HostConfig, world: Surroundings) -> tuple[DeviceRule, ...]:
    if host.privileged:
        return (DeviceRule(True),)
    granted = tuple(
        DeviceRule(True, device.kind, device.major, device.minor, access) for device, access in world.devices
    )
    return DEFAULT_DEVICE_RULES + granted + tuple(_parse_device_rule(rule) for rule in host.device_cgroup_rules)


def _parse_device_rule(rule: str) -> DeviceRule:
    match = _DEVICE_RULE.match(rule)
    if match is None:
        raise Invalid(f"invalid device cgroup rule format: '{rule}'")
    major, minor = (-1 if number == "*" else int(number) for number in match.group(2, 3))
    return DeviceRule(True, match[1], major, minor, match[4])
