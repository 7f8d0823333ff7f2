"""btrfs, held to the laws of all graph drivers on a loop file, and its own: subvolumes, quotas, order forms."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from mini_docker.drivers.graphdriver import btrfs_calls
from mini_docker.drivers.graphdriver.btrfs import BtrfsDriver
from mini_docker.drivers.graphdriver.contract import GraphDriverOptions, StorageOptions
from mini_docker.drivers.graphdriver.option_sizes import parse_size
from mini_docker.errors import Invalid
from mini_docker.linux.recording import RecordingKernel
from tests.archive.trees import folder
from tests.drivers.graphdriver.contract_suite import KERNEL, NO_LIMITS, GraphDriverLaws, layer, opened
from tests.drivers.graphdriver.layer_machine import MACHINE_SETTINGS, LayerMachine
from tests.drivers.graphdriver.loop_file_systems import loop_file_system

needs_btrfs = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a loop file: needs root"),
    pytest.mark.skipif(shutil.which("mkfs.btrfs") is None, reason="mkfs.btrfs is not installed (btrfs-progs)"),
    pytest.mark.skipif("btrfs" not in Path("/proc/filesystems").read_text(), reason="this kernel has no btrfs"),
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="this machine has no loop devices"),
]


def btrfs() -> AbstractContextManager[Path]:
    """A fresh btrfs on a loop file."""
    return loop_file_system("btrfs", ("-f",))


@pytest.fixture(scope="module")
def file_system() -> Iterator[Path]:
    """One for all laws; each has its own folder."""
    with btrfs() as file_system:
        yield file_system


class TestBtrfs(GraphDriverLaws):
    driver_class = BtrfsDriver
    pytestmark = needs_btrfs

    @pytest.fixture
    def root(self, file_system: Path, request: pytest.FixtureRequest) -> Path:
        return file_system / f"driver{hash(request.node.name)}"


class BtrfsMachine(LayerMachine):
    driver_class = BtrfsDriver

    @classmethod
    @contextmanager
    def place(cls) -> Iterator[Path]:
        with btrfs() as file_system:
            yield file_system / "driver"


class TestBtrfsMachine(BtrfsMachine.TestCase):  # type: ignore[misc]
    settings = MACHINE_SETTINGS
    pytestmark = needs_btrfs


def live(test: object) -> object:
    for mark in needs_btrfs:
        test = mark(test)
    return test


@live
def test_a_limit_is_kept() -> None:
    """--storage-opt size: writes beyond it fail with EDQUOT, and the others' do not."""
    with btrfs() as file_system:
        driver = BtrfsDriver(file_system / "btrfs", KERNEL)
        layer(driver, "image", None, file="x")
        driver.create_read_write("limited", "image", StorageOptions(size_bytes=8 << 20))
        driver.create_read_write("free", "image", NO_LIMITS)
        with opened(driver, "limited") as root, opened(driver, "free") as other:
            with pytest.raises(OSError) as caught, open(root / "big", "wb", buffering=0) as file:
                for _ in range(32):
                    file.write(os.urandom(1 << 20))
                    os.fsync(file.fileno())
            assert caught.value.errno == errno.EDQUOT
            (other / "big").write_bytes(bytes(32 << 20))
        driver.cleanup()


@live
def test_subvolumes_that_a_container_made_go_with_it() -> None:
    """A subvolume cannot be destroyed while others are in it; a container with CAP_SYS_ADMIN may have made some."""
    with btrfs() as file_system:
        driver = BtrfsDriver(file_system / "btrfs", KERNEL)
        driver.create_read_write("container", None, NO_LIMITS)
        with opened(driver, "container") as root:
            btrfs_calls.create_subvolume(KERNEL, root / "own")
            (root / "own" / "file").touch()
        driver.remove("container")
        driver.cleanup()
        assert os.listdir(driver.root / "trash") == []


@live
def test_another_file_system_is_named_as_the_reason() -> None:
    """Whoever asks for btrfs elsewhere is told why not, and nothing is left of the probe."""
    with folder() as place:
        driver = BtrfsDriver(place / "btrfs", KERNEL)
        assert "not on a btrfs file system" in driver.available().reason
        assert os.listdir(place) == []


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("10G", 10 << 30), ("512m", 512 << 20), ("1kb", 1024), ("7", 7), ("2GiB", 2 << 30)]
)
def test_sizes_have_dockers_units(text: str, size_bytes: int) -> None:
    """Powers of 1024, in either case, with or without a b."""
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "G", "-1", "10X", "ten"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """And the message shows how one looks."""
    with pytest.raises(Invalid, match="10G"):
        BtrfsDriver(Path("/nowhere"), RecordingKernel().door(), GraphDriverOptions({"btrfs.min_space": text}))


def test_a_limit_below_the_least_is_refused(tmp_path: Path) -> None:
    """btrfs.min_space keeps users from containers that cannot even start."""
    kernel = RecordingKernel()
    driver = BtrfsDriver(tmp_path, kernel.door(), GraphDriverOptions({"btrfs.min_space": "1G"}))
    with pytest.raises(Invalid, match=r"btrfs\.min_space"):
        driver.limit_tree(tmp_path, 1 << 20)
    assert kernel.calls == []


def test_order_forms_have_the_headers_layout() -> None:
    """linux/btrfs.h: both volume forms are a page, and the call numbers carry their sizes."""
    plain = btrfs_calls.volume_arguments(b"name", 5)
    snapshot = btrfs_calls.snapshot_arguments(b"name", 5)
    assert len(plain) == len(snapshot) == 4096
    assert struct.unpack_from("q4s", plain) == (5, b"name")
    assert (struct.unpack_from("q", snapshot)[0], snapshot[56:61]) == (5, b"name\0")
    assert len(btrfs_calls.limit_arguments(1)) == 48
    numbers = (
        btrfs_calls.SUBVOL_CREATE, btrfs_calls.SNAP_DESTROY, btrfs_calls.SNAP_CREATE_V2, btrfs_calls.QUOTA_CTL,
        btrfs_calls.QGROUP_LIMIT, btrfs_calls.QUOTA_RESCAN_WAIT,
    )  # fmt: skip
    assert numbers == (0x5000940E, 0x5000940F, 0x50009417, 0xC0109428, 0x8030942B, 0x942E)
