"""DaemonSettings: what the administrator decided when the daemon was started. A value, no logic."""

from __future__ import annotations

from pathlib import Path

from mini_docker.dataclasses import dataclass
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """The daemon's flags, as far as containers and ``docker info`` are concerned.

    Attributes:
        root: ``-g``, the root folder; exec_root: the run folder.
        cgroup_version: 1 or 2, as this machine has it.
        dns, dns_search, dns_options: for containers that say nothing themselves; empty takes the host's.
        live_restore: containers outlive an orderly end of the daemon, too.
        shutdown_timeout: seconds that a container without a stop timeout of its own has, at most, at the daemon's end;
            negative: as long as at any other time.
        labels: ``key=value``, shown by ``info``.
        ids: who containers' users are on the host, by ``--userns-remap``.
        insecure_registries, registry_mirrors: as the registry's client has them, shown by ``info``.
    """

    root: Path
    exec_root: Path
    cgroup_version: int = 1
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    live_restore: bool = False
    shutdown_timeout: float = 15.0
    labels: tuple[str, ...] = ()
    debug: bool = False
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    ids: IdMapping = NO_MAPPING
