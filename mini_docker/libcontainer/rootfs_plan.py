"""The plan of a container's files: which mounts, nodes and links, in which order. Pure.

`rootfs.py` carries it out, and says why in three acts. It knows the spec's mounts, not where they came from.
"""

from __future__ import annotations

import functools
import os

from mini_docker.dataclasses import dataclass, replace
from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import ContainerSpec, Device, Mount
from mini_docker.libcontainer.mount_options import NO_CHANGES, PROPAGATION, Changes, MountOptions, is_bind, sort_options
from mini_docker.linux import constants as c


@dataclass(frozen=True, slots=True)
class NewFilesystem:
    """A file system instance of the container's own: proc, tmpfs, devpts, mqueue, sysfs.

    Attributes:
        options: (key, value) for fsconfig; a value of "" is a flag.
        attributes: MOUNT_ATTR_* of the mount.
        copy_up: fill it with what it covers.
        devices: nodes to make in it, by their paths below its root.
        links: (path below its root, target) of symbolic links to make in it.
    """

    fstype: str
    source: str
    options: tuple[tuple[str, str], ...]
    attributes: int
    copy_up: bool = False
    devices: tuple[Device, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CopyOfTree:
    """A bind mount: a second way to files that are mounted already.

    Attributes:
        recursive: with the mounts below it.
        changes: to the mount's attributes.
        tree_changes: to the attributes of it and of all mounts below it.
    """

    source: str
    recursive: bool
    changes: Changes = NO_CHANGES
    tree_changes: Changes = NO_CHANGES


@dataclass(frozen=True, slots=True)
class MountStep:
    """One mount: what, where inside the container it will be attached, and how it shares mounts made in it.

    Attributes:
        propagation: MS_PRIVATE and so on; 0 leaves it as the source has it.
    """

    what: NewFilesystem | CopyOfTree
    target: str
    propagation: int = 0

    @property
    def shared(self) -> bool:
        """Whether mounts made inside it shall show on the host."""
        return bool(self.propagation & c.MS_SHARED)


@dataclass(frozen=True, slots=True)
class RootfsPlan:
    """Everything about the container's files, in the order in which it is done.

    Attributes:
        own_namespace: whether the container has its own mount namespace. Without one nothing can
            be mounted: only chroot is left, and what isolation that is *not*, the chroot exec
            driver shows.
        mounts: picked up in this order, attached in this order.
        devices: nodes to make in the image's own folders; those in /dev belong to that file system's step.
        sealed: mounts that become read-only only when all others are attached: some lie inside them.
        masked, readonly: paths to hide, and to protect from writing.
        root_readonly: protect the root mount itself, last, since mount points are made in it.
        root_propagation: MS_PRIVATE and so on, for the root mount.
    """

    own_namespace: bool
    mounts: tuple[MountStep, ...]
    devices: tuple[Device, ...]
    sealed: tuple[str, ...]
    masked: tuple[str, ...]
    readonly: tuple[str, ...]
    root_readonly: bool
    root_propagation: int


DEV_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
"""In /dev."""


def plan(spec: ContainerSpec) -> RootfsPlan:
    """The spec's files as steps.

    Raises:
        Invalid: a mount's destination is relative, or an option contradicts its type.
    """
    own_namespace = spec.has_own("mount")
    if spec.root_propagation not in PROPAGATION:
        raise Invalid(f"unknown propagation {spec.root_propagation!r}: one of {', '.join(PROPAGATION)}")
    mounts = tuple(_mount_step(mount) for mount in spec.mounts) if own_namespace else ()
    has_dev = any(step.target == "/dev" and isinstance(step.what, NewFilesystem) for step in mounts)
    devices = tuple(device for device in spec.devices if has_dev or not device.path.startswith("/dev/"))
    if not own_namespace:
        devices = ()
    if spec.has_own("user"):
        # A user namespace may make no device nodes: it is shown the host's.
        mounts += tuple(MountStep(CopyOfTree(device.path, recursive=False), device.path) for device in devices)
        devices = ()
    mounts, sealed = _seal_last(_furnish_dev(mounts, devices), has_dev)
    return RootfsPlan(
        own_namespace=own_namespace,
        mounts=mounts,
        devices=tuple(device for device in devices if not device.path.startswith("/dev/")),
        sealed=sealed,
        masked=spec.masked_paths if own_namespace else (),
        readonly=spec.readonly_paths if own_namespace else (),
        root_readonly=spec.root_readonly and own_namespace,
        root_propagation=PROPAGATION[spec.root_propagation],
    )


FURNISHED = ("/proc", "/dev", "/sys")


def split(plan: RootfsPlan) -> tuple[RootfsPlan, RootfsPlan]:
    """What of a plan happens in `FURNISHED` places, and what elsewhere.

    Neither can tell when the other happens, unless the image has a link from elsewhere into /proc, and a volume there:
    it lies on what is protected, and not below it.
    """

    def part(inside: bool) -> RootfsPlan:
        return replace(
            plan,
            mounts=tuple(step for step in plan.mounts if is_furnished(step.target) is inside),
            sealed=tuple(path for path in plan.sealed if is_furnished(path) is inside),
            masked=tuple(path for path in plan.masked if is_furnished(path) is inside),
            readonly=tuple(path for path in plan.readonly if is_furnished(path) is inside),
        )

    return part(True), part(False)


def is_furnished(path: str) -> bool:
    """Whether a path of the container's lies in one of `FURNISHED`, or is one."""
    return f"{path}/".startswith(tuple(f"{top}/" for top in FURNISHED))


def _furnish_dev(steps: tuple[MountStep, ...], devices: tuple[Device, ...]) -> tuple[MountStep, ...]:
    """Give the container's own /dev its nodes and links."""
    nodes = tuple(
        replace(device, path=device.path.removeprefix("/dev/")) for device in devices if device.path.startswith("/dev/")
    )
    return tuple(
        replace(step, what=replace(step.what, devices=nodes, links=DEV_LINKS))
        if step.target == "/dev" and isinstance(step.what, NewFilesystem)
        else step
        for step in steps
    )


def _seal_last(steps: tuple[MountStep, ...], has_dev: bool) -> tuple[tuple[MountStep, ...], tuple[str, ...]]:
    """Keep read-only file systems open as long as mount points, or nodes of /dev, must be made in them."""
    open_steps: list[MountStep] = []
    sealed: list[str] = []
    for index, step in enumerate(steps):
        open_steps.append(step)
        what = step.what
        if isinstance(what, NewFilesystem) and what.attributes & c.MOUNT_ATTR_RDONLY:
            inside = any(later.target.startswith(step.target + "/") for later in steps[index + 1 :])
            if inside or (has_dev and step.target == "/dev"):
                what = replace(what, attributes=what.attributes & ~c.MOUNT_ATTR_RDONLY)
                open_steps[-1] = replace(step, what=what)
                sealed.append(step.target)
    return tuple(open_steps), tuple(sealed)


@functools.lru_cache(128)  # most containers want most mounts alike: 0.2 ms less in an init that has rehearsed
def _mount_step(mount: Mount) -> MountStep:
    if not mount.destination.startswith("/"):
        raise Invalid(f"mount destination {mount.destination!r} is not an absolute path")
    bind = is_bind(mount)
    options = sort_options(mount.options, bind)
    what = _copy_of_tree(mount, options) if bind else _new_filesystem(mount, options)
    return MountStep(what, os.path.normpath(mount.destination), options.propagation)


def _copy_of_tree(mount: Mount, options: MountOptions) -> CopyOfTree:
    if options.data:
        raise Invalid(f"mount of {mount.destination}: a bind mount has no option {options.data[0][0]!r}")
    return CopyOfTree(mount.source, options.recursive, options.changes, options.tree_changes)


def _new_filesystem(mount: Mount, options: MountOptions) -> NewFilesystem:
    # Nothing lies below a new mount: for it "recursively" is the same as "itself".
    attributes = options.changes.set & ~options.tree_changes.clear | options.tree_changes.set
    return NewFilesystem(mount.type, mount.source, options.data, attributes, options.copy_up)
