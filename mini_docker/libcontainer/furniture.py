"""Furniture: /proc, /dev and /sys with all that is mounted in them, assembled before anybody asks for a container.

Of the thirty mounts of a usual container all but its root and three files are alike for every container of its kind.
An init that waits for its name puts them together as detached trees, masks and all, and hangs three trees into the
root when it has one: 0.8 ms less of a start than to hang thirty mounts one by one.

Even the views of its cgroups can be made: its cradle is renamed to the container's cgroup and stays the same folder.

It needs Linux 6.15, where a mount can be attached to one that is detached itself. Elsewhere there is none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from mini_docker.dataclasses import dataclass, replace
from mini_docker.errors import MiniDockerError
from mini_docker.libcontainer import rootfs_plan
from mini_docker.libcontainer.config import ContainerSpec
from mini_docker.libcontainer.rootfs import VIRTUAL, Stock, detached, protect, put
from mini_docker.libcontainer.rootfs_plan import FURNISHED, CopyOfTree, NewFilesystem, RootfsPlan
from mini_docker.linux import constants as c
from mini_docker.linux.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Furniture:
    """What was assembled.

    Attributes:
        plan: by which it was.
        cgroup: path of the cgroup whose views are in it.
        trees: the trees' descriptors, by their places; whoever uses them, or does not, closes them.
    """

    plan: RootfsPlan
    cgroup: str
    trees: Mapping[str, int]

    def rest_for(self, spec: ContainerSpec) -> RootfsPlan | None:
        """What remains to be done for a container that gets it; None when it suits another kind of container.

        Sysctls are written through a /proc/sys that is not write-protected yet: who wants some gets a new one.
        """
        furniture, rest = rootfs_plan.split(rootfs_plan.plan(seen_in(spec, self.cgroup)))
        return rest if furniture == self.plan and not spec.sysctls else None

    def close(self) -> None:
        """Let it go."""
        for tree in self.trees.values():
            os.close(tree)


def what_remains(furniture: Furniture | None, spec: ContainerSpec) -> tuple[RootfsPlan, Mapping[str, int]]:
    """What is still to be done for a container, and the trees that it gets; everything and none if they do not suit."""
    if furniture is not None:
        rest = furniture.rest_for(spec)
        if rest is not None:
            return rest, furniture.trees
        furniture.close()
    return rootfs_plan.plan(spec), {}


def assemble(kernel: Kernel, model: ContainerSpec, cgroup: str) -> Furniture | None:
    """Put together what a container like *model* will find; None where this kernel or this kind does not allow it.

    Args:
        cgroup: path of the cgroup that will be the container's.
    """
    plan, _ = rootfs_plan.split(rootfs_plan.plan(seen_in(model, cgroup)))
    if model.sysctls or not _is_alike_for_all(plan, cgroup):
        return None
    nothing: Stock = {}
    trees: dict[str, int] = {}

    def place(path: str) -> str:
        tree = max((target for target in trees if f"{path}/".startswith(f"{target}/")), key=len)
        return f"/proc/self/fd/{trees[tree]}{path.removeprefix(tree)}"

    try:
        for step in plan.mounts:
            mount = detached(kernel, step, nothing)
            if isinstance(step.what, NewFilesystem):
                trees[step.target] = mount  # others may follow that lie in it
            else:
                # What the container mounts in it must never show on the host. Who is born on demand has cut this tie
                # for all that he sees before he copies anything.
                kernel.mount_setattr(mount, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, propagation=c.MS_SLAVE)
                _hang(kernel, mount, place(step.target))
        for target in sorted(trees, key=len, reverse=True):
            # Before it hangs in another one: only of a detached tree's root can the attributes be changed.
            if target in plan.sealed:
                kernel.mount_setattr(trees[target], "", c.AT_EMPTY_PATH, attr_set=c.MOUNT_ATTR_RDONLY)
            if target not in FURNISHED:
                _hang(kernel, trees.pop(target), place(target))
        protect(kernel, replace(plan, sealed=()), nothing, place)
    except (MiniDockerError, OSError):
        Furniture(plan, cgroup, trees).close()
        return None
    return Furniture(plan, cgroup, trees)


def _hang(kernel: Kernel, mount: int, path: str) -> None:
    try:
        put(kernel, mount, path)
    finally:
        os.close(mount)


def seen_in(spec: ContainerSpec, cgroup: str) -> ContainerSpec:
    """The spec as it would be, in `FURNISHED` places, if its cgroup had another path."""
    mounts = tuple(
        replace(mount, source=mount.source.removesuffix(spec.cgroup) + cgroup)
        if mount.source.endswith(f"/{spec.cgroup}") and rootfs_plan.is_furnished(os.path.normpath(mount.destination))
        else mount
        for mount in spec.mounts
    )
    return replace(spec, cgroup=cgroup, mounts=mounts)


def _is_alike_for_all(plan: RootfsPlan, cgroup: str) -> bool:
    """Whether nothing in it is of the host's but the cgroup: what lies at a path may be another thing by tomorrow.

    Nor may /dev be read-only: a terminal is still to be put into it.
    """
    tops: set[str] = set()
    for step in plan.mounts:
        if isinstance(step.what, CopyOfTree):
            if not step.what.source.endswith(f"/{cgroup}"):
                return False
        elif step.what.fstype not in VIRTUAL or step.what.copy_up:
            return False
        elif step.target in FURNISHED:
            tops.add(step.target)
    return tops == set(FURNISHED) and "/dev" not in plan.sealed and not any(step.propagation for step in plan.mounts)
