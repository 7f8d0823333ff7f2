"""Project quotas: the order forms, who gets which number, and on a real xfs and ext4 that limits are kept."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.archive.directory_cache import opened as opened_directory
from mini_docker.drivers.graphdriver.contract import GraphDriverOptions, StorageOptions
from mini_docker.drivers.graphdriver.overlay import OverlayDriver
from mini_docker.drivers.graphdriver.project_quota import (
    _ATTRIBUTES,
    _QUOTA,
    _STATE,
    BLOCK_BYTES,
    FIRST_PROJECT,
    GET_ATTRIBUTES,
    GET_QUOTA,
    GET_STATE,
    SET_ATTRIBUTES,
    SET_LIMIT,
    ProjectQuota,
)
from mini_docker.errors import Invalid, Unsupported
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.recording import RecordingKernel
from tests.archive.trees import folder
from tests.drivers.graphdriver.contract_suite import KERNEL, NO_LIMITS, layer, opened
from tests.drivers.graphdriver.loop_file_systems import loop_file_system

MEBIBYTE = 1 << 20
ENFORCED = 1 << 5
INHERITED = 0x200


class QuotaKernel:
    """A kernel door to a file system that counts projects: folders by their inode, limits by project."""

    def __init__(self, state_flags: int = ENFORCED) -> None:
        self.projects: dict[int, int] = {}
        self.limits: dict[int, int] = {}
        self.state_flags = state_flags

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        """FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR."""
        inode = os.fstat(descriptor).st_ino
        if request == GET_ATTRIBUTES:
            project = self.projects.get(inode, 0)
            return struct.pack("=5I8x", INHERITED if project else 0, 0, 0, project, 0)
        assert request == SET_ATTRIBUTES
        flags, _, _, project, _ = struct.unpack("=5I8x", argument)
        assert flags == INHERITED
        self.projects[inode] = project
        return b""

    def quotactl_fd(self, descriptor: int, command: int, id: int, argument: bytes) -> bytes:
        """Q_XGETQSTATV, Q_XGETQUOTA and Q_XSETQLIM, of projects."""
        if command == GET_STATE:
            return struct.pack("=bBH252x", 1, 0, self.state_flags)
        if command == SET_LIMIT:
            version, kind, fields, project, hard, soft, *_ = struct.unpack("=bbHI6Q56x", argument)
            assert (version, kind, fields, project) == (1, 2, 0b1100, id) and hard == soft
            self.limits[id] = hard
            return argument
        assert command == GET_QUOTA and len(argument) == 112
        inodes = list(self.projects.values()).count(id)
        if not inodes and not self.limits.get(id):
            raise SyscallError("quotactl_fd", (), errno.ENOENT)
        return struct.pack("=bbHI6Q56x", 1, 2, 0, id, self.limits.get(id, 0), 0, 0, 0, 0, inodes)


def quota(kernel: Any, root: Path) -> ProjectQuota:
    return ProjectQuota(kernel, root)


def layer_folder(root: Path, name: str) -> Path:
    for inner in ("diff", "work"):
        (root / name / inner).mkdir(parents=True)
    return root / name


def test_the_commands_are_the_kernels() -> None:
    """linux/dqblk_xfs.h and linux/quota.h: the command above the lowest byte, the kind of quota in it."""
    assert (GET_QUOTA, SET_LIMIT, GET_STATE) == (0x580302, 0x580402, 0x580802)
    assert (GET_ATTRIBUTES, SET_ATTRIBUTES) == (0x801C581F, 0x401C5820)
    assert (_ATTRIBUTES.size, _QUOTA.size) == (28, 112)
    assert _STATE.size >= 160


def test_a_folder_and_those_in_it_get_one_number_and_a_limit(tmp_path: Path) -> None:
    kernel = QuotaKernel()
    folder = layer_folder(tmp_path, "one")
    quota(kernel, tmp_path).limit(folder, 3 * MEBIBYTE)
    numbers = {kernel.projects[path.stat().st_ino] for path in (folder, folder / "diff", folder / "work")}
    assert numbers == {FIRST_PROJECT} and kernel.limits == {FIRST_PROJECT: 3 * MEBIBYTE // BLOCK_BYTES}


@given(size_bytes=st.integers(1, 1 << 50))
def test_a_limit_is_a_whole_number_of_blocks(tmp_path_factory: pytest.TempPathFactory, size_bytes: int) -> None:
    """Rounded up: who asks for one byte gets a block, not no limit at all."""
    kernel, root = QuotaKernel(), tmp_path_factory.mktemp("root")
    quota(kernel, root).limit(layer_folder(root, "one"), size_bytes)
    assert 0 <= kernel.limits[FIRST_PROJECT] * BLOCK_BYTES - size_bytes < BLOCK_BYTES


def test_numbers_that_somebody_uses_are_passed_over(tmp_path: Path) -> None:
    """An earlier daemon's, or an administrator's."""
    kernel = QuotaKernel()
    kernel.limits[FIRST_PROJECT] = 8
    kernel.projects[1] = FIRST_PROJECT + 1
    quota(kernel, tmp_path).limit(layer_folder(tmp_path, "one"), MEBIBYTE)
    assert kernel.limits[FIRST_PROJECT] == 8 and FIRST_PROJECT + 2 in kernel.limits
    quota(kernel, tmp_path).limit(layer_folder(tmp_path, "two"), MEBIBYTE)
    assert FIRST_PROJECT + 3 in kernel.limits


def test_who_goes_takes_the_limit_along(tmp_path: Path) -> None:
    kernel = QuotaKernel()
    lids = quota(kernel, tmp_path)
    folder = layer_folder(tmp_path, "one")
    lids.limit(folder, MEBIBYTE)
    lids.take_off(folder)
    assert kernel.limits == {FIRST_PROJECT: 0}
    lids.take_off(layer_folder(tmp_path, "free"))
    lids.take_off(tmp_path / "gone")
    assert kernel.limits == {FIRST_PROJECT: 0}


def test_killed_before_the_last_file_went_nothing_is_limited_for_ever(tmp_path: Path) -> None:
    """The next daemon passes over the number while a file bears it, and takes it when none does."""
    kernel = QuotaKernel()
    folder = layer_folder(tmp_path, "one")
    quota(kernel, tmp_path).limit(folder, MEBIBYTE)
    quota(kernel, tmp_path).take_off(folder)
    quota(kernel, tmp_path).limit(layer_folder(tmp_path, "two"), MEBIBYTE)
    assert set(kernel.projects.values()) == {FIRST_PROJECT, FIRST_PROJECT + 1}
    kernel.projects = {inode: number for inode, number in kernel.projects.items() if number != FIRST_PROJECT}
    quota(kernel, tmp_path).limit(layer_folder(tmp_path, "three"), MEBIBYTE)
    assert kernel.limits[FIRST_PROJECT]


def test_two_daemons_that_look_at_the_same_moment_part(tmp_path: Path) -> None:
    """The other one's folders came between the look and the mark: who sees more than his own takes another number."""
    kernel = QuotaKernel()
    first_look = kernel.quotactl_fd

    def and_then_the_other_marks(descriptor: int, command: int, id: int, argument: bytes) -> bytes:
        try:
            return first_look(descriptor, command, id, argument)
        finally:
            if command == GET_QUOTA:
                kernel.quotactl_fd = first_look  # type: ignore[method-assign]
                kernel.projects[1] = FIRST_PROJECT

    kernel.quotactl_fd = and_then_the_other_marks  # type: ignore[method-assign]
    quota(kernel, tmp_path).limit(layer_folder(tmp_path, "one"), MEBIBYTE)
    assert set(kernel.limits) == {FIRST_PROJECT + 1}


