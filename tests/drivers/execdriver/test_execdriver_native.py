"""The native driver under the contract suite, and what only it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.drivers.execdriver.native import NativeDriver
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.drivers.execdriver.contract_suite import Bench, ExecDriverContract


def native(run: Path) -> NativeDriver:
    return NativeDriver(run, CgroupManager(LinuxKernel(), find_hierarchy()))


class TestNative(ExecDriverContract):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[ExecDriver]:
        driver = native(tmp_path / "run")
        yield driver
        driver.close()

    def successor(self, bench: Bench) -> ExecDriver:
        return native(bench.work / "run")
