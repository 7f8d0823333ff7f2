"""Limits become writes: right values, right files, right order, for both versions. No kernel is asked."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_docker.errors import Invalid
from mini_docker.libcontainer.cgroups import v1, v2
from mini_docker.libcontainer.cgroups.device_bpf import allows_everything, compile_device_rules
from mini_docker.libcontainer.cgroups.plan import CgroupWrite
from mini_docker.libcontainer.config import DeviceRule, Resources, ThrottleDevice

V1_FILES = {
    "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.swappiness",
    "memory.kmem.limit_in_bytes", "memory.oom_control", "cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us",
    "cpu.rt_period_us", "cpu.rt_runtime_us", "cpuset.cpus", "cpuset.mems", "pids.max", "blkio.weight",
    "blkio.weight_device", "blkio.bfq.weight", "blkio.bfq.weight_device", "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device",
    "devices.allow", "devices.deny", "hugetlb.2MB.limit_in_bytes", "hugetlb.1GB.limit_in_bytes",
}  # fmt: skip
V2_FILES = {
    "memory.max", "memory.low", "memory.swap.max", "cpu.weight", "cpu.max", "cpuset.cpus", "cpuset.mems", "pids.max",
    "io.weight", "io.bfq.weight", "io.max", "hugetlb.2MB.max", "hugetlb.1GB.max",
}  # fmt: skip

devices = st.lists(
    st.builds(ThrottleDevice, st.integers(0, 255), st.integers(0, 255), st.integers(10, 1000)), max_size=2
)
rules = st.builds(
    DeviceRule,
    allow=st.booleans(),
    kind=st.sampled_from(["a", "b", "c"]),
    major=st.integers(-1, 3),
    minor=st.integers(-1, 3),
    access=st.sampled_from(["rwm", "r", "rw", "m", "wm"]),
)


@st.composite
def resources(draw: st.DrawFn) -> Resources:
    memory = draw(st.sampled_from([0, -1]) | st.integers(1 << 20, 1 << 40))
    swap = (
        draw(st.sampled_from([0, -1]) | st.integers(memory, 1 << 41)) if memory > 0 else draw(st.sampled_from([0, -1]))
    )
    return Resources(
        memory_bytes=memory,
        memory_swap_bytes=swap,
        memory_reservation_bytes=draw(st.integers(0, 1 << 30)),
        memory_swappiness=draw(st.integers(-1, 100)),
        kernel_memory_bytes=draw(st.sampled_from([0, 1 << 24])),
        oom_kill_disable=draw(st.booleans()),
        cpu_shares=draw(st.just(0) | st.integers(2, 262144)),
        cpu_quota_us=draw(st.sampled_from([0, -1, 1000, 250000])),
        cpu_period_us=draw(st.sampled_from([0, 1000, 100000])),
        cpu_realtime_period_us=draw(st.sampled_from([0, 1000000])),
        cpu_realtime_runtime_us=draw(st.sampled_from([0, 950000])),
        cpuset_cpus=draw(st.sampled_from(["", "0", "0-1,3"])),
        cpuset_mems=draw(st.sampled_from(["", "0"])),
        pids=draw(st.sampled_from([0, -1, 1, 4096])),
        blkio_weight=draw(st.just(0) | st.integers(10, 1000)),
        blkio_weight_devices=tuple(draw(devices)),
        blkio_read_bps=tuple(draw(devices)),
        blkio_write_bps=tuple(draw(devices)),
        blkio_read_iops=tuple(draw(devices)),
        blkio_write_iops=tuple(draw(devices)),
        hugepages=draw(st.dictionaries(st.sampled_from(["2MB", "1GB"]), st.integers(0, 1 << 30), max_size=2)),
        devices=tuple(draw(st.lists(rules, max_size=3))),
    )


@settings(max_examples=80, deadline=None)
@given(wished=resources(), bfq=st.booleans())
def test_every_write_is_to_a_known_file(wished: Resources, bfq: bool) -> None:
    """A misspelt file would look, on a live machine, like a kernel that lacks the limit."""
    for write in v1.plan(wished, bfq=bfq):
        assert write.file in V1_FILES
        assert write.value and "\n" not in write.value
    for write in v2.plan(wished, bfq=bfq):
        assert write.file in V2_FILES
        assert write.value and "\n" not in write.value


def test_nothing_wished_nothing_written() -> None:
    """Unset limits stay as they are: an update must not reset its neighbours."""
    assert v1.plan(Resources()) == v2.plan(Resources()) == ()


def apply_memory(writes: tuple[CgroupWrite, ...], memory: int, swap: int) -> tuple[int, int]:
    """A model of the v1 kernel's rule: memory may never exceed memory+swap."""
    for write in writes:
        value = v1.UNLIMITED_BYTES if write.value == "-1" else int(write.value)
        if write.file == "memory.limit_in_bytes":
            memory = value
        else:
            swap = value
        assert memory <= swap, f"the kernel answers EINVAL to {write}"
    return memory, swap


