"""Volumes: named drawers outside every container, so that what lies in them outlives it.

The local volume driver: ``volumes/<name>/_data``, with what was said at its making beside it. It
knows folders; who uses a volume it is told.

Source: Docker's ``volume/local/local.go``; Docker Engine API 1.41, Volume.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mini_docker.archive.ownership import give_to_root
from mini_docker.daemon.container.mounts import check_volume_name
from mini_docker.dataclasses import dataclass, field
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.durable import replace_file, sync
from mini_docker.errors import Invalid, MiniDockerError, NotFound
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping
from mini_docker.linux.kernel import Kernel

log = logging.getLogger(__name__)

_TRASH = ".trash-"


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume.

    Attributes:
        mountpoint: the folder with its content.
        created: RFC 3339.
        anonymous: it was made for one container without being named, and goes with it when asked to.
    """

    name: str
    mountpoint: Path
    created: str = ""
    anonymous: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The Volume of the Remote API."""
        return {
            "CreatedAt": self.created,
            "Driver": "local",
            "Labels": dict(self.labels) or None,
            "Mountpoint": str(self.mountpoint),
            "Name": self.name,
            "Options": dict(self.options) or None,
            "Scope": "local",
        }


class VolumeStore:
    """All local volumes.

    *Fixed*: ``root``; what owners in containers are on the host. *Guarded by the lock*: the volumes.
    """

    def __init__(self, root: Path, kernel: Kernel, ids: IdMapping = NO_MAPPING) -> None:
        self.root = root
        self._ids = ids
        self._kernel = kernel
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True, mode=0o701)
        for left in root.glob(f"{_TRASH}*"):
            shutil.rmtree(left, ignore_errors=True)
        self._volumes = {volume.name: volume for folder in sorted(root.iterdir()) if (volume := _read(folder))}

    def all(self) -> list[Volume]:
        """Every volume, by name."""
        with self._lock:
            return sorted(self._volumes.values(), key=lambda volume: volume.name)

    def get(self, name: str) -> Volume:
        """
        Raises:
            NotFound: no such volume.
        """
        with self._lock:
            volume = self._volumes.get(name)
        if volume is None:
            raise NotFound(f"get {name}: no such volume")
        return volume

    def create(
        self,
        name: str = "",
        driver: str = "local",
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        created: str = "",
    ) -> Volume:
        """Make a volume; one of that name is returned as it is.

        Args:
            name: empty makes an anonymous one with 64 random hex digits.
            created: RFC 3339.

        Raises:
            Invalid: a bad name, or options that this driver does not know. NotFound: no such driver.
        """
        if driver not in ("", "local"):
            raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
        if options:
            raise Invalid(f'create {name}: invalid option: "{sorted(options)[0]}": local volumes take none here')
        anonymous = not name
        name = name or secrets.token_hex(32)
        check_volume_name(name)
        with self._lock:
            if name in self._volumes:
                return self._volumes[name]
            folder = self.root / name
            (folder / "_data").mkdir(parents=True, exist_ok=True)
            folder.chmod(0o701)
            give_to_root(folder / "_data", self._ids)
            volume = Volume(name, folder / "_data", created, anonymous, dict(labels or {}))
            opts = {"Created": created, "Anonymous": anonymous, "Labels": dict(volume.labels)}
            replace_file(folder / "opts.json", json.dumps(opts).encode())
            sync(self.root)
            self._volumes[name] = volume
            return volume

    def remove(self, name: str) -> None:
        """Remove a volume and its content. That nobody uses it is the caller's to know.

        Raises:
            NotFound: no such volume.
        """
        trash = self.root / f"{_TRASH}{secrets.token_hex(8)}"
        with self._lock:
            if name not in self._volumes:
                raise NotFound(f"get {name}: no such volume")
            # Out of the way at once: a new volume of that name may be made while the old one is being deleted.
            os.rename(self._volumes[name].mountpoint.parent, trash)
            del self._volumes[name]
        shutil.rmtree(trash)

    def size(self, volume: Volume) -> int:
        """Bytes of the files in it."""
        total = 0
        for folder, _, files in os.walk(volume.mountpoint):
            for file in files:
                try:
                    total += os.lstat(os.path.join(folder, file)).st_size
                except FileNotFoundError:
                    pass  # removed while we count
        return total

    def copy_up(self, volume: Volume, root: MountedRoot, destination: str) -> None:
        """Fill an empty volume with what the image has at *destination*, owners and all; a full one is left alone.

        Args:
            root: the container's file system.

        Raises:
            MiniDockerError: the copy failed; it names the file.
        """
        with os.scandir(volume.mountpoint) as entries:
            if next(entries, None) is not None:
                return
        root_descriptor = os.open(root.as_path(), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # The image may hold any symbolic link there: it must not lead us out of its own root.
            source = self._kernel.openat2(
                root_descriptor, destination, os.O_RDONLY | os.O_DIRECTORY, resolve=c.RESOLVE_IN_ROOT
            )
        except SyscallError:
            return  # the image has no such folder
        finally:
            os.close(root_descriptor)
        try:
            # cp -a keeps owners, times, links, holes and extended attributes; "/." copies the folder's own mode, too.
            result = subprocess.run(
                ["cp", "-a", "--", f"/proc/self/fd/{source}/.", str(volume.mountpoint)],
                pass_fds=(source,),
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            os.close(source)
        if result.returncode:
            raise MiniDockerError(f"cannot fill volume {volume.name} from {destination}: {result.stderr.strip()}")


def _read(folder: Path) -> Volume | None:
    """The volume in a folder; None where a crash left a half-made one, that nobody was told of and nothing is in."""
    content = folder / "_data"
    try:
        data = json.loads((folder / "opts.json").read_bytes())
        return Volume(folder.name, content, data["Created"], data["Anonymous"], dict(data["Labels"]))
    except FileNotFoundError as error:
        if not content.is_dir() or not any(content.iterdir()):
            return None
        reason: Exception = error
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error
    # What lies in it is the user's, whatever became of our note: it keeps its name, and no prune of nameless ones
    # takes it.
    log.warning("the note of volume %s is damaged, its labels are lost: %s", folder.name, reason)
    return Volume(folder.name, content)
