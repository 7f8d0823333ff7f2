"""devicemapper, held to the laws of all graph drivers on a pool of loop files, and its own: orders, sizes, options."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import struct
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.drivers.graphdriver import devicemapper_calls as calls
from mini_docker.drivers.graphdriver import devicemapper_pool, loop_device
from mini_docker.drivers.graphdriver.contract import GraphDriver, GraphDriverOptions, StorageOptions
from mini_docker.drivers.graphdriver.devicemapper import DeviceMapperDriver
from mini_docker.drivers.graphdriver.devicemapper_filesystem import grow, mkfs_command, mount_device, plan_mount
from mini_docker.drivers.graphdriver.devicemapper_options import DeviceMapperOptions
from mini_docker.drivers.graphdriver.devicemapper_pool import PoolUsage, ThinDevice, pool_target, thin_target
from mini_docker.errors import Conflict, Invalid, Unavailable
from mini_docker.linux import constants as c
from mini_docker.linux.kernel import Kernel
from mini_docker.linux.recording import RecordingKernel
from tests.archive.trees import folder
from tests.drivers.graphdriver.contract_suite import KERNEL, NO_LIMITS, GraphDriverLaws, layer, opened
from tests.drivers.graphdriver.layer_machine import MACHINE_SETTINGS, LayerMachine

SMALL = {"dm.basesize": "64M", "dm.loopdatasize": "1G", "dm.loopmetadatasize": "16M"}


def no_device_mapper() -> str:
    """What is in the way of the device mapper; empty when it is there."""
    try:
        os.close(os.open(calls.CONTROL, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        # The node alone says nothing: a package may make it on a kernel that has nothing behind it.
        return f"{calls.CONTROL}: {error.strerror}"
    return ""


def reason_why_not() -> str:
    """Why the device mapper cannot be tested here; empty when it can."""
    if os.geteuid() != 0:
        return "maps devices: needs root"
    if missing := no_device_mapper():
        return f"this kernel has no device mapper ({missing}: modprobe dm_mod dm_thin_pool)"
    if not loop_device.CONTROL.exists():
        return "this machine has no loop devices"
    if shutil.which("mkfs.ext4") is None:
        return "mkfs.ext4 is not installed (e2fsprogs)"
    return ""


needs_device_mapper = [
    pytest.mark.root,
    pytest.mark.skipif(bool(reason_why_not()), reason=reason_why_not()),
    pytest.mark.timeout(1200),  # an emulated machine takes its time for 128 mounts
]


def live(test: object) -> object:
    for mark in needs_device_mapper:
        test = mark(test)
    return test


def small(root: Path, kernel: Kernel = KERNEL, **options: str) -> DeviceMapperDriver:
    """A driver on a pool that fits a test."""
    return DeviceMapperDriver(root, kernel, GraphDriverOptions({**SMALL, **options}))


class TestDeviceMapper(GraphDriverLaws):
    pytestmark = needs_device_mapper
    own_names = frozenset({"tmp", "trash", ".pool"})
    made: list[DeviceMapperDriver]

    def driver_class(self, root: Path, kernel: Kernel) -> DeviceMapperDriver:
        self.made.append(small(root, kernel))
        return self.made[-1]

    @pytest.fixture
    def root(self) -> Iterator[Path]:
        """All that the test makes are shut down at its end: a driver that a test calls killed still holds its pool."""
        self.made = []
        with folder() as place:
            yield place / "driver"
            for driver in self.made:
                driver.background.drain()
                driver._pool.release()


class DeviceMapperMachine(LayerMachine):
    @staticmethod
    def driver_class(root: Path, kernel: Kernel) -> DeviceMapperDriver:
        return small(root, kernel)


class TestDeviceMapperMachine(DeviceMapperMachine.TestCase):  # type: ignore[misc]
    settings = MACHINE_SETTINGS
    pytestmark = needs_device_mapper


@contextmanager
def driver_with(**options: str) -> Iterator[DeviceMapperDriver]:
    with folder() as place:
        driver = small(place / "driver", **options)
        try:
            yield driver
        finally:
            driver.cleanup()


def fill(path: Path, size_bytes: int) -> None:
    piece = os.urandom(1 << 20)
    with open(path, "wb", buffering=0) as file:
        for _ in range(size_bytes >> 20):
            file.write(piece)
        os.fsync(file.fileno())


@live
@pytest.mark.parametrize(("kind", "base"), [("ext4", "64M"), ("xfs", "320M")])
def test_size_makes_the_disk_larger(kind: str, base: str) -> None:
    """--storage-opt size: the container's file system has that size, and a write beyond it fails with ENOSPC."""
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    with driver_with(**{"dm.fs": kind, "dm.basesize": base}) as driver:
        layer(driver, "image", None, file="x")
        driver.create_read_write("larger", "image", StorageOptions(size_bytes=400 << 20))
        driver.create_read_write("usual", "image", NO_LIMITS)
        with opened(driver, "larger") as root:
            whole = os.statvfs(root)
            assert 330 << 20 < whole.f_blocks * whole.f_frsize <= 400 << 20  # the rest is the file systems' own
            assert (root / "file").read_text() == "x"
            with pytest.raises(OSError) as caught:
                fill(root / "big", 400 << 20)
            assert caught.value.errno == errno.ENOSPC
        with opened(driver, "usual") as root:
            assert os.statvfs(root).f_blocks < whole.f_blocks
        with pytest.raises(Invalid, match="cannot be smaller"):
            driver.create_read_write("smaller", "image", StorageOptions(size_bytes=1 << 20))
        assert driver.layers() == ["image", "larger", "usual"]