limits = st.tuples(st.integers(1 << 20, 1 << 40), st.integers(0, 1 << 40)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)
unlimited = st.just((v1.UNLIMITED_BYTES, v1.UNLIMITED_BYTES))


@given(before=limits | unlimited, after=limits, swap_unlimited=st.booleans())
def test_v1_memory_and_swap_in_an_order_that_the_kernel_takes(
    before: tuple[int, int], after: tuple[int, int], swap_unlimited: bool
) -> None:
    """From any limits to any others, raised or lowered, memory is at no moment more than memory and swap."""
    memory, swap = after
    wished = Resources(memory_bytes=memory, memory_swap_bytes=-1 if swap_unlimited else swap)
    reached = apply_memory(v1.plan(wished, current_memory_bytes=before[0]), *before)
    assert reached == (memory, v1.UNLIMITED_BYTES if swap_unlimited else swap)


def test_v1_unlimited_memory_takes_swap_along() -> None:
    """Memory without a limit below a limit on memory and swap is refused: both are lifted, the roof first."""
    assert v1.plan(Resources(memory_bytes=-1), 1 << 20) == (
        CgroupWrite("memory.memsw.limit_in_bytes", "-1"),
        CgroupWrite("memory.limit_in_bytes", "-1"),
    )


def test_v1_devices_keep_their_order() -> None:
    """Deny all, then allow some: the other way round nothing would be left."""
    wished = Resources(devices=(DeviceRule(False), DeviceRule(True, "c", 1, 3, "rw"), DeviceRule(True, "b", 8)))
    assert v1.plan(wished) == (
        CgroupWrite("devices.deny", "a"),
        CgroupWrite("devices.allow", "c 1:3 rw"),
        CgroupWrite("devices.allow", "b 8:* rwm"),
    )


def test_v1_block_io() -> None:
    """One line a write, and BFQ's files where that scheduler gives the weights."""
    disk = (ThrottleDevice(8, 0, 1048576), ThrottleDevice(8, 16, 5))
    wished = Resources(blkio_weight=300, blkio_read_bps=disk)
    assert [(write.file, write.value) for write in v1.plan(wished, bfq=True)] == [
        ("blkio.bfq.weight", "300"),
        ("blkio.throttle.read_bps_device", "8:0 1048576"),
        ("blkio.throttle.read_bps_device", "8:16 5"),
    ]


@given(st.integers(2, 262144), st.integers(2, 262144))
def test_weight_of_shares_is_monotone_and_in_range(one: int, other: int) -> None:
    """More shares never weigh less, and the kernel takes weights from 1 to 10000 only."""
    low, high = sorted((one, other))
    assert 1 <= v2.weight_of_shares(low) <= v2.weight_of_shares(high) <= 10000


def test_weight_of_shares_known_points() -> None:
    """The ends of both scales meet, and so do the usual values: the point of the newer formula."""
    assert [v2.weight_of_shares(shares) for shares in (0, 1, 2, 1024, 262144, 10**9)] == [0, 1, 1, 100, 10000, 10000]


@given(st.integers(10, 1000), st.integers(10, 1000))
def test_io_weight_is_monotone_and_in_range(one: int, other: int) -> None:
    """As for shares: 10 to 1000 becomes 1 to 10000."""
    low, high = sorted((one, other))
    assert 1 <= v2.io_weight_of_blkio(low) <= v2.io_weight_of_blkio(high) <= 10000
    assert (v2.io_weight_of_blkio(10), v2.io_weight_of_blkio(1000), v2.io_weight_of_blkio(0)) == (1, 10000, 0)


