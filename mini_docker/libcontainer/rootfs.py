"""The container's view of files: the thin hand that carries a `RootfsPlan` out.

It does so in three acts, and their order is the security of it:

1. *Pick up.* While the host's files are still in sight, each mount is made or copied as a
   *detached* mount: it exists, and only a descriptor of ours reaches it.
2. *Pivot.* The container's root becomes "/" and the host's old root is let go, whole.
3. *Attach.* The detached mounts are put in their places by plain paths. Whatever symbolic links
   the image holds, no path can lead to the host: it is no longer there.

Classic runtimes attach before they pivot, and had to learn with every new CVE how a link in the
image can bend a mount's target out of the root file system.

It knows the plan's steps, not why they were wished for.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress

from mini_docker.dataclasses import replace
from mini_docker.errors import Invalid, MiniDockerError
from mini_docker.libcontainer.config import Device
from mini_docker.libcontainer.copy_up import copy_up
from mini_docker.libcontainer.rootfs_plan import CopyOfTree, MountStep, NewFilesystem, RootfsPlan
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel

_OTHERS_ROOT = re.compile(r"/proc/(?P<pid>\d+)/root(?P<path>/.+)", re.ASCII)

Stock = dict[NewFilesystem, int]
"""File systems that were made before anybody asked for them, as detached mounts."""

VIRTUAL = frozenset({"proc", "sysfs", "tmpfs", "devpts", "mqueue"})
"""Types whose instances come from nowhere: to make one and throw it away changes nothing."""

COVER = NewFilesystem("tmpfs", "tmpfs", (), c.MOUNT_ATTR_RDONLY)
"""Empty and read-only: lies over directories that the container shall not see into."""


def make_stock(kernel: Kernel, plan: RootfsPlan) -> Stock:
    """Make the plan's virtual file systems ahead; they serve any container that wants their like."""
    wanted = [step.what for step in plan.mounts if isinstance(step.what, NewFilesystem) and step.what.fstype in VIRTUAL]
    stock = {}
    for what in dict.fromkeys((*wanted, COVER) if plan.masked else wanted):
        # One that cannot be made is missing: the container that needs it will hear why, and no other one.
        with suppress(MiniDockerError, OSError):
            stock[what] = new_filesystem(kernel, what)
    return stock


