"""What this kernel can limit, and Docker's words for what it cannot.

Docker does not refuse a container whose limits the kernel lacks: it drops the limit and warns. The
features are found once, by looking which control files exist; `drop_unsupported` is pure.
It knows nothing of single containers.

Source: Docker's ``pkg/sysinfo`` and ``daemon/daemon_unix.go``.
"""

from __future__ import annotations

from mini_docker import dataclasses
from mini_docker.dataclasses import dataclass
from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy
from mini_docker.libcontainer.config import Resources
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel


@dataclass(frozen=True, slots=True)
class CgroupFeatures:
    """One field a kind of limit; ``info`` shows many of them.

    Attributes:
        cpu_rt: realtime scheduling of groups.
        bfq: block weights are the BFQ scheduler's (files named ``*.bfq.weight``).
    """

    memory: bool = False
    memory_swap: bool = False
    memory_reservation: bool = False
    memory_swappiness: bool = False
    kernel_memory: bool = False
    oom_kill_disable: bool = False
    cpu_shares: bool = False
    cpu_quota: bool = False
    cpu_rt: bool = False
    cpuset: bool = False
    pids: bool = False
    blkio_weight: bool = False
    blkio_weight_device: bool = False
    blkio_throttle: bool = False
    bfq: bool = False
    hugetlb: bool = False
    devices: bool = False
    freezer: bool = False


def detect_features(kernel: Kernel, hierarchy: Hierarchy) -> CgroupFeatures:
    """Look which control files exist.

    Raises:
        SyscallError: the v2 root cannot be read.
    """
    return _detect_v2(kernel, hierarchy) if hierarchy.version == 2 else _detect_v1(kernel, hierarchy)


def _detect_v1(kernel: Kernel, hierarchy: Hierarchy) -> CgroupFeatures:
    def has(controller: str, file: str) -> bool:
        return controller in hierarchy.mounts and _readable(kernel, f"{hierarchy.mounts[controller]}/{file}")

    # The root has no weight itself; where BFQ keeps its account in the root, every child has one.
    bfq = has("blkio", "blkio.bfq.io_service_bytes")
    return CgroupFeatures(
        memory=has("memory", "memory.limit_in_bytes"),
        memory_swap=has("memory", "memory.memsw.limit_in_bytes"),
        memory_reservation=has("memory", "memory.soft_limit_in_bytes"),
        memory_swappiness=has("memory", "memory.swappiness"),
        kernel_memory=has("memory", "memory.kmem.limit_in_bytes"),
        oom_kill_disable=has("memory", "memory.oom_control"),
        cpu_shares=has("cpu", "cpu.shares"),
        cpu_quota=has("cpu", "cpu.cfs_quota_us"),
        cpu_rt=has("cpu", "cpu.rt_runtime_us"),
        cpuset=has("cpuset", "cpuset.cpus"),
        pids="pids" in hierarchy.mounts,
        blkio_weight=bfq or has("blkio", "blkio.weight"),
        blkio_weight_device=bfq or has("blkio", "blkio.weight_device"),
        blkio_throttle=has("blkio", "blkio.throttle.read_bps_device"),
        bfq=bfq,
        hugetlb="hugetlb" in hierarchy.mounts,
        devices="devices" in hierarchy.mounts,
        freezer="freezer" in hierarchy.mounts,
    )


def _detect_v2(kernel: Kernel, hierarchy: Hierarchy) -> CgroupFeatures:
    controllers = kernel.read_file(f"{hierarchy.unified}/cgroup.controllers").split()
    memory, cpu, io = "memory" in controllers, "cpu" in controllers, "io" in controllers
    # The root has no limits of its own; a child of it shows what the kernel was built with.
    child = hierarchy.own.get("", "/").strip("/") or "init.scope"
    bfq = io and _readable(kernel, f"{hierarchy.unified}/{child}/io.bfq.weight")
    return CgroupFeatures(
        memory=memory,
        memory_swap=memory and _readable(kernel, "/proc/swaps"),
        memory_reservation=memory,
        cpu_shares=cpu,
        cpu_quota=cpu,
        cpuset="cpuset" in controllers,
        pids="pids" in controllers,
        blkio_weight=io,
        blkio_weight_device=io,
        blkio_throttle=io,
        bfq=bfq,
        hugetlb="hugetlb" in controllers,
        devices=True,
        freezer=True,
    )