def test_an_inherited_number_is_somebody_elses(tmp_path: Path) -> None:
    """A root folder in a project: nothing in it can be limited apart, and its own limit stays."""
    kernel = QuotaKernel()
    kernel.limits[FIRST_PROJECT + 7] = 100
    folder = layer_folder(tmp_path, "one")
    for path in (tmp_path, folder):
        kernel.projects[path.stat().st_ino] = FIRST_PROJECT + 7
    lids = quota(kernel, tmp_path)
    lids.take_off(folder)
    assert kernel.limits == {FIRST_PROJECT + 7: 100}
    with pytest.raises(Unsupported, match=f"belongs to the project {FIRST_PROJECT + 7} itself"):
        lids.limit(folder, MEBIBYTE)


def test_counted_but_not_enforced_is_no_limit(tmp_path: Path) -> None:
    """xfs mounted with pqnoenforce."""
    with pytest.raises(Unsupported, match="enforces no project quotas"):
        quota(QuotaKernel(state_flags=1 << 4), tmp_path).check()


@pytest.mark.parametrize("reason", [errno.ENOSYS, errno.EINVAL, errno.ESRCH])
def test_a_file_system_without_quotas_is_named(tmp_path: Path, reason: int) -> None:
    """The words say what to do."""
    kernel = RecordingKernel(failures={"quotactl_fd": reason})
    words = f"{tmp_path} enforces no project quotas .mount an xfs with pquota.*{errno.errorcode[reason]}"
    with pytest.raises(Unsupported, match=words):
        quota(kernel, tmp_path).check()


@pytest.mark.parametrize("size_bytes", [1 << 63, 1 << 64, 99_999_999_999 << 50])
def test_a_limit_beyond_the_kernels_numbers_is_refused(tmp_path: Path, size_bytes: int) -> None:
    """It would wrap around, and be none."""
    kernel = QuotaKernel()
    with pytest.raises(Invalid, match="more than any file system holds"):
        quota(kernel, tmp_path).limit(layer_folder(tmp_path, "one"), size_bytes)
    assert kernel.limits == {}