@live
def test_a_snapshot_of_what_is_written_to_at_this_moment_is_whole() -> None:
    """commit of a running container: the origin's file system is frozen for the instant, and goes on."""
    with driver_with() as driver:
        driver.create_read_write("busy", None, NO_LIMITS)
        with opened(driver, "busy") as root:
            (root / "file").write_text("not synced")
            driver.create("snapshot", "busy")
            (root / "later").write_text("goes on")
            with opened(driver, "snapshot") as copy:
                assert (copy / "file").read_text() == "not synced"
                assert os.listdir(copy) == ["file"]


@live
def test_space_comes_back() -> None:
    """The loop file is sparse, and shrinks when a layer is removed."""
    with driver_with() as driver:
        driver.create_read_write("container", None, NO_LIMITS)
        with opened(driver, "container") as root:
            fill(root / "big", 20 << 20)
        data = driver.root / ".pool" / "data"
        used = data.stat().st_blocks * 512
        driver.remove("container")
        driver.cleanup()
        assert data.stat().st_blocks * 512 < used - (15 << 20)


@live
def test_what_is_still_mounted_keeps_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead container's mount namespace may have a visitor: his files are not discarded from under him.

    The device goes once he has gone; until then no daemon fails to start because of him.
    """
    with driver_with() as driver:
        driver.create_read_write("container", None, NO_LIMITS)
        visitor = os.dup(driver.open("container").descriptor)
        file = Path(f"/proc/self/fd/{visitor}/file")
        fill(file, 8 << 20)
        digest = hashlib.sha256(file.read_bytes()).digest()
        monkeypatch.setattr(devicemapper_pool, "_PATIENCE_SECONDS", 0.5)
        driver.close("container")
        driver.remove("container")
        driver.cleanup()
        small(driver.root).cleanup()  # the next daemon's start
        with open(file, "rb") as reader:
            os.posix_fadvise(reader.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # what is read now comes from the disk
            assert hashlib.sha256(reader.read()).digest() == digest
        assert len(os.listdir(driver.root / "trash")) == 1
        os.close(visitor)
        monkeypatch.undo()
        driver.cleanup()
        assert os.listdir(driver.root / "trash") == []


@live
def test_a_pool_almost_full_takes_no_new_layers() -> None:
    """dm.min_free_space: what is there goes on, and the message says what to do."""
    with driver_with(**{"dm.loopdatasize": "64M", "dm.min_free_space": "60%"}) as driver:
        driver.create_read_write("container", None, NO_LIMITS)
        with opened(driver, "container") as root:
            fill(root / "big", 30 << 20)
            with pytest.raises(Unavailable, match=r"dm\.min_free_space"):
                driver.create_read_write("another", None, NO_LIMITS)
        assert driver.layers() == ["container"]


@live
def test_the_next_daemon_finds_all_and_may_have_a_larger_pool_and_base() -> None:
    """The pool is taken down at the end and mapped again; its loop file grows to what is asked for later."""
    with driver_with() as driver:
        layer(driver, "image", None, file="x")
        driver.cleanup()
        deadline = time.monotonic() + 20
        while driver._pool.pool_name in calls.DeviceMapper(KERNEL).names():
            assert time.monotonic() < deadline
            time.sleep(0.01)  # the kernel takes it down when it likes
        later = small(driver.root, **{"dm.loopdatasize": "2G", "dm.basesize": "96M"})
        assert dict(later.status())["Data Space Total"] == f"{2 << 30} B"
        later.create_read_write("container", "image", NO_LIMITS)
        later.create_read_write("larger", None, NO_LIMITS)
        with opened(later, "container") as root, opened(later, "larger") as larger:
            assert (root / "file").read_text() == "x"
            assert os.statvfs(larger).f_blocks > os.statvfs(root).f_blocks
        later.cleanup()


@live
def test_given_devices_and_a_given_pool() -> None:
    """dm.datadev with dm.metadatadev, and dm.thinpooldev: nothing is made beside them."""
    with folder() as place:
        loops = []
        for name, size in (("data", 256 << 20), ("metadata", 16 << 20)):
            with open(place / name, "wb") as file:
                file.truncate(size)
            loops.append(loop_device.attach(KERNEL, place / name))
        paths = [os.readlink(f"/proc/self/fd/{loop}") for loop in loops]
        try:
            given = small(place / "given", **{"dm.datadev": paths[0], "dm.metadatadev": paths[1]})
            assert given.available()
            layer(given, "image", None, file="x")
            assert os.listdir(place / "given" / ".pool") == ["base"]
            given.remove("image")
            given.cleanup()
            pool = given._pool
            pool.hold()
            try:
                name = pool.pool_name
                number = os.stat(f"/dev/dm-{os.minor(pool._device)}").st_rdev
                node = place / name
                os.mknod(node, stat.S_IFBLK | 0o600, number)
                ours = small(place / "pool", **{"dm.thinpooldev": str(node)})
                assert ours.available()
                with pytest.raises(Conflict, match="not ours"):  # it has the other one's base
                    layer(ours, "image", None, file="x")
                ours.cleanup()
            finally:
                pool.release()
        finally:
            for loop in loops:
                os.close(loop)


@live
def test_dmsetup_reads_our_tables() -> None:
    """The pool and an open layer as the administrator's own tool sees them; nothing of them stays after the close."""
    if shutil.which("dmsetup") is None:
        pytest.skip("dmsetup is not installed")
    with driver_with() as driver:
        driver.create_read_write("container", None, NO_LIMITS)
        with opened(driver, "container"):
            shown = subprocess.run(["dmsetup", "table"], check=True, capture_output=True, text=True).stdout
            assert " thin-pool " in shown and f" {(64 << 20) // 512} thin " in shown
            assert "skip_block_zeroing error_if_no_space" in shown
        driver.cleanup()


