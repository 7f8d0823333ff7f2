"""The devicemapper driver's options: ``--storage-opt dm.…``, read once into one frozen value. No logic beyond that.

Source: Docker's daemon/graphdriver/devmapper/README.md, whose defaults these are.
"""

from __future__ import annotations

from collections.abc import Mapping

from mini_docker.dataclasses import dataclass
from mini_docker.drivers.graphdriver.devicemapper_calls import SECTOR_BYTES
from mini_docker.drivers.graphdriver.option_sizes import parse_size
from mini_docker.errors import Invalid

FILE_SYSTEMS = ("ext4", "xfs")
_NAMES = (
    "basesize", "blocksize", "datadev", "fs", "loopdatasize", "loopmetadatasize", "metadatadev", "min_free_space",
    "mkfsarg", "mountopt", "thinpooldev",
)  # fmt: skip
_LEAST_BLOCK_BYTES, _MOST_BLOCK_BYTES = 64 << 10, 1 << 30  # the kernel's thin-provisioning.rst


@dataclass(frozen=True, slots=True)
class DeviceMapperOptions:
    """How the pool is made, and what is on its devices.

    Attributes:
        base_bytes: the size of a layer's file system. It takes space only as it fills.
        data_bytes, metadata_bytes: of the loop files.
        data_device, metadata_device: paths of block devices to use in place of loop files; empty for these.
        pool_device: path of a thin pool that an administrator made for us alone; empty for one of our own.
        block_bytes: what the pool gives out at once.
        least_free_percent: of the pool's data; below it no layer is made.
    """

    base_bytes: int = 10 << 30
    data_bytes: int = 100 << 30
    metadata_bytes: int = 2 << 30
    file_system: str = "ext4"
    mkfs_arguments: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()
    data_device: str = ""
    metadata_device: str = ""
    pool_device: str = ""
    block_bytes: int = 64 << 10
    least_free_percent: int = 10

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> DeviceMapperOptions:
        """Read the daemon's options.

        Raises:
            Invalid: an unknown one, a value that makes no sense, or devices that exclude each other.
        """
        for key in values:
            if key.removeprefix("dm.") not in _NAMES or not key.startswith("dm."):
                known = ", ".join(f"dm.{name}" for name in _NAMES)
                raise Invalid(f"unknown option {key} for the graph driver devicemapper: it has {known}")

        def size(name: str, default: int) -> int:
            return parse_size(values[f"dm.{name}"]) if f"dm.{name}" in values else default

        usual = cls()
        said = cls(
            base_bytes=whole_sectors(size("basesize", usual.base_bytes)),
            data_bytes=whole_sectors(size("loopdatasize", usual.data_bytes)),
            metadata_bytes=whole_sectors(size("loopmetadatasize", usual.metadata_bytes)),
            file_system=values.get("dm.fs", usual.file_system),
            mkfs_arguments=tuple(values.get("dm.mkfsarg", "").split()),
            mount_options=tuple(word for word in values.get("dm.mountopt", "").split(",") if word),
            data_device=values.get("dm.datadev", ""),
            metadata_device=values.get("dm.metadatadev", ""),
            pool_device=values.get("dm.thinpooldev", ""),
            block_bytes=size("blocksize", usual.block_bytes),
            least_free_percent=_percent(values.get("dm.min_free_space", f"{usual.least_free_percent}%")),
        )
        said._check()
        return said

    def _check(self) -> None:
        if self.file_system not in FILE_SYSTEMS:
            raise Invalid(f"dm.fs {self.file_system}: there are {', '.join(FILE_SYSTEMS)}")
        if bool(self.data_device) != bool(self.metadata_device):
            raise Invalid("dm.datadev and dm.metadatadev go together: give both, or neither")
        if self.pool_device and self.data_device:
            raise Invalid("dm.thinpooldev is a whole pool: dm.datadev and dm.metadatadev make no sense with it")
        if self.block_bytes % _LEAST_BLOCK_BYTES or not _LEAST_BLOCK_BYTES <= self.block_bytes <= _MOST_BLOCK_BYTES:
            raise Invalid(f"dm.blocksize {self.block_bytes}: not a multiple of 64K, up to 1G")


def whole_sectors(size_bytes: int) -> int:
    """The size, rounded down to what a device can have."""
    return size_bytes - size_bytes % SECTOR_BYTES


def _percent(text: str) -> int:
    digits = text.removesuffix("%")
    if not digits.isdecimal() or int(digits) >= 100:
        raise Invalid(f"dm.min_free_space {text}: not a percentage, as in 10%")
    return int(digits)