@pytest.mark.parametrize("prefix", ["overlay", "overlay2"])
def test_the_daemons_options_are_docker_s(tmp_path: Path, prefix: str) -> None:
    """Whoever comes from Docker keeps his daemon.json."""
    options = {f"{prefix}.size": "1G", f"{prefix}.override_kernel_check": "true"}
    assert OverlayDriver(tmp_path, KERNEL, GraphDriverOptions(options))._size_bytes == 1 << 30
    with pytest.raises(Invalid):
        OverlayDriver(tmp_path, KERNEL, GraphDriverOptions({f"{prefix}.size": "much"}))
    for wrong in ("size", f"{prefix}.overlay.size", f"{prefix}.sise"):
        with pytest.raises(Invalid, match=f"unknown option {wrong}"):
            OverlayDriver(tmp_path, KERNEL, GraphDriverOptions({wrong: "1G"}))


# On real file systems.

FORMS = {
    "xfs": ((), ("pquota",)),
    "ext4": (("-O", "quota,project", "-E", "quotatype=prjquota"), ("prjquota",)),
}


@pytest.fixture(params=sorted(FORMS))
def ground(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder on a fresh file system that enforces project quotas."""
    if os.geteuid() != 0:
        pytest.skip("mounts a loop file: needs root")
    if shutil.which(f"mkfs.{request.param}") is None:
        pytest.skip(f"mkfs.{request.param} is not installed")
    if not Path("/dev/loop-control").exists():
        pytest.skip("this machine has no loop devices")
    mkfs_options, flags = FORMS[request.param]
    with ExitStack() as mounted:
        try:
            ground = mounted.enter_context(loop_file_system(request.param, mkfs_options, flags, attached=True))
        except SyscallError as error:
            pytest.skip(f"this kernel keeps no project quotas on {request.param}: {error}")
        yield ground / "overlay"


def fill(path: Path) -> int:
    """Write until the disk says no, 32 MiB at most; how many bytes it took."""
    with pytest.raises(OSError) as caught, open(path, "wb", buffering=0) as file:
        for _ in range(32):
            file.write(os.urandom(MEBIBYTE))
            os.fsync(file.fileno())
    assert caught.value.errno in (errno.EDQUOT, errno.ENOSPC)
    return path.stat().st_size


@pytest.mark.root
def test_a_limit_is_kept_and_goes_with_its_container(ground: Path) -> None:
    """Also of what is copied up, also by a container whose folder was filled before; the neighbour is free."""
    driver = OverlayDriver(ground, KERNEL)
    lids = ProjectQuota(KERNEL, ground)
    layer(driver, "image", None, file="x" * (2 * MEBIBYTE))
    for name in ("first", "second"):
        driver.create_read_write(name, "image", NO_LIMITS)
    driver.prepare()
    driver._background.drain()
    driver.create_read_write("limited", "image", StorageOptions(size_bytes=8 * MEBIBYTE))
    with opened(driver, "limited") as root, opened(driver, "first") as other:
        with open(root / "file", "ab") as file:
            file.write(b"y")
        assert fill(root / "big") <= 6 * MEBIBYTE
        (other / "big").write_bytes(bytes(12 * MEBIBYTE))
        (root / "big").unlink()
        (root / "big").write_bytes(bytes(2 * MEBIBYTE))
        statistics = os.statvfs(root)
        assert statistics.f_blocks * statistics.f_frsize <= 8 * MEBIBYTE
    with opened_directory(ground) as descriptor:
        assert lids.use(descriptor, FIRST_PROJECT).limit_bytes == 8 * MEBIBYTE
        driver.remove("limited")
        driver.cleanup()
        assert lids.use(descriptor, FIRST_PROJECT).limit_bytes == 0  # xfs counts down what it took when it finds time


@pytest.mark.root
def test_the_daemons_own_limit_holds_for_who_says_none(ground: Path) -> None:
    driver = OverlayDriver(ground, KERNEL, GraphDriverOptions({"overlay2.size": "4M"}))
    assert driver.available()
    layer(driver, "image", None, file="x")  # ext4 lets root pass without an overlay, which gives up that privilege
    driver.create_read_write("usual", "image", NO_LIMITS)
    driver.create_read_write("bigger", "image", StorageOptions(size_bytes=10 * MEBIBYTE))
    driver.create_read_write("free", "image", StorageOptions(size_bytes=0))
    with opened(driver, "usual") as root, opened(driver, "bigger") as other, opened(driver, "free") as free:
        assert fill(root / "big") <= 4 * MEBIBYTE
        assert 4 * MEBIBYTE < fill(other / "big") <= 10 * MEBIBYTE
        (free / "big").write_bytes(bytes(12 * MEBIBYTE))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts an overlay: needs root")
def test_a_daemon_that_cannot_keep_its_limit_does_not_start() -> None:
    """tmpfs counts no projects."""
    with folder() as place:
        available = OverlayDriver(place / "overlay", KERNEL, GraphDriverOptions({"overlay.size": "4M"})).available()
        assert not available and "project quotas" in available.reason and "overlay.size" in available.reason
        assert OverlayDriver(place / "overlay", KERNEL).available()
