"""The container's view of files: a plan of mounts, and the thin hand that makes them.

The plan has three acts, and their order is the security of it:

1. *Pick up.* While the host's files are still in sight, each mount is made or copied as a
   *detached* mount: it exists, and only a descriptor of ours reaches it.
2. *Pivot.* The container's root becomes "/" and the host's old root is let go, whole.
3. *Attach.* The detached mounts are put in their places by plain paths. Whatever symbolic links
   the image holds, no path can lead to the host: it is no longer there.

Classic runtimes attach before they pivot, and had to learn with every new CVE how a link in the
image can bend a mount's target out of the root file system.

It knows the spec's mounts, not where they came from.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace

from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import ContainerSpec, Device, Mount
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel


@dataclass(frozen=True, slots=True)
class NewFilesystem:
    """A file system instance of the container's own: proc, tmpfs, devpts, mqueue, sysfs.

    Attributes:
        options: (key, value) for fsconfig; a value of "" is a flag.
        attributes: MOUNT_ATTR_* of the mount.
    """

    fstype: str
    source: str
    options: tuple[tuple[str, str], ...]
    attributes: int


@dataclass(frozen=True, slots=True)
class CopyOfTree:
    """A bind mount: a second way to files that are mounted already.

    Attributes:
        recursive: with the mounts below it.
        set_recursively: the attributes hold for the mounts below it, too.
        propagation: MS_PRIVATE and so on; 0 leaves it as the source has it.
    """

    source: str
    recursive: bool
    attributes: int
    clear_attributes: int = 0
    set_recursively: bool = False
    propagation: int = 0


@dataclass(frozen=True, slots=True)
class MountStep:
    """One mount: what, and where inside the container it will be attached."""

    what: NewFilesystem | CopyOfTree
    target: str


@dataclass(frozen=True, slots=True)
class RootfsPlan:
    """Everything about the container's files, in the order in which it is done.

    Attributes:
        own_namespace: whether the container has its own mount namespace. Without one nothing can
            be mounted: only chroot is left, and what isolation that is *not*, the chroot exec
            driver shows.
        mounts: picked up in this order, attached in this order.
        devices: nodes to make in /dev (before it may become read-only).
        links: (path, target) symbolic links in /dev.
        sealed: mounts that become read-only only when all others are attached: some lie inside them.
        masked, readonly: paths to hide, and to protect from writing.
        root_readonly: protect the root mount itself, last, since mount points are made in it.
        root_propagation: MS_PRIVATE and so on, for the root mount.
    """

    own_namespace: bool
    mounts: tuple[MountStep, ...]
    devices: tuple[Device, ...]
    links: tuple[tuple[str, str], ...]
    sealed: tuple[str, ...]
    masked: tuple[str, ...]
    readonly: tuple[str, ...]
    root_readonly: bool
    root_propagation: int


_ATTRIBUTES = {
    "ro": c.MOUNT_ATTR_RDONLY, "nosuid": c.MOUNT_ATTR_NOSUID, "nodev": c.MOUNT_ATTR_NODEV,
    "noexec": c.MOUNT_ATTR_NOEXEC, "noatime": c.MOUNT_ATTR_NOATIME, "strictatime": c.MOUNT_ATTR_STRICTATIME,
    "nodiratime": c.MOUNT_ATTR_NODIRATIME,
}  # fmt: skip
_CLEARED = {
    "rw": c.MOUNT_ATTR_RDONLY, "suid": c.MOUNT_ATTR_NOSUID, "dev": c.MOUNT_ATTR_NODEV, "exec": c.MOUNT_ATTR_NOEXEC,
}  # fmt: skip
PROPAGATION = {
    "private": c.MS_PRIVATE, "rprivate": c.MS_PRIVATE | c.MS_REC, "slave": c.MS_SLAVE, "rslave": c.MS_SLAVE | c.MS_REC,
    "shared": c.MS_SHARED, "rshared": c.MS_SHARED | c.MS_REC,
    "unbindable": c.MS_UNBINDABLE, "runbindable": c.MS_UNBINDABLE | c.MS_REC,
}  # fmt: skip
_IGNORED = frozenset({"defaults", "relatime", "async", "bind", "rbind"})

DEV_LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)


def plan(spec: ContainerSpec) -> RootfsPlan:
    """The spec's files as steps.

    Raises:
        Invalid: a mount's destination is relative, or an option contradicts its type.
    """
    own_namespace = any(namespace.kind == "mount" for namespace in spec.namespaces)
    if spec.root_propagation not in PROPAGATION:
        raise Invalid(f"unknown propagation {spec.root_propagation!r}: one of {', '.join(PROPAGATION)}")
    mounts = tuple(_mount_step(mount) for mount in spec.mounts) if own_namespace else ()
    mounts, sealed = _seal_last(mounts)
    has_dev = any(step.target == "/dev" and isinstance(step.what, NewFilesystem) for step in mounts)
    return RootfsPlan(
        own_namespace=own_namespace,
        mounts=mounts,
        devices=spec.devices if has_dev else (),
        links=DEV_LINKS if has_dev else (),
        sealed=sealed,
        masked=spec.masked_paths if own_namespace else (),
        readonly=spec.readonly_paths if own_namespace else (),
        root_readonly=spec.root_readonly and own_namespace,
        root_propagation=PROPAGATION[spec.root_propagation],
    )


def _seal_last(steps: tuple[MountStep, ...]) -> tuple[tuple[MountStep, ...], tuple[str, ...]]:
    """Keep read-only file systems open as long as mount points must be made in them."""
    open_steps: list[MountStep] = []
    sealed: list[str] = []
    for index, step in enumerate(steps):
        what = step.what
        inside = any(later.target.startswith(step.target + "/") for later in steps[index + 1 :])
        if inside and isinstance(what, NewFilesystem) and what.attributes & c.MOUNT_ATTR_RDONLY:
            what = replace(what, attributes=what.attributes & ~c.MOUNT_ATTR_RDONLY)
            sealed.append(step.target)
        open_steps.append(MountStep(what, step.target))
    return tuple(open_steps), tuple(sealed)


def _mount_step(mount: Mount) -> MountStep:
    if not mount.destination.startswith("/"):
        raise Invalid(f"mount destination {mount.destination!r} is not an absolute path")
    attributes, clear, propagation = 0, 0, 0
    read_only_recursively = False
    data: list[tuple[str, str]] = []
    for option in mount.options:
        if option in _ATTRIBUTES:
            attributes |= _ATTRIBUTES[option]
        elif option in _CLEARED:
            clear |= _CLEARED[option]
        elif option in PROPAGATION:
            propagation = PROPAGATION[option]
        elif option == "rro":
            attributes |= c.MOUNT_ATTR_RDONLY
            read_only_recursively = True
        elif option not in _IGNORED:
            key, _, value = option.partition("=")
            data.append((key, value))
    target = os.path.normpath(mount.destination)
    if mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options:
        if data:
            raise Invalid(f"mount of {mount.destination}: a bind mount has no option {data[0][0]!r}")
        what = CopyOfTree(
            mount.source, "rbind" in mount.options, attributes, clear & ~attributes, read_only_recursively, propagation
        )
        return MountStep(what, target)
    return MountStep(NewFilesystem(mount.type, mount.source, tuple(data), attributes), target)


class RootfsMaker:
    """Carries a `RootfsPlan` out, inside init.

    Args:
        kernel: the door.
        plan: what to make.
        stage: an existing directory on the host where the root is attached for the pivot; only
            the container's own mount namespace sees that.
    """

    def __init__(self, kernel: Kernel, plan: RootfsPlan, stage: str) -> None:
        self._kernel = kernel
        self._plan = plan
        self._stage = stage
        self._picked: list[tuple[MountStep, int]] = []

    def pick_up(self) -> None:
        """Act one: every mount, detached."""
        if self._plan.own_namespace:
            # What the container mounts must never show on the host; what the host mounts may
            # still arrive in volumes that ask for it (slave). Were "/" still shared, pivot_root
            # would answer EINVAL.
            self._kernel.mount("", "/", flags=c.MS_SLAVE | c.MS_REC)
        for step in self._plan.mounts:
            descriptor = _detached(self._kernel, step)
            if descriptor >= 0:
                self._picked.append((step, descriptor))

    def pivot(self, root: int, root_path: str) -> None:
        """Act two: enter the root, given as a detached mount's descriptor or as a path."""
        kernel = self._kernel
        if not self._plan.own_namespace:
            os.chdir(root_path or root)
            os.chroot(".")
            return
        if root < 0:
            root = kernel.open_tree(c.AT_FDCWD, root_path, c.OPEN_TREE_CLONE | c.AT_RECURSIVE)
        else:
            root = _own_copy(kernel, root)
        kernel.move_mount(root, c.AT_FDCWD, self._stage)
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
        """Act three: every detached mount in its place, and the nodes of /dev."""
        for step, descriptor in self._picked:
            is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            make_mount_point(step.target, is_directory)
            self._kernel.move_mount(descriptor, c.AT_FDCWD, step.target)
            os.close(descriptor)
        for device in self._plan.devices:
            _make_device(self._kernel, device)
        for path, target in self._plan.links:
            try:
                os.symlink(target, path)
            except FileExistsError:
                pass

    def protect(self) -> None:
        """Last: hide and write-protect what the spec says, the root itself at the very end."""
        kernel = self._kernel
        empty = -1
        for path in self._plan.sealed:
            kernel.mount_setattr(c.AT_FDCWD, path, 0, attr_set=c.MOUNT_ATTR_RDONLY)
        for path in self._plan.readonly:
            tree = _tree_or_none(kernel, path)
            if tree >= 0:
                kernel.mount_setattr(tree, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, attr_set=c.MOUNT_ATTR_RDONLY)
                kernel.move_mount(tree, c.AT_FDCWD, path)
                os.close(tree)
        for path in self._plan.masked:
            try:
                is_directory = stat.S_ISDIR(os.stat(path).st_mode)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not is_directory:
                cover = kernel.open_tree(c.AT_FDCWD, "/dev/null", c.OPEN_TREE_CLONE)
            else:
                if empty < 0:
                    empty = _new_filesystem(kernel, NewFilesystem("tmpfs", "tmpfs", (), c.MOUNT_ATTR_RDONLY))
                    cover = empty
                else:
                    cover = kernel.open_tree(empty, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
            kernel.move_mount(cover, c.AT_FDCWD, path)
            if cover != empty:
                os.close(cover)
        if empty >= 0:
            os.close(empty)
        if self._plan.root_propagation not in (c.MS_PRIVATE, c.MS_PRIVATE | c.MS_REC):
            kernel.mount("", "/", flags=self._plan.root_propagation)
        if self._plan.root_readonly:
            kernel.mount_setattr(c.AT_FDCWD, "/", 0, attr_set=c.MOUNT_ATTR_RDONLY)


def make_mount_point(path: str, is_directory: bool) -> None:
    """Make sure that a directory, or a file, is there to be mounted on. Called after the pivot."""
    if os.path.isdir(path) if is_directory else os.path.lexists(path):
        return
    parent = path if is_directory else os.path.dirname(path)
    os.makedirs(parent, 0o755, exist_ok=True)
    if not is_directory:
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o644))


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


def _detached(kernel: Kernel, step: MountStep) -> int:
    what = step.what
    if isinstance(what, NewFilesystem):
        return _new_filesystem(kernel, what)
    flags = c.OPEN_TREE_CLONE | (c.AT_RECURSIVE if what.recursive else 0)
    descriptor = kernel.open_tree(c.AT_FDCWD, what.source, flags)
    if what.attributes or what.clear_attributes:
        kernel.mount_setattr(
            descriptor, "", c.AT_EMPTY_PATH | (c.AT_RECURSIVE if what.set_recursively else 0),
            attr_set=what.attributes, attr_clear=what.clear_attributes,
        )  # fmt: skip
    if what.propagation:
        recursive = c.AT_RECURSIVE if what.propagation & c.MS_REC else 0
        kernel.mount_setattr(descriptor, "", c.AT_EMPTY_PATH | recursive, propagation=what.propagation & ~c.MS_REC)
    return descriptor


def _new_filesystem(kernel: Kernel, what: NewFilesystem) -> int:
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
        return kernel.fsmount(context, what.attributes)
    finally:
        os.close(context)


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
