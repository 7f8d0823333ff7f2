"""What is remembered of a container, and its state as the OCI's ``state`` operation and the hooks are told it."""

from __future__ import annotations

from typing import Any

from mini_docker.dataclasses import dataclass
from mini_docker.runc.oci import OCI_VERSION


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a container.

    Attributes:
        pid: of its init, as the host sees it; 0 while there is none.
        born: init's start time in clock ticks, by which a reused pid is told from it.
        bundle: absolute path of its bundle.
        rootfs: absolute path of its root file system.
        created: RFC 3339.
        cgroup: its path below the cgroup root.
        config: its config.json as it was at creation: later changes have no effect.
    """

    id: str
    pid: int
    born: int
    bundle: str
    rootfs: str
    created: str
    cgroup: str
    config: dict[str, Any]

    def state(self, status: str, pid: int | None = None) -> dict[str, Any]:
        """The OCI's state.

        Args:
            pid: as the asker sees it: a hook inside the container sees another number. By default the host's.
        """
        return {
            "ociVersion": OCI_VERSION,
            "id": self.id,
            "status": status,
            "pid": 0 if status == "stopped" else self.pid if pid is None else pid,
            "bundle": self.bundle,
            "annotations": self.config.get("annotations") or {},
        }

    def extended_state(self, status: str) -> dict[str, Any]:
        """The OCI's state and the fields that engines know from runc."""
        return {**self.state(status), "rootfs": self.rootfs, "created": self.created, "owner": ""}
