"""The Surveyor: looks at the world before the drawing is made, so that the drawing (`container_spec`) is pure.

It looks up devices, the namespaces of other containers, and what this kernel can do.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.devices import block_device_numbers, wished_devices
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.networks import JOIN_PREFIX
from mini_docker.daemon.container.propagation import PRIVATE, check_propagation, parse_mountinfo
from mini_docker.daemon.container.spec import Surroundings, hostname_of
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.user_namespace import has_user_namespace
from mini_docker.dataclasses import replace
from mini_docker.errors import Conflict
from mini_docker.libcontainer.capabilities import CAPABILITIES, LAST_CAP, apply_adjustments
from mini_docker.libcontainer.capabilities import names as names_of
from mini_docker.libcontainer.config import Capabilities
from mini_docker.linux.constants import NAMESPACE_FILES
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping

log = logging.getLogger(__name__)

SHAREABLE = "shareable"
"""The ``--ipc`` of a container whose IPC namespace others may join."""


class Surveyor:
    """Surveys for each start anew.

    *Fixed*: the cgroup version, the default seccomp profile, the youngest capability of this kernel, and which
    ones this daemon has itself: on some machines root lacks a few.
    """

    def __init__(
        self,
        containers: ContainerStore,
        cgroup_version: int,
        seccomp: dict[str, Any] | None,
        last_capability: int = LAST_CAP,
        grantable: frozenset[str] = frozenset(CAPABILITIES),
        ids: IdMapping = NO_MAPPING,
    ) -> None:
        self._containers = containers
        self._cgroup_version = cgroup_version
        self._seccomp = seccomp
        self._last_capability = last_capability
        self._grantable = grantable
        self._ids = ids

    def survey(
        self, container: Container, system_files: Mapping[str, str], links_env: Sequence[str] = ()
    ) -> Surroundings:
        """What the drawing of *container* needs to know.

        Raises:
            NotFound, Conflict: a container whose namespace it joins is gone, or does not run.
            Invalid: a device or capability that does not exist.
        """
        host = container.host_config
        self._check_propagation(container)
        modes = {"network": host.network_mode, "pid": host.pid_mode, "ipc": host.ipc_mode}
        joined = {kind: self._namespace(kind, mode) for kind, mode in modes.items() if mode.startswith(JOIN_PREFIX)}
        ids = self._ids if has_user_namespace(host, self._ids) else NO_MAPPING
        if self._ids and joined:
            joined |= self._user_namespace(host, [mode for mode in modes.values() if mode.startswith(JOIN_PREFIX)])
        return replace(
            self.survey_privileges(host),
            joined=joined,
            joined_name=self._name(container) if "network" in joined else "",
            ids=NO_MAPPING if "user" in joined else ids,
            system_files=self._files_of_joined(host.network_mode) or system_files,
            links_env=tuple(links_env),
            devices=wished_devices(host),
            device_numbers=block_device_numbers(host),
        )

    def survey_privileges(self, host: HostConfig) -> Surroundings:
        """The part that a further process of a container needs: what it may do.

        Raises:
            Invalid: a capability that does not exist.
        """
        wished = apply_adjustments(host.cap_add, host.cap_drop, host.privileged, last_cap=self._last_capability)
        names = tuple(name for name in wished if name in self._grantable)
        if len(names) < len(wished):
            missing = ", ".join(name for name in wished if name not in self._grantable)
            log.info("capabilities that this daemon does not have itself cannot be granted: %s", missing)
        return Surroundings(
            cgroup_version=self._cgroup_version,
            host_name=os.uname().nodename,
            seccomp=self._seccomp,
            capabilities=Capabilities(bounding=names, effective=names, permitted=names),
        )

    @staticmethod
    def _check_propagation(container: Container) -> None:
        wishes = [point for point in container.mounts if point.propagation not in ("", *PRIVATE)]
        if wishes:
            mounts = parse_mountinfo(Path("/proc/self/mountinfo").read_text())
            for point in wishes:
                check_propagation(point, os.path.realpath(point.source), mounts)

    def _joined(self, kind: str, mode: str) -> Container:
        other = self._containers.get(mode.removeprefix(JOIN_PREFIX))
        if not other.state.running:
            name = kind if kind == "network" else kind.upper()
            raise Conflict(f"cannot join {name} of a non running container: {other.id}")
        return other

    def _namespace(self, kind: str, mode: str) -> str:
        other = self._joined(kind, mode)
        if kind == "ipc" and other.host_config.ipc_mode != SHAREABLE:
            raise Conflict(
                f"can't join IPC of container {other.id}: non-shareable IPC "
                f"(hint: use IpcMode:shareable for the donor container)"
            )
        return f"/proc/{other.state.pid}/ns/{NAMESPACE_FILES[kind]}"

    def _name(self, container: Container) -> str:
        """The host name of whom a chain of shared networks ends at."""
        while container.host_config.network_mode.startswith(JOIN_PREFIX):
            container = self._containers.get(container.host_config.network_mode.removeprefix(JOIN_PREFIX))
        return hostname_of(container.id, container.config, container.host_config, os.uname().nodename)

    def _user_namespace(self, host: HostConfig, modes: Sequence[str]) -> dict[str, str]:
        """A namespace can be used from the user namespace that it belongs to: who joins it joins that.

        Raises:
            Conflict: one of the two is in the host's user namespace, the other not; or two others are in two.
        """
        others = {other.id: other for other in (self._joined("network", mode) for mode in modes)}
        remapped = has_user_namespace(host, self._ids)
        for other in others.values():
            if has_user_namespace(other.host_config, self._ids) != remapped:
                raise Conflict(f"container {other.id} is in another user namespace: use --userns=host for both or none")
        paths = {f"/proc/{other.state.pid}/ns/user" for other in others.values()} if remapped else set()
        if len({os.readlink(path) for path in paths}) > 1:
            raise Conflict("cannot join namespaces of containers that are in different user namespaces")
        return {"user": paths.pop()} if paths else {}

    def _files_of_joined(self, mode: str) -> dict[str, str]:
        """Who shares another's network shares its name and its address book, too."""
        if not mode.startswith(JOIN_PREFIX):
            return {}
        other = self._joined("network", mode)
        return {
            "/etc/resolv.conf": str(other.resolv_conf_path),
            "/etc/hostname": str(other.hostname_path),
            "/etc/hosts": str(other.hosts_path),
        }


def own_capabilities(status: str) -> frozenset[str]:
    """The bounding set in a /proc/PID/status: no child of that process can have more. Source: proc(5)."""
    bits = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return frozenset(names_of(int(bits, 16)))