def test_v2_swap_is_what_is_left_of_the_sum() -> None:
    """v1 and Docker count memory and swap together, v2 swap alone."""
    assert v2.swap_limit(100, 300) == "200"
    assert v2.swap_limit(100, 100) == "0"  # docker run -m 100 --memory-swap 100: no swap at all
    assert v2.swap_limit(100, 0) == ""
    assert v2.swap_limit(100, -1) == v2.swap_limit(-1, 0) == "max"
    with pytest.raises(Invalid, match=r"memory\+swap limit should be >= memory limit"):
        v2.swap_limit(300, 100)
    with pytest.raises(Invalid, match="unable to set swap limit without memory limit"):
        v2.swap_limit(0, 100)


def test_v2_words() -> None:
    """The values in v2's own form: max for no limit, quota and period in one line, keys in io.max."""
    wished = Resources(
        memory_bytes=1 << 26, memory_swap_bytes=1 << 27, memory_reservation_bytes=1 << 25, cpu_shares=1024,
        cpu_quota_us=50000, pids=-1, blkio_weight=505, blkio_write_iops=(ThrottleDevice(8, 0, 7),),
        hugepages={"2MB": 1 << 21},
    )  # fmt: skip
    assert [(write.file, write.value) for write in v2.plan(wished)] == [
        ("memory.swap.max", "67108864"),
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("cpu.weight", "100"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "max"),
        ("io.weight", "5000"),
        ("io.max", "8:0 wiops=7"),
        ("hugetlb.2MB.max", "2097152"),
    ]
    assert v2.plan(Resources(cpu_quota_us=-1)) == (CgroupWrite("cpu.max", "max 100000"),)


def interpret(program: bytes, kind: int, access: int, major: int, minor: int) -> int:
    """Run the eBPF instructions that the device compiler uses, with the context in r1."""
    context = struct.pack("<III", access << 16 | kind, major, minor)
    code = list(struct.iter_unpack("<BBhi", program))
    registers, position = [0] * 11, 0
    while True:
        operation, registers_used, offset, immediate = code[position]
        destination, source = registers_used & 0xF, registers_used >> 4
        position += 1
        wide = immediate % (1 << 64)  # sign-extended
        if operation == 0x61:
            assert source == 1
            (registers[destination],) = struct.unpack_from("<I", context, offset)
        elif operation == 0xBF:
            registers[destination] = registers[source]
        elif operation == 0xB7:
            registers[destination] = wide
        elif operation == 0x57:
            registers[destination] &= wide
        elif operation == 0x77:
            registers[destination] >>= immediate
        elif operation in (0x15, 0x55):
            if (registers[destination] == wide) == (operation == 0x15):
                position += offset
        elif operation == 0x95:
            return registers[0]
        else:
            raise AssertionError(f"no such instruction: {operation:#x}")


@settings(max_examples=150, deadline=None)
@given(chosen=st.lists(rules, max_size=6), kind=st.sampled_from("bc"), major=st.integers(0, 3), minor=st.integers(0, 3))
def test_device_program_agrees_with_the_rules(chosen: list[DeviceRule], kind: str, major: int, minor: int) -> None:
    """For every wish of read, write and mknod, the last rule that speaks of each letter decides, as on v1."""

    def allowed(letter: str) -> bool:
        answer = True
        for rule in chosen:
            if rule.kind in ("a", kind) and rule.major in (-1, major) and rule.minor in (-1, minor):
                answer = rule.allow if letter in rule.access else answer
        return answer

    program = compile_device_rules(chosen)
    for access in range(1, 8):
        letters = [letter for letter, bit in (("m", 1), ("r", 2), ("w", 4)) if access & bit]
        assert interpret(program, {"b": 1, "c": 2}[kind], access, major, minor) == all(map(allowed, letters))


def test_device_rules_that_make_no_sense() -> None:
    """The kernel would answer EINVAL to the list on v1, and to nothing at all on v2."""
    with pytest.raises(Invalid, match="kind 'x' is not one of a, b, c"):
        compile_device_rules([DeviceRule(True, "x")])
    with pytest.raises(Invalid, match="access 'rx' has letters other than r, w, m"):
        compile_device_rules([DeviceRule(True, "c", 1, 3, "rx")])


def test_a_list_that_only_allows_needs_no_program() -> None:
    """A privileged container's: without a program of ours, engines inside it may attach their own."""
    assert allows_everything((DeviceRule(True),))
    assert not allows_everything((DeviceRule(False), DeviceRule(True, "c", 1, 3)))