# What needs no device mapper.


def test_a_kernel_without_a_device_mapper_is_named_as_the_reason(tmp_path: Path) -> None:
    """Whoever asks for devicemapper elsewhere is told why not, and nothing is left of the question."""
    if not no_device_mapper():
        pytest.skip("this kernel has a device mapper")
    driver: GraphDriver = DeviceMapperDriver(tmp_path / "devicemapper", KERNEL)
    assert "modprobe dm_thin_pool" in driver.available().reason
    assert os.listdir(tmp_path) == []


def test_a_number_is_free_only_when_no_note_speaks_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes a number while its last owner is being deleted keeps it: given twice, one layer would be lost."""
    driver = DeviceMapperDriver(tmp_path, RecordingKernel().door())
    monkeypatch.setattr(driver._pool, "delete", lambda device: None)
    (tmp_path / "trash" / "old").mkdir(parents=True)
    (tmp_path / "trash" / "old" / "device").write_text('{"number": 0, "size_bytes": 1, "file_system": "ext4"}')
    unlink = Path.unlink
    with ThreadPoolExecutor(1) as other:
        taken = []

        def unlink_while_another_asks(note: Path) -> None:
            unlink(note)
            taken.append(other.submit(driver._new_number))
            wait(taken, timeout=0.2)  # rather than be answered now, he waits for the lock

        monkeypatch.setattr(Path, "unlink", unlink_while_another_asks)
        driver.unmake_layer(tmp_path / "trash" / "old")
        assert [taken[0].result(), driver._new_number()] == [0, 1]


def test_the_order_form_has_the_headers_layout() -> None:
    """linux/dm-ioctl.h: 312 bytes, and the call numbers carry that size (DM_VERSION is 0xc138fd00)."""
    form = calls.encode_order("a-name", calls.SUSPEND, b"payload", targets=1)
    assert struct.unpack_from("=3I", form) == (4, 0, 0)
    assert struct.unpack_from("=3I", form, 12) == (len(form), 312, 1)
    assert struct.unpack_from("=I", form, 28) == (calls.SUSPEND,)
    assert (form[48:55], form[312:319]) == (b"a-name\0", b"payload")
    # Above 1024 bytes fcntl.ioctl changes the buffer in place: the answer may be as long as the buffer.
    assert len(form) > 1024
    assert (calls.VERSION, calls.DEV_CREATE, calls.TARGET_MSG) == (0xC138FD00, 0xC138FD03, 0xC138FD0E)


@given(st.text("0123456789: /", max_size=60))
def test_a_target_is_padded_to_eight_bytes(parameters: str) -> None:
    """struct dm_target_spec: 40 bytes, parameters with a NUL, and `next` says where the following one would be."""
    encoded = calls.Target("thin", 1 << 20, parameters).encode()
    start, length, status, following = struct.unpack_from("=QQiI", encoded)
    assert (start, length, status, following) == (0, 2048, 0, len(encoded))
    assert len(encoded) % 8 == 0
    assert encoded[24:40].rstrip(b"\0") == b"thin"
    assert encoded[40:].rstrip(b"\0") == parameters.encode()


def answer(*, flags: int = 0, device: int = 0, targets: int = 0, data: bytes = b"") -> bytes:
    form = calls.encode_order("name", flags, data, targets=targets)
    struct.pack_into("=Q", form, 40, device)
    return bytes(form)


@given(st.integers(1, 4000), st.integers(0, 1 << 18))
def test_states_are_read(major: int, minor: int) -> None:
    """The device's number comes in the kernel's 64-bit form, which is the C library's."""
    device = os.makedev(major, minor)
    state = calls.decode_state(answer(flags=calls.SUSPEND | calls.ACTIVE_PRESENT, device=device))
    assert (state.device, state.is_suspended, state.has_table) == (device, True, True)
    assert state.node == Path(f"/dev/dm-{minor}")


