"""The chroot driver under the contract suite, and what it is there to show: the walls that it lacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.drivers.execdriver.chroot import ChrootDriver
from mini_docker.drivers.execdriver.contract import ExecDriver, Walls
from mini_docker.drivers.execdriver.known import KNOWN_DRIVERS, missing_walls, walls_table
from mini_docker.drivers.execdriver.native import NativeDriver
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.drivers.execdriver.contract_suite import Bench, ExecDriverContract


def chroot(run: Path) -> ChrootDriver:
    return ChrootDriver(run, CgroupManager(LinuxKernel(), find_hierarchy()))


class TestChroot(ExecDriverContract):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[ExecDriver]:
        driver = chroot(tmp_path / "run")
        yield driver
        driver.close()

    def successor(self, bench: Bench) -> ExecDriver:
        return chroot(bench.work / "run")

    def test_another_root_is_all_there_is(self, bench: Bench) -> None:
        """The image's files are at "/"; the host's name, network and processes are in plain sight."""
        code, out, _ = bench.run("sh", "-c", "test -x /bin/busybox && test ! -e /usr/bin/env && hostname")
        assert (code, out.decode().strip()) == (0, os.uname().nodename)

    def test_the_machine_is_in_reach(self, bench: Bench) -> None:
        """One mount, and the files of every process outside are there: a chroot is no wall for root."""
        outside = "/proc/$PPID/root" + str(Path(__file__).resolve())
        code, out, err = bench.run("sh", "-c", f"mount -t proc proc /proc && cat {outside}; umount /proc")
        assert (code, out) == (0, Path(__file__).read_bytes()), err


def test_info_lists_each_missing_wall(tmp_path: Path) -> None:
    """From the contract itself, so that none is forgotten."""
    drivers = [
        driver(tmp_path / "run", CgroupManager(LinuxKernel(), find_hierarchy()))
        for driver in (NativeDriver, ChrootDriver)
    ]
    title, *rows = walls_table(drivers)
    assert title[0] == "wall"
    assert {row[0] for row in rows} == set(Walls.__dataclass_fields__)
    assert ["pid", "yes", "-"] in rows
    assert ["root", "yes", "yes"] in rows
    missing = missing_walls(drivers[1].walls())
    assert missing == ("pid", "mount", "uts", "ipc", "network", "cgroup", "user", "capabilities", "seccomp")


def test_known_drivers_have_reasons() -> None:
    """The promises of 2014, each with what became of it."""
    assert {"openvz", "bsd-jails", "solaris-zones", "libvirt-sandbox"} <= {driver.name for driver in KNOWN_DRIVERS}
    assert all(driver.reason for driver in KNOWN_DRIVERS)
