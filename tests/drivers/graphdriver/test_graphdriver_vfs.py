"""vfs, held to the laws of all graph drivers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mini_docker.drivers.graphdriver.contract import GraphDriverOptions, StorageOptions
from mini_docker.drivers.graphdriver.vfs import VfsDriver
from mini_docker.errors import Invalid, Unsupported
from tests.drivers.graphdriver.contract_suite import KERNEL, GraphDriverLaws
from tests.drivers.graphdriver.layer_machine import MACHINE_SETTINGS, LayerMachine

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="layers hold files of many owners: needs root"),
]


class TestVfs(GraphDriverLaws):
    driver_class = VfsDriver


class VfsMachine(LayerMachine):
    driver_class = VfsDriver


TestVfsMachine = VfsMachine.TestCase
TestVfsMachine.settings = MACHINE_SETTINGS


def test_a_limit_is_refused_and_nothing_half_made(tmp_path: Path) -> None:
    """Rather no container than one whose limit is not kept."""
    driver = VfsDriver(tmp_path, KERNEL)
    with pytest.raises(Unsupported, match="size"):
        driver.create_read_write("container", None, StorageOptions(size_bytes=1 << 20))
    assert driver.layers() == [] and os.listdir(tmp_path / "tmp") == []


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    """A misspelt option must not be believed to hold."""
    with pytest.raises(Invalid, match=r"vfs\.size"):
        VfsDriver(tmp_path, KERNEL, GraphDriverOptions({"vfs.size": "10G"}))