@given(st.lists(st.text("abc-:0123", min_size=1, max_size=30), max_size=5))
def test_lists_of_names_are_read(names: list[str]) -> None:
    """struct dm_name_list: a chain of offsets; one entry of device 0 is none."""
    data = b""
    for number, name in enumerate(names):
        entry = name.encode() + b"\0"
        entry += bytes(-(12 + len(entry)) % 8)
        following = 12 + len(entry) if number < len(names) - 1 else 0
        data += struct.pack("=QI", 0xFD00 + number, following) + entry
    assert calls.decode_names(answer(data=data or bytes(16))) == names


def test_status_lines_are_read() -> None:
    """A struct dm_target_spec, then the line."""
    data = bytes(40) + b"1 141/4096 88/16384 - rw\0"
    line = calls.decode_status(answer(targets=1, data=data))
    usage = PoolUsage.parse(line, 64 << 10)
    assert (usage.data_used, usage.data_total) == (88 * 65536, 1 << 30)
    assert (usage.metadata_used, usage.metadata_total) == (141 * 4096, 16 << 20)
    with pytest.raises(Invalid, match="thin_check"):
        PoolUsage.parse("Fail", 64 << 10)


def test_tables() -> None:
    """thin-provisioning.rst: metadata before data, sizes in sectors, and whole blocks of data only."""
    pool = pool_target(os.makedev(7, 1), os.makedev(7, 2), (1 << 30) + 5000, 64 << 10)
    assert (pool.kind, pool.size_bytes) == ("thin-pool", 1 << 30)
    assert pool.parameters == "7:2 7:1 128 0 2 skip_block_zeroing error_if_no_space"
    assert thin_target(os.makedev(254, 0), ThinDevice(7, 1 << 20, "ext4")) == calls.Target("thin", 1 << 20, "254:0 7")


