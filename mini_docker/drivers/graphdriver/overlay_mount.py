"""The overlay mount: sheets of glass laid on one another. As data, and as the calls that make it.

The mount is *detached*: a descriptor that stands in no mount table, so that whoever crashes leaks nothing.

It knows nothing of layers and their ids, only of directories.

Source: the kernel's Documentation/filesystems/overlayfs.rst; fsopen(2), fsconfig(2), fsmount(2), open_tree(2).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mini_docker.dataclasses import dataclass
from mini_docker.linux.constants import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    FSCONFIG_CMD_CREATE,
    MNT_DETACH,
    MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLONE,
)
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

OPTIONS = (("redirect_dir", "off"), ("metacopy", "off"), ("index", "off"))
"""Off, whatever the kernel's default: they leave notes in the upper directory instead of whole files, and then it
can't be read as a layer."""


@dataclass(frozen=True, slots=True)
class OverlayMount:
    """What is laid on what.

    Attributes:
        links: the directory of short names.
        lowers: names in *links* of the read-only directories, topmost first.
        upper: path of the directory that takes the writes; empty for a read-only mount.
        work: path of the overlay's scratch directory, beside *upper*.
    """

    links: Path
    lowers: tuple[str, ...]
    upper: str = ""
    work: str = ""

    def by_parameters(self) -> tuple[tuple[str, str], ...]:
        """The mount as parameters of fsconfig(2): one lower directory each, as long as paths may be."""
        lowers = tuple(("lowerdir+", str(self.links / lower)) for lower in self.lowers)
        return (("source", "overlay"), *lowers, *self._upper_and_options())

    def by_option_string(self, links_descriptor: int) -> str:
        """The mount as the options of mount(2), which must fit a page: short names behind a short descriptor."""
        links = f"/proc/self/fd/{links_descriptor}"
        lowers = ":".join(f"{links}/{lower}" for lower in self.lowers)
        upper = tuple((key, _escaped(value)) for key, value in self._upper_and_options())
        return ",".join(f"{key}={value}" for key, value in (("lowerdir", lowers), *upper))

    def _upper_and_options(self) -> tuple[tuple[str, str], ...]:
        upper = (("upperdir", self.upper), ("workdir", self.work)) if self.upper else ()
        return (*upper, *OPTIONS)


def mount_detached(kernel: Kernel, mount: OverlayMount) -> int:
    """Make the mount with a kernel that takes lower directories one by one (Linux 6.8); returns its root's descriptor.

    Raises:
        SyscallError: with EINVAL at ``lowerdir+``, or at the end, from an older kernel.
    """
    context = kernel.fsopen("overlay")
    try:
        for key, value in mount.by_parameters():
            kernel.fsconfig_string(context, key, value)
        kernel.fsconfig_create(context)
        return kernel.fsmount(context)
    finally:
        os.close(context)


def lacks_single_lowers(error: SyscallError) -> bool:
    """Whether `mount_detached` failed because the kernel does not know ``lowerdir+``.

    Linux 6.5 to 6.7 says so at the parameter itself; older ones read the parameters only when the instance is made.
    """
    at_once, at_the_end = "lowerdir+" in error.arguments, error.arguments[1:2] == (FSCONFIG_CMD_CREATE,)
    return error.call == "fsconfig" and error.errno == errno.EINVAL and (at_once or at_the_end)


def mount_and_detach(kernel: Kernel, mount: OverlayMount, place: Path) -> int:
    """The same with an older kernel: attach at the empty directory *place*, pick a detached copy up, and take it off.

    A string given to fsconfig(2) may have 255 bytes, which is no way to say 128 lower directories before Linux 6.8.
    """
    links = os.open(mount.links, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        kernel.mount("overlay", str(place), "overlay", data=mount.by_option_string(links))
    finally:
        os.close(links)
    try:
        return kernel.open_tree(AT_FDCWD, str(place), OPEN_TREE_CLONE)
    finally:
        kernel.umount(str(place), MNT_DETACH)


def detach_left_over(kernel: Kernel, place: Path) -> None:
    """Take off what a crash within `mount_and_detach` left attached at *place*, if it did."""
    try:
        kernel.umount(str(place), MNT_DETACH)
    except SyscallError as error:
        if error.errno != errno.EINVAL:  # EINVAL: not a mount point
            raise


def clone_detached(kernel: Kernel, directory: Path, *, read_only: bool) -> int:
    """A single directory as a detached mount: an overlay needs something to lie on."""
    descriptor = kernel.open_tree(AT_FDCWD, str(directory), OPEN_TREE_CLONE)
    if read_only:
        try:
            kernel.mount_setattr(descriptor, "", AT_EMPTY_PATH, attr_set=MOUNT_ATTR_RDONLY)
        except SyscallError:
            os.close(descriptor)
            raise
    return descriptor


def _escaped(value: str) -> str:
    """A path among options that commas separate."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")