class RootfsMaker:
    """Carries a `RootfsPlan` out, inside init.

    Args:
        kernel: the door.
        plan: what to make.
        stage: an existing directory on the host where the root is attached for the pivot; only
            the container's own mount namespace sees that.
        stock: file systems that need not be made any more; what is not used of them is let go.
        furniture: detached trees of mounts by their place, beside the plan's: see `furniture`.
    """

    def __init__(
        self, kernel: Kernel, plan: RootfsPlan, stage: str, stock: Stock | None = None,
        furniture: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        self._kernel = kernel
        self._plan = plan
        self._stage_path = stage
        self._stage = self._root = -1
        self._picked: dict[int, int] = {}
        self._stock = stock or {}
        self._furniture = furniture or {}

    def pick_up(self, root: int, root_path: str) -> None:
        """Act one, first half: what lies on the host. The root is a detached mount's descriptor, or a path.

        In a user namespace the caller is not its root yet: only whom it was born as may pass through every folder
        of the host.
        """
        # A volume that shares its mounts with the host is copied while it still is the host's peer.
        self._detach(lambda step: isinstance(step.what, CopyOfTree) and step.shared)
        if self._plan.own_namespace:
            # What the container mounts must never show on the host; what the host mounts may
            # still arrive in volumes that ask for it (slave). Were "/" still shared, pivot_root
            # would answer EINVAL.
            self._kernel.mount("", "/", flags=c.MS_SLAVE | c.MS_REC)
        self._detach(lambda step: isinstance(step.what, CopyOfTree) and not step.shared)
        self._stage = os.open(self._stage_path, c.O_PATH | os.O_CLOEXEC)
        if not self._plan.own_namespace:
            self._root = os.open(root_path, c.O_PATH | os.O_CLOEXEC) if root < 0 else root
        elif root < 0:
            self._root = self._kernel.open_tree(c.AT_FDCWD, root_path, c.OPEN_TREE_CLONE | c.AT_RECURSIVE)
        else:
            self._root = _own_copy(self._kernel, root)

    def make_filesystems(self) -> None:
        """Act one, second half: the container's own file systems, which belong to whoever makes them.

        The host's /proc is in sight still: the kernel shows a new one only to who sees one already.
        """
        self._detach(lambda step: isinstance(step.what, NewFilesystem))

    def _detach(self, wanted: Callable[[MountStep], bool]) -> None:
        for index, step in enumerate(self._plan.mounts):
            if wanted(step):
                self._picked[index] = detached(self._kernel, step, self._stock)

    def pivot(self) -> None:
        """Act two: enter the root."""
        kernel, root = self._kernel, self._root
        if not self._plan.own_namespace:
            os.fchdir(root)
            kernel.chroot(".")
            return
        kernel.move_mount(root, self._stage, "")
        os.close(self._stage)
        os.fchdir(root)
        kernel.mount("", ".", flags=c.MS_PRIVATE)
        # "." twice stacks the old root right above the new one; so the next umount of "." takes
        # the old one away, and no directory for it is needed in the image (pivot_root(2), NOTES).
        kernel.pivot_root(".", ".")
        kernel.mount("", ".", flags=c.MS_SLAVE | c.MS_REC)
        kernel.umount(".", c.MNT_DETACH)
        os.chdir("/")
        os.close(root)

    def attach(self) -> None:
        """Act three: every detached mount in its place, and device nodes in the image's own folders."""
        for target, tree in self._furniture.items():
            put(self._kernel, tree, target)
            os.close(tree)
        ours: set[str] = set()  # empty as they are, they have no place for what lies in them: not even to be tried
        for index, step in enumerate(self._plan.mounts):
            descriptor = self._picked[index]
            new = step.what if isinstance(step.what, NewFilesystem) else None
            if (new is not None and new.copy_up) or os.path.dirname(step.target) in ours:
                make_mount_point(step.target, descriptor)
            if new is not None:
                ours.add(step.target)
                if new.copy_up:
                    copy_up(step.target, descriptor)
            put(self._kernel, descriptor, step.target)
            os.close(descriptor)
        for device in self._plan.devices:
            _make_device(self._kernel, device)

    def protect(self) -> None:
        """Last: hide and write-protect what the spec says, the root itself at the very end."""
        kernel = self._kernel
        protect(kernel, self._plan, self._stock)
        for unused in self._stock.values():
            os.close(unused)
        if self._plan.root_propagation not in (c.MS_PRIVATE, c.MS_PRIVATE | c.MS_REC):
            kernel.mount("", "/", flags=self._plan.root_propagation)
        if self._plan.root_readonly:
            kernel.mount_setattr(c.AT_FDCWD, "/", 0, attr_set=c.MOUNT_ATTR_RDONLY)


def detached(kernel: Kernel, step: MountStep, stock: Stock) -> int:
    """The descriptor of a step's mount, which is attached nowhere yet; one that is in stock is taken from there."""
    what = step.what
    if isinstance(what, NewFilesystem):
        descriptor = _new(kernel, what, stock)
    else:
        descriptor = _copy(kernel, what)
        for changes, recursive in ((what.changes, 0), (what.tree_changes, c.AT_RECURSIVE)):
            if changes:
                attr_set, attr_clear = changes.for_setattr()
                kernel.mount_setattr(
                    descriptor, "", c.AT_EMPTY_PATH | recursive, attr_set=attr_set, attr_clear=attr_clear
                )
    if step.propagation:
        flags = c.AT_EMPTY_PATH | (c.AT_RECURSIVE if step.propagation & c.MS_REC else 0)
        kernel.mount_setattr(descriptor, "", flags, propagation=step.propagation & ~c.MS_REC)
    return descriptor


def put(kernel: Kernel, descriptor: int, path: str) -> None:
    """Attach a mount. Most places are there: to look first would cost each container 0.2 ms.

    Raises:
        MiniDockerError: there is no place for it, and none can be made.
    """
    try:
        kernel.move_mount(descriptor, c.AT_FDCWD, path)
    except SyscallError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        try:
            make_mount_point(path, descriptor)
        except OSError as refused:
            reason = os.strerror(refused.errno or 0).lower()
            raise MiniDockerError(f"mount point {path} cannot be made in the container: {reason}") from None
        kernel.move_mount(descriptor, c.AT_FDCWD, path)


def protect(kernel: Kernel, plan: RootfsPlan, stock: Stock, place: Callable[[str], str] = lambda path: path) -> None:
    """Seal, write-protect and mask what the plan says.

    Args:
        stock: where a `COVER` may be.
        place: where a path of the container's lies now.
    """
    empty = -1
    for path in plan.sealed:
        kernel.mount_setattr(c.AT_FDCWD, place(path), 0, attr_set=c.MOUNT_ATTR_RDONLY)
    for path in plan.readonly:
        tree = _tree_or_none(kernel, place(path))
        if tree >= 0:
            kernel.mount_setattr(tree, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, attr_set=c.MOUNT_ATTR_RDONLY)
            kernel.move_mount(tree, c.AT_FDCWD, place(path))
            os.close(tree)
    for path in plan.masked:
        try:
            is_directory = stat.S_ISDIR(os.stat(place(path)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not is_directory:
            cover = kernel.open_tree(c.AT_FDCWD, place("/dev/null"), c.OPEN_TREE_CLONE)
        elif empty < 0:
            cover = empty = _new(kernel, COVER, stock)
        else:
            cover = kernel.open_tree(empty, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
        kernel.move_mount(cover, c.AT_FDCWD, place(path))
        if cover != empty:
            os.close(cover)
    if empty >= 0:
        os.close(empty)


def _new(kernel: Kernel, what: NewFilesystem, stock: Stock) -> int:
    in_stock = stock.pop(what, -1)
    return in_stock if in_stock >= 0 else new_filesystem(kernel, what)


def make_mount_point(path: str, mount: int) -> None:
    """Make sure that a directory is there, or a file, as *mount* is one. Called after the pivot.

    Raises:
        OSError: something else is there.
    """
    if not stat.S_ISDIR(os.fstat(mount).st_mode):
        if not os.path.lexists(path):
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o644))
        return
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    except FileNotFoundError:
        os.makedirs(path, 0o755)


def _own_copy(kernel: Kernel, root: int) -> int:
    """A copy of the root's mount, so that the original stays detached for `cp` and a next start.

    Kernels before 6.15 do not copy detached mounts; there the original itself is used up.
    """
    try:
        return kernel.open_tree(root, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
    except SyscallError as error:
        if error.errno != errno.EINVAL:
            raise
        return root


def _copy(kernel: Kernel, what: CopyOfTree) -> int:
    """A copy of a mount. One in another process's sight must be made there: the kernel copies none across."""
    flags = c.OPEN_TREE_CLONE | (c.AT_RECURSIVE if what.recursive else 0)
    elsewhere = _OTHERS_ROOT.fullmatch(what.source)
    if elsewhere is None:
        return kernel.open_tree(c.AT_FDCWD, what.source, flags)
    namespaces = [os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC) for pid in (elsewhere["pid"], "self")]
    try:
        kernel.setns(namespaces[0], c.CLONE_NEWNS)
        try:
            return kernel.open_tree(c.AT_FDCWD, elsewhere["path"], flags)
        finally:
            kernel.setns(namespaces[1], c.CLONE_NEWNS)
    finally:
        for namespace in namespaces:
            os.close(namespace)


def new_filesystem(kernel: Kernel, what: NewFilesystem) -> int:
    """Make a file system instance; the descriptor of its detached mount."""
    context = kernel.fsopen(what.fstype)
    try:
        if what.source:
            kernel.fsconfig_string(context, "source", what.source)
        for key, value in what.options:
            if value:
                kernel.fsconfig_string(context, key, value)
            else:
                kernel.fsconfig_flag(context, key)
        kernel.fsconfig_create(context)
        mount = kernel.fsmount(context, what.attributes)
    finally:
        os.close(context)
    try:
        # Nobody else has been in there: no path can lead out.
        inside = f"/proc/self/fd/{mount}"
        for device in what.devices:
            _make_device(kernel, replace(device, path=f"{inside}/{device.path}"))
        for path, target in what.links:
            with suppress(FileExistsError):  # a privileged container's devices are the host's, its /dev/ptmx among them
                os.symlink(target, f"{inside}/{path}")
    except BaseException:
        os.close(mount)
        raise
    return mount


def _tree_or_none(kernel: Kernel, path: str) -> int:
    try:
        return kernel.open_tree(c.AT_FDCWD, path, c.OPEN_TREE_CLONE | c.AT_RECURSIVE)
    except SyscallError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return -1
        raise


_KINDS: dict[str, Callable[[int], int]] = {
    "c": lambda mode: stat.S_IFCHR | mode,
    "b": lambda mode: stat.S_IFBLK | mode,
    "p": lambda mode: stat.S_IFIFO | mode,
}


def _make_device(kernel: Kernel, device: Device) -> None:
    if device.kind not in _KINDS:
        raise Invalid(f"device {device.path}: unknown kind {device.kind!r}: c, b or p")
    os.makedirs(os.path.dirname(device.path), 0o755, exist_ok=True)
    kernel.mknod(device.path, _KINDS[device.kind](device.mode), os.makedev(device.major, device.minor))
    os.chmod(device.path, device.mode)  # mknod's mode is cut by the umask
    if device.uid or device.gid:
        os.chown(device.path, device.uid, device.gid)
