"""What a container sees of its own cgroups, as mounts: a spec's one ``cgroup`` mount, spelled out. Pure.

On v2 it is one directory. On v1 it is a small tmpfs with one directory a hierarchy in it, each a bind
mount of the container's own group: its limits can be read there, and nobody else's.

Source: OCI runtime specification 1.2, config-linux.md, "Default filesystems"; cgroups(7).
"""

from __future__ import annotations

import os

from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy
from mini_docker.libcontainer.config import ContainerSpec, Mount

CGROUP = "cgroup"


def spell_out(spec: ContainerSpec, hierarchy: Hierarchy) -> tuple[Mount, ...]:
    """The spec's mounts with every ``cgroup`` one replaced by what this machine has."""
    return tuple(
        real for mount in spec.mounts for real in (_view(mount, spec, hierarchy) if mount.type == CGROUP else (mount,))
    )


def _view(mount: Mount, spec: ContainerSpec, hierarchy: Hierarchy) -> tuple[Mount, ...]:
    if hierarchy.version == 2:
        if spec.has_new("cgroup"):
            return (Mount(mount.destination, "cgroup2", "cgroup", mount.options),)
        return (_group(mount, hierarchy.unified, spec.cgroup, mount.destination),)
    folder = Mount(mount.destination, "tmpfs", "tmpfs", (*mount.options, "mode=755", "size=64k"))
    return folder, *(
        _group(mount, directory, spec.cgroup, f"{mount.destination}/{os.path.basename(directory)}")
        for directory in hierarchy.directories()
    )


def _group(mount: Mount, directory: str, cgroup: str, destination: str) -> Mount:
    return Mount(destination, "bind", f"{directory}/{cgroup}", ("bind", *mount.options))
