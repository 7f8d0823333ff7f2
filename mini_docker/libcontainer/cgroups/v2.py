"""Limits as cgroup v2 writes: the newer dialect, one tree with every controller.

The specification still speaks v1 (shares from 2 to 262144, memory *and* swap in one number): the
conversions stand here. Pure. Devices are no file on v2 but a BPF program: see `device_bpf`.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst; runc's ``cgroups/utils.go`` for the conversions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from mini_docker.errors import Invalid
from mini_docker.libcontainer.cgroups.plan import CgroupWrite
from mini_docker.libcontainer.config import Resources

DEFAULT_PERIOD_US = 100_000


def plan(resources: Resources, bfq: bool = False) -> tuple[CgroupWrite, ...]:
    """The writes that make *resources* so; what is unset stays as it is.

    Args:
        bfq: block weights are the BFQ scheduler's.

    Raises:
        Invalid: memory and swap contradict each other.
    """
    return (
        *_memory(resources),
        *_cpu(resources),
        *_cpuset(resources),
        *_pids(resources),
        *_io(resources, bfq),
        *(CgroupWrite(f"hugetlb.{size}.max", _limit(limit)) for size, limit in sorted(resources.hugepages.items())),
    )


def weight_of_shares(shares: int) -> int:
    """v1's CPU shares (2 to 262144, usually 1024) → v2's weight (1 to 10000, usually 100).

    The curve of runc since 1.3.2 and of crun since 1.23: quadratic between the logarithms, through
    (2, 1), (1024, 100) and (262144, 10000). The straight line before it gave the usual 1024 shares a weight of 39.

    Args:
        shares: 0 means unset, and stays 0.
    """
    if shares == 0:
        return 0
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def io_weight_of_blkio(weight: int) -> int:
    """v1's block weight (10 to 1000) → v2's io.weight (1 to 10000), on a straight line; 0 stays 0."""
    return 0 if weight == 0 else 1 + (weight - 10) * 9999 // 990


def swap_limit(memory_bytes: int, memory_and_swap_bytes: int) -> str:
    """v1 counts memory and swap together, v2 swap alone: what to write; empty to leave it.

    Raises:
        Invalid: the sum is less than its part, or the part is unknown.
    """
    if memory_bytes == -1 and memory_and_swap_bytes == 0:
        return "max"
    if memory_and_swap_bytes == 0:
        return ""
    if memory_and_swap_bytes == -1:
        return "max"
    if memory_bytes <= 0:
        raise Invalid("unable to set swap limit without memory limit")
    if memory_and_swap_bytes < memory_bytes:
        raise Invalid("memory+swap limit should be >= memory limit")
    return str(memory_and_swap_bytes - memory_bytes)


def _limit(value: int) -> str:
    return "max" if value < 0 else str(value)


def _memory(resources: Resources) -> Iterator[CgroupWrite]:
    swap = swap_limit(resources.memory_bytes, resources.memory_swap_bytes)
    if swap:
        yield CgroupWrite("memory.swap.max", swap, optional=True)  # kernels can be built without it
    if resources.memory_bytes:
        yield CgroupWrite("memory.max", _limit(resources.memory_bytes))
    if resources.memory_reservation_bytes:
        yield CgroupWrite("memory.low", _limit(resources.memory_reservation_bytes))


def _cpu(resources: Resources) -> Iterator[CgroupWrite]:
    weight = weight_of_shares(resources.cpu_shares)
    if weight:
        yield CgroupWrite("cpu.weight", str(weight))
    if resources.cpu_quota_us or resources.cpu_period_us:
        quota = str(resources.cpu_quota_us) if resources.cpu_quota_us > 0 else "max"
        yield CgroupWrite("cpu.max", f"{quota} {resources.cpu_period_us or DEFAULT_PERIOD_US}")


def _cpuset(resources: Resources) -> Iterator[CgroupWrite]:
    if resources.cpuset_cpus:
        yield CgroupWrite("cpuset.cpus", resources.cpuset_cpus)
    if resources.cpuset_mems:
        yield CgroupWrite("cpuset.mems", resources.cpuset_mems)


def _pids(resources: Resources) -> Iterator[CgroupWrite]:
    if resources.pids:
        yield CgroupWrite("pids.max", _limit(resources.pids))


def _io(resources: Resources, bfq: bool) -> Iterator[CgroupWrite]:
    # BFQ has v1's scale, 1 to 1000; the kernel's own cost model, which not every kernel has, the new one.
    file = "io.bfq.weight" if bfq else "io.weight"
    if resources.blkio_weight:
        yield CgroupWrite(file, str(_io_weight(resources.blkio_weight, bfq)), optional=True)
    for device in resources.blkio_weight_devices:
        yield CgroupWrite(file, f"{device.major}:{device.minor} {_io_weight(device.value, bfq)}", optional=True)
    for key, devices in (
        ("rbps", resources.blkio_read_bps),
        ("wbps", resources.blkio_write_bps),
        ("riops", resources.blkio_read_iops),
        ("wiops", resources.blkio_write_iops),
    ):
        for device in devices:
            yield CgroupWrite("io.max", f"{device.major}:{device.minor} {key}={device.value or 'max'}")


def _io_weight(weight: int, bfq: bool) -> int:
    return weight if bfq else io_weight_of_blkio(weight)
