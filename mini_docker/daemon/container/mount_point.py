"""What is mounted where in a container, besides the system's own: one entry of ``docker inspect``'s Mounts.

A frozen value; it knows nothing of how volumes are made or mounted.
"""

from __future__ import annotations

from typing import Any

from mini_docker.daemon.container import api_json
from mini_docker.daemon.container.api_json import named
from mini_docker.dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One mount of the user's.

    Attributes:
        type: bind, volume or tmpfs.
        name: the volume's; empty for a bind mount.
        source: host path; empty for tmpfs.
        destination: absolute in the container.
        mode: the words after the second colon of ``-v``.
        options: further options of a tmpfs (``size=…``).
        copy_up: fill an empty volume from the image's folder of that place.
        recursive: mounts below the source come along.
    """

    type: str
    destination: str
    name: str = ""
    source: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = field(default=True, metadata=named("RW"))
    propagation: str = ""
    options: str = ""
    copy_up: bool = True
    recursive: bool = True

    def to_api(self) -> dict[str, Any]:
        """The entry of ``docker inspect``."""
        data: dict[str, Any] = {"Type": self.type}
        if self.name:
            data["Name"] = self.name
        data |= {"Source": self.source, "Destination": self.destination}
        if self.driver:
            data["Driver"] = self.driver
        return data | {"Mode": self.mode, "RW": self.rw, "Propagation": self.propagation}

    def to_json(self) -> dict[str, Any]:
        """For the store; `from_json` is the inverse."""
        data: dict[str, Any] = api_json.encode(self)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> MountPoint:
        """The inverse of `to_json`."""
        return api_json.decode(cls, data, "Mounts")