def test_the_loop_form_has_the_headers_layout() -> None:
    """struct loop_config of linux/loop.h: 304 bytes, with LO_FLAGS_AUTOCLEAR and the file's name in their places."""
    form = loop_device.configuration(5, b"/data")
    assert len(form) == 304
    assert struct.unpack_from("=II", form) == (5, 0)
    assert struct.unpack_from("=I", form, 8 + 52) == (4,)
    assert form[8 + 56 : 8 + 62] == b"/data\0"


def test_the_mount_is_planned() -> None:
    """dm.mountopt: what is the mount's goes to fsmount, what is the file system's to fsconfig."""
    plan = plan_mount("xfs", ("noatime", "discard", "logbsize=64k"))
    assert plan.parameters == (("nouuid", None), ("discard", None), ("logbsize", "64k"))
    assert plan.attributes == c.MOUNT_ATTR_NOATIME
    kernel = RecordingKernel(results={"fsopen": lambda _: os.open("/", os.O_PATH), "fsmount": 77})
    assert mount_device(kernel.door(), plan, "/dev/dm-3") == 77
    assert kernel.names()[1:] == ["fsconfig_string", "fsconfig_flag", "fsconfig_flag", "fsconfig_string",
                                  "fsconfig_create", "fsmount"]  # fmt: skip
    assert kernel.calls[1][1][1:] == ("source", "/dev/dm-3")


def test_growing_asks_in_the_file_systems_own_words(tmp_path: Path) -> None:
    """EXT4_IOC_RESIZE_FS takes blocks; XFS_IOC_FSGROWFSDATA too, and the share of inodes that xfs has."""
    root = os.open(tmp_path, os.O_PATH)
    block = os.statvfs(tmp_path).f_bsize
    geometry = struct.pack("=28xI80x", 25)
    kernel = RecordingKernel(results={"ioctl": lambda _fd, _request, _argument: geometry})
    try:
        grow(kernel.door(), "ext4", root, 100 * block)
        grow(kernel.door(), "xfs", root, 100 * block)
    finally:
        os.close(root)
    asked: list[tuple[Any, ...]] = [arguments[1:] for _, arguments in kernel.calls]
    assert asked == [
        (0x40086610, struct.pack("=Q", 100)),
        (0x80705864, bytes(112)),
        (0x4010586E, struct.pack("=QIxxxx", 100, 25)),
    ]


def test_mkfs_gets_the_administrators_arguments() -> None:
    """dm.mkfsarg: words, before the device."""
    assert mkfs_command("xfs", "/dev/dm-1", ("-i", "size=512"))[-3:] == ("-i", "size=512", "/dev/dm-1")
    assert mkfs_command("ext4", "/dev/dm-1", ())[0] == "mkfs.ext4"


def test_options_are_read() -> None:
    """Docker's names and units."""
    said = DeviceMapperOptions.parse({
        "dm.basesize": "20G", "dm.fs": "xfs", "dm.mkfsarg": "-m 0", "dm.mountopt": "nodiscard,noatime",
        "dm.min_free_space": "5%", "dm.blocksize": "128k",
    })  # fmt: skip
    assert (said.base_bytes, said.file_system, said.mkfs_arguments) == (20 << 30, "xfs", ("-m", "0"))
    assert (said.mount_options, said.least_free_percent) == (("nodiscard", "noatime"), 5)
    assert (said.block_bytes, said.data_bytes) == (128 << 10, 100 << 30)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dm.bassize": "1G"}, r"dm\.bassize"),
        ({"basesize": "1G"}, "unknown option basesize"),
        ({"dm.basesize": "much"}, "10G"),
        ({"dm.fs": "zfs"}, "ext4, xfs"),
        ({"dm.datadev": "/dev/sdb"}, "go together"),
        ({"dm.thinpooldev": "/dev/mapper/p", "dm.datadev": "/a", "dm.metadatadev": "/b"}, "make no sense"),
        ({"dm.blocksize": "100k"}, "64K"),
        ({"dm.min_free_space": "all"}, "10%"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str], message: str) -> None:
    """A misspelt option must not be believed to hold; each message names what was wrong."""
    with pytest.raises(Invalid, match=message):
        DeviceMapperDriver(Path("/nowhere"), RecordingKernel().door(), GraphDriverOptions(options))
