"""A bundle: the folder with config.json and, mostly, the root file system, as the engine laid it out.

It reads files and asks the machine what it can give; what the words in config.json mean, `oci.py` knows.
Source: OCI runtime specification 1.2, bundle.md.
"""

from __future__ import annotations

import json
import os
from typing import Any

from mini_docker.dataclasses import dataclass, replace
from mini_docker.errors import Invalid
from mini_docker.libcontainer.capabilities import CAPABILITIES, permitted_capabilities
from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy
from mini_docker.libcontainer.cgroups.view import spell_out
from mini_docker.libcontainer.config import ContainerSpec
from mini_docker.linux.kernel import Kernel
from mini_docker.runc.oci import OciConfig, decode_config


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle, read.

    Attributes:
        path: absolute.
        rootfs: absolute path of the root file system.
        document: config.json as it stands.
    """

    path: str
    rootfs: str
    config: OciConfig
    document: dict[str, Any]

    def spec(self, hierarchy: Hierarchy) -> ContainerSpec:
        """The container's spec with its mounts' sources in full, and this machine's cgroups spelled out."""
        spec = self.config.spec
        mounts = tuple(
            replace(mount, source=os.path.join(self.path, mount.source)) if mount.type == "bind" else mount
            for mount in spell_out(spec, hierarchy)
        )
        return replace(spec, mounts=mounts)


def read_bundle(path: str, cgroup: str, kernel: Kernel) -> Bundle:
    """Read the bundle in a folder.

    Args:
        cgroup: the cgroup to use where config.json names none.

    Raises:
        Invalid: config.json or the root file system is missing, or something in it is wrong.
        Unsupported: it asks for what we cannot do.
    """
    file = os.path.join(path, "config.json")
    try:
        with open(file, "rb") as config_file:
            document = json.loads(config_file.read())
    except FileNotFoundError:
        raise Invalid(f"JSON specification file {file} not found") from None
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{file}: {error}") from None
    config = decode_config(document, cgroup, permitted_capabilities(kernel.read_file("/proc/self/status")))
    rootfs = os.path.realpath(os.path.join(path, config.rootfs))
    if not os.path.isdir(rootfs):
        raise Invalid(f"root.path: rootfs {rootfs} does not exist or is not a directory")
    return Bundle(path, rootfs, config, document)


def grantable(kernel: Kernel, spec: ContainerSpec) -> tuple[str, ...]:
    """What a process of that container may have: in a user namespace all capabilities, which outside count nothing."""
    if spec.has_own("user"):
        return CAPABILITIES
    return permitted_capabilities(kernel.read_file("/proc/self/status"))
