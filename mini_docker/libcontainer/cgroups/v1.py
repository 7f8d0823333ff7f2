"""Limits as cgroup v1 writes: the older dialect, one tree for each controller.

Pure. It knows nothing of mount points; the order of the writes matters and is explained where it does.

Source: the kernel's Documentation/admin-guide/cgroup-v1; OCI runtime specification, config-linux.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from mini_docker.libcontainer.cgroups.plan import CgroupWrite
from mini_docker.libcontainer.config import DeviceRule, Resources

UNLIMITED_BYTES = 2**63 - 4096
"""What ``memory.limit_in_bytes`` shows without a limit (on 4 KiB pages)."""


def plan(
    resources: Resources, current_memory_bytes: int = UNLIMITED_BYTES, bfq: bool = False
) -> tuple[CgroupWrite, ...]:
    """The writes that make *resources* so; what is unset stays as it is.

    Args:
        current_memory_bytes: the memory limit that holds now: which of two limits is written first depends on it.
        bfq: block weights are the BFQ scheduler's.
    """
    return (
        *_memory(resources, current_memory_bytes),
        *_cpu(resources),
        *_cpuset(resources),
        *_pids(resources),
        *_blkio(resources, bfq),
        *(
            CgroupWrite(f"hugetlb.{size}.limit_in_bytes", str(limit))
            for size, limit in sorted(resources.hugepages.items())
        ),
        *(_device(rule) for rule in resources.devices),
    )


def _memory(resources: Resources, current: int) -> Iterator[CgroupWrite]:
    memory, swap = resources.memory_bytes, resources.memory_swap_bytes
    if memory == -1 and swap == 0:
        swap = -1  # memory and swap together cannot be less than memory alone
    writes = []
    if memory:
        writes.append(CgroupWrite("memory.limit_in_bytes", str(memory)))
    if swap:
        writes.append(CgroupWrite("memory.memsw.limit_in_bytes", str(swap)))
    # At every moment memory must be at most memory+swap: the roof is raised before the floor below
    # it, and the floor is lowered before the roof.
    if swap == -1 or current < swap:
        writes.reverse()
    yield from writes
    if resources.memory_reservation_bytes:
        yield CgroupWrite("memory.soft_limit_in_bytes", str(resources.memory_reservation_bytes))
    if resources.kernel_memory_bytes:
        # Linux 5.16 kept the file and took its function away.
        yield CgroupWrite("memory.kmem.limit_in_bytes", str(resources.kernel_memory_bytes), optional=True)
    if resources.memory_swappiness >= 0:
        yield CgroupWrite("memory.swappiness", str(resources.memory_swappiness))
    if resources.oom_kill_disable:
        yield CgroupWrite("memory.oom_control", "1")


def _cpu(resources: Resources) -> Iterator[CgroupWrite]:
    if resources.cpu_shares:
        yield CgroupWrite("cpu.shares", str(resources.cpu_shares))
    if resources.cpu_period_us:
        yield CgroupWrite("cpu.cfs_period_us", str(resources.cpu_period_us))
    if resources.cpu_quota_us:
        yield CgroupWrite("cpu.cfs_quota_us", str(resources.cpu_quota_us))
    if resources.cpu_realtime_period_us:
        yield CgroupWrite("cpu.rt_period_us", str(resources.cpu_realtime_period_us))
    if resources.cpu_realtime_runtime_us:
        yield CgroupWrite("cpu.rt_runtime_us", str(resources.cpu_realtime_runtime_us))


def _cpuset(resources: Resources) -> Iterator[CgroupWrite]:
    if resources.cpuset_cpus:
        yield CgroupWrite("cpuset.cpus", resources.cpuset_cpus)
    if resources.cpuset_mems:
        yield CgroupWrite("cpuset.mems", resources.cpuset_mems)


def _pids(resources: Resources) -> Iterator[CgroupWrite]:
    if resources.pids:
        yield CgroupWrite("pids.max", "max" if resources.pids < 0 else str(resources.pids))


def _blkio(resources: Resources, bfq: bool) -> Iterator[CgroupWrite]:
    weight = "blkio.bfq.weight" if bfq else "blkio.weight"
    if resources.blkio_weight:
        yield CgroupWrite(weight, str(resources.blkio_weight))
    for file, devices in (
        (f"{weight}_device", resources.blkio_weight_devices),
        ("blkio.throttle.read_bps_device", resources.blkio_read_bps),
        ("blkio.throttle.write_bps_device", resources.blkio_write_bps),
        ("blkio.throttle.read_iops_device", resources.blkio_read_iops),
        ("blkio.throttle.write_iops_device", resources.blkio_write_iops),
    ):
        for device in devices:  # one write each: the kernel reads one line
            yield CgroupWrite(file, f"{device.major}:{device.minor} {device.value}")


def _device(rule: DeviceRule) -> CgroupWrite:
    file = "devices.allow" if rule.allow else "devices.deny"
    if rule.kind == "a":
        return CgroupWrite(file, "a")
    major = "*" if rule.major < 0 else str(rule.major)
    minor = "*" if rule.minor < 0 else str(rule.minor)
    return CgroupWrite(file, f"{rule.kind} {major}:{minor} {rule.access}")
