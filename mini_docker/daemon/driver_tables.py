"""The driver tables: which concrete drivers this build has, by the names that the flags ask for them.

The one list that a new driver is entered into. Who needs a driver by its name (bootstrap, the doctor) looks here;
everybody else knows contracts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mini_docker.drivers.execdriver.chroot import ChrootDriver
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.drivers.execdriver.lxc import LxcDriver
from mini_docker.drivers.execdriver.native import NativeDriver
from mini_docker.drivers.graphdriver.aufs import AufsDriver
from mini_docker.drivers.graphdriver.btrfs import BtrfsDriver
from mini_docker.drivers.graphdriver.contract import GraphDriver
from mini_docker.drivers.graphdriver.devicemapper import DeviceMapperDriver
from mini_docker.drivers.graphdriver.overlay import OverlayDriver
from mini_docker.drivers.graphdriver.vfs import VfsDriver
from mini_docker.libcontainer.cgroups.manager import CgroupManager

GRAPH_DRIVERS: Mapping[str, Callable[..., GraphDriver]] = {
    "overlay": OverlayDriver, "btrfs": BtrfsDriver, "devicemapper": DeviceMapperDriver, "aufs": AufsDriver,
    "vfs": VfsDriver,
}  # fmt: skip
"""In the order of preference where nobody says which."""

EXEC_DRIVERS: Mapping[str, Callable[[Path, CgroupManager], ExecDriver]] = {
    "native": NativeDriver, "chroot": ChrootDriver, "lxc": LxcDriver,
}  # fmt: skip
