"""Host devices looked up: from the paths a user names to the numbers the kernel knows them by.

The only part of a container's drawing that must look at /dev; it knows nothing of containers.

Source: Docker's ``oci/devices_linux.go``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from mini_docker.daemon.container.host_config import DeviceMapping, HostConfig
from mini_docker.dataclasses import replace
from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import Device

_OWN = tuple(f"/dev/{name}" for name in ("pts", "shm", "mqueue", "fd", "console", ".lxc", ".udev"))
"""Not the host's to give: every container has its own."""


def device_at(path: str) -> Device:
    """The device node at *path* on the host.

    Raises:
        Invalid: there is none.
    """
    try:
        status = os.stat(path)
    except OSError:
        raise Invalid(
            f'error gathering device information while adding custom device "{path}": no such file or directory'
        ) from None
    if not stat.S_ISCHR(status.st_mode) and not stat.S_ISBLK(status.st_mode):
        raise Invalid(f'error gathering device information while adding custom device "{path}": not a device node')
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b"
    return Device(
        path, kind, os.major(status.st_rdev), os.minor(status.st_rdev), stat.S_IMODE(status.st_mode), status.st_uid,
        status.st_gid,
    )  # fmt: skip


def all_devices(folder: str = "/dev") -> list[Device]:
    """Every device node of the host but terminals and what a container has of its own."""
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.path):
        if entry.path in _OWN or entry.is_symlink():
            continue
        if entry.is_dir():
            found += all_devices(entry.path)
        else:
            try:
                found.append(device_at(entry.path))
            except Invalid:
                continue  # a socket, or gone since
    return found


def wished_devices(host: HostConfig) -> tuple[tuple[Device, str], ...]:
    """The devices that a host config asks for, each with the access granted.

    Raises:
        Invalid: one does not exist.
    """
    if host.privileged:
        return tuple((device, "rwm") for device in all_devices())
    return tuple(pair for mapping in host.devices for pair in _mapped(mapping))


def _mapped(mapping: DeviceMapping) -> Iterable[tuple[Device, str]]:
    access = mapping.cgroup_permissions or "rwm"
    inside = mapping.path_in_container or mapping.path_on_host
    if os.path.isdir(mapping.path_on_host):  # a folder such as /dev/snd stands for all devices in it
        for device in all_devices(mapping.path_on_host):
            yield replace(device, path=inside + device.path.removeprefix(mapping.path_on_host)), access
    else:
        yield replace(device_at(mapping.path_on_host), path=inside), access


def block_device_numbers(host: HostConfig) -> dict[str, tuple[int, int]]:
    """(major, minor) of every block device that a limit of the host config names.

    Raises:
        Invalid: one does not exist.
    """
    paths = [device.path for device in host.blkio_weight_device]
    for throttles in (
        host.blkio_device_read_bps, host.blkio_device_write_bps, host.blkio_device_read_iops,
        host.blkio_device_write_iops,
    ):  # fmt: skip
        paths += [device.path for device in throttles]
    devices = {path: device_at(path) for path in paths}
    return {path: (device.major, device.minor) for path, device in devices.items()}
