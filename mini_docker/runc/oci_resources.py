"""The ``linux.resources`` of a config.json → limits. Pure; each number is checked where it stands.

Source: OCI runtime specification 1.2, config-linux.md, "Control groups".
"""

from __future__ import annotations

from mini_docker.errors import Unsupported
from mini_docker.libcontainer.config import DeviceRule, Resources, ThrottleDevice
from mini_docker.runc.json_node import Node

U64 = 2**64 - 1

DEFAULT_RULES = (
    # Any node may be made, for an archive to be unpacked; few may be opened.
    DeviceRule(True, "c", access="m"),
    DeviceRule(True, "b", access="m"),
    *(DeviceRule(True, "c", 1, minor) for minor in (3, 5, 7, 8, 9)),  # null, zero, full, random, urandom
    *(DeviceRule(True, "c", 5, minor) for minor in (0, 1, 2)),  # tty, console, ptmx
    DeviceRule(True, "c", 136),  # pts
)
"""What every container may do with devices, whatever its config says before."""

_REFUSED = {"cpu": ("burst", "idle"), "blockIO": ("leafWeight",), "network": ("classID", "priorities")}


def decode_resources(node: Node) -> Resources:
    """The limits.

    Raises:
        Invalid: a number of the wrong kind or out of bounds.
        Unsupported: a controller that mini-runc does not drive.
    """
    for part, names in (("", ("unified", "rdma")), *_REFUSED.items()):
        where = node.get(part) if part else node
        for name in names:
            wish = where.get(name) if where else None
            if wish is not None and wish.value:
                raise Unsupported(f"{wish.path}: mini-runc does not limit this")
    memory = node.get("memory") or Node({}, f"{node.path}.memory")
    cpu = node.get("cpu") or Node({}, f"{node.path}.cpu")
    block = node.get("blockIO") or Node({}, f"{node.path}.blockIO")
    pids = node.get("pids")
    return Resources(
        memory_bytes=memory.integer_of("limit", 0, -1),
        memory_reservation_bytes=memory.integer_of("reservation", 0, -1),
        memory_swap_bytes=memory.integer_of("swap", 0, -1),
        memory_swappiness=memory.integer_of("swappiness", -1, 0, 100),
        kernel_memory_bytes=memory.integer_of("kernel", 0, -1),
        oom_kill_disable=memory.boolean_of("disableOOMKiller"),
        cpu_shares=cpu.integer_of("shares", 0, 0, U64),
        cpu_quota_us=cpu.integer_of("quota"),
        cpu_period_us=cpu.integer_of("period", 0, 0, U64),
        cpu_realtime_runtime_us=cpu.integer_of("realtimeRuntime"),
        cpu_realtime_period_us=cpu.integer_of("realtimePeriod", 0, 0, U64),
        cpuset_cpus=cpu.text_of("cpus"),
        cpuset_mems=cpu.text_of("mems"),
        pids=pids.integer_of("limit", 0, -1) if pids else 0,
        blkio_weight=block.integer_of("weight", 0, 0, 1000),
        blkio_weight_devices=tuple(_throttle(item, "weight") for item in block.items("weightDevice")),
        blkio_read_bps=_throttles(block, "throttleReadBpsDevice"),
        blkio_write_bps=_throttles(block, "throttleWriteBpsDevice"),
        blkio_read_iops=_throttles(block, "throttleReadIOPSDevice"),
        blkio_write_iops=_throttles(block, "throttleWriteIOPSDevice"),
        hugepages={
            item.need("pageSize").text(): item.need("limit").integer(0, U64) for item in node.items("hugepageLimits")
        },
        devices=_device_rules(node),
    )


def _throttles(block: Node, name: str) -> tuple[ThrottleDevice, ...]:
    return tuple(_throttle(item, "rate") for item in block.items(name))


def _throttle(item: Node, value: str) -> ThrottleDevice:
    major, minor = (item.need(name).integer(0, 2**32 - 1) for name in ("major", "minor"))
    return ThrottleDevice(major, minor, item.need(value).integer(0, U64))


def _device_rules(node: Node) -> tuple[DeviceRule, ...]:
    """The document's rules in their order, after "nothing" and before what every container may do."""
    return (DeviceRule(False), *(_device_rule(item) for item in node.items("devices")), *DEFAULT_RULES)


def _device_rule(item: Node) -> DeviceRule:
    kind = item.get("type")
    access = item.get("access")
    if access is not None and set(access.text()) - set("rwm"):
        access.complain(f"{access.value!r} is not made of r, w and m")
    return DeviceRule(
        allow=item.need("allow").boolean(),
        kind=kind.choice("a", "b", "c") if kind and kind.value else "a",
        major=item.integer_of("major", -1, -1, 2**32 - 1),
        minor=item.integer_of("minor", -1, -1, 2**32 - 1),
        access=access.text() if access and access.value else "rwm",
    )