def _readable(kernel: Kernel, path: str) -> bool:
    try:
        kernel.read_file(path)
    except SyscallError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Limit:
    """Fields of Resources that need one feature, and what is said without it."""

    feature: str
    fields: tuple[str, ...]
    warning: str


_MISSING = "Your kernel does not support"
_LIMITS = (
    _Limit(
        "memory",
        ("memory_bytes", "memory_swap_bytes"),
        f"{_MISSING} memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
    ),
    _Limit(
        "memory_swap",
        ("memory_swap_bytes",),
        f"{_MISSING} swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
    ),
    _Limit(
        "memory_swappiness",
        ("memory_swappiness",),
        f"{_MISSING} memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    ),
    _Limit(
        "memory_reservation",
        ("memory_reservation_bytes",),
        f"{_MISSING} memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
    ),
    _Limit(
        "kernel_memory",
        ("kernel_memory_bytes",),
        f"{_MISSING} kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
    ),
    _Limit("oom_kill_disable", ("oom_kill_disable",), f"{_MISSING} OomKillDisable. OomKillDisable discarded."),
    _Limit(
        "pids",
        ("pids",),
        f"{_MISSING} PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
    ),
    _Limit(
        "cpu_shares",
        ("cpu_shares",),
        f"{_MISSING} CPU shares or the cgroup is not mounted. Shares discarded.",
    ),
    _Limit(
        "cpu_quota",
        ("cpu_quota_us", "cpu_period_us"),
        f"{_MISSING} CPU CFS scheduler. CPU period/quota discarded.",
    ),
    _Limit(
        "cpu_rt",
        ("cpu_realtime_runtime_us", "cpu_realtime_period_us"),
        f"{_MISSING} CPU real-time scheduler. CPU real-time period/runtime discarded.",
    ),
    _Limit(
        "cpuset",
        ("cpuset_cpus", "cpuset_mems"),
        f"{_MISSING} cpuset or the cgroup is not mounted. Cpuset discarded.",
    ),
    _Limit(
        "blkio_weight",
        ("blkio_weight",),
        f"{_MISSING} Block I/O weight or the cgroup is not mounted. Weight discarded.",
    ),
    _Limit(
        "blkio_weight_device",
        ("blkio_weight_devices",),
        f"{_MISSING} Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
    ),
    _Limit(
        "blkio_throttle",
        ("blkio_read_bps",),
        f"{_MISSING} BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.",
    ),
    _Limit(
        "blkio_throttle",
        ("blkio_write_bps",),
        f"{_MISSING} BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.",
    ),
    _Limit(
        "blkio_throttle",
        ("blkio_read_iops",),
        f"{_MISSING} IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.",
    ),
    _Limit(
        "blkio_throttle",
        ("blkio_write_iops",),
        f"{_MISSING} IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.",
    ),
    _Limit("hugetlb", ("hugepages",), f"{_MISSING} huge page limits or the cgroup is not mounted. Limit discarded."),
    _Limit(
        "devices",
        ("devices",),
        f"{_MISSING} the devices cgroup or it is not mounted. The container may use every device it has a node for.",
    ),
)


def drop_unsupported(resources: Resources, features: CgroupFeatures) -> tuple[Resources, tuple[str, ...]]:
    """The limits that can be kept, and a warning, in Docker's words, for each that cannot."""
    unset = Resources()
    warnings = []
    for limit in _LIMITS:
        asked = [name for name in limit.fields if getattr(resources, name) != getattr(unset, name)]
        if asked and not getattr(features, limit.feature):
            warnings.append(limit.warning)
            resources = dataclasses.replace(resources, **{name: getattr(unset, name) for name in asked})
    return resources, tuple(warnings)
