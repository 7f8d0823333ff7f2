"""A Container: the folder that a clerk keeps of one guest: order, state, places on networks, who waits for it.

It knows how it is stored (`to_json`, `from_json`) and what may happen next (state.py). It knows no
driver, no daemon and no other container: whoever changes it holds its lock and says what happened.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mini_docker.daemon.container import state as states
from mini_docker.daemon.container.attacher import Attacher
from mini_docker.daemon.container.attachment import Attachment
from mini_docker.daemon.container.config import ContainerConfig
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.mount_point import MountPoint
from mini_docker.daemon.container.restart import RestartMonitor
from mini_docker.daemon.container.state import State
from mini_docker.daemon.container.waiter import Condition, Waiter
from mini_docker.dataclasses import replace
from mini_docker.errors import Conflict


class Container:
    """One container.

    *Fixed*: ``id``, ``created`` (ns since the epoch), ``image`` (id), ``config``, ``directory``, ``driver``.
    *Persisted, guarded by* ``lock``: ``name``, ``host_config``, ``state``, ``mounts``, ``attachments`` (by network
    name, in the order of joining), ``monitor``, ``restart_count``, ``stopped_by_user``, ``resolv_conf_hash`` (of what
    we wrote into that file).
    *Guarded by* ``lock``: ``restart_timer`` (cancels the pending restart), ``attachers`` (who wait for the start),
    ``spared`` (being restarted: not to be removed at its end).
    *Guarded by an inner lock of their own*: the waiters; so ringing needs no one's patience.

    ``lock`` is held during a life-cycle move, however long it takes; readers of single fields need not
    hold it, since every value is replaced whole. Within it, ``settling`` is held by a start, and by an end until all
    that others could miss was given back: as long as the state's word that it runs or does not is not the last one.
    """

    def __init__(
        self,
        id: str,
        name: str,
        created: int,
        image: str,
        config: ContainerConfig,
        host_config: HostConfig,
        directory: Path,
        driver: str = "",
    ) -> None:
        self.id = id
        self.name = name
        self.created = created
        self.image = image
        self.config = config
        self.host_config = host_config
        self.directory = directory
        self.driver = driver
        self.state = State()
        self.mounts: tuple[MountPoint, ...] = ()
        self.attachments: Mapping[str, Attachment] = {}
        self.monitor = RestartMonitor()
        self.restart_count = 0
        self.stopped_by_user = False
        self.resolv_conf_hash = ""
        self.lock = threading.RLock()
        self.settling = threading.Lock()
        self.restart_timer: threading.Timer | None = None
        self.attachers: list[Attacher] = []
        self.spared = False
        self._waiters: set[Waiter] = set()
        self._waiters_lock = threading.Lock()
        self._removed = False

    def __repr__(self) -> str:
        return f"<Container {self.name} {self.id[:12]} {self.state.status}>"

    # Files, in the classic layout.

    @property
    def log_path(self) -> Path:
        """Its json log."""
        return self.directory / f"{self.id}-json.log"

    @property
    def hostname_path(self) -> Path:
        """What is mounted at /etc/hostname."""
        return self.directory / "hostname"

    @property
    def hosts_path(self) -> Path:
        """What is mounted at /etc/hosts."""
        return self.directory / "hosts"

    @property
    def resolv_conf_path(self) -> Path:
        """What is mounted at /etc/resolv.conf."""
        return self.directory / "resolv.conf"

    # State and who waits for it.

    def move(self, move: str, **changes: Any) -> None:
        """Make a life-cycle move; see `State.after` for what it raises. The caller holds the lock."""
        self.state = self.state.after(move, self.id, **changes)

    def require_running(self) -> None:
        """
        Raises:
            Conflict: it does not run, or is about to be restarted.
        """
        if self.state.restarting:
            raise Conflict(f"Container {self.id} is restarting, wait until the container is running")
        if not self.state.running:
            raise Conflict(f"Container {self.id} is not running")

    def waiter(self, condition: Condition) -> Waiter:
        """Begin to wait; give the waiter back with `forget` if it is not waited out."""
        waiter = Waiter(condition)
        # Not while a start or an end is under way: by its state it may not run, and yet a restart is decided on.
        with self.settling if condition is Condition.NOT_RUNNING else nullcontext(), self._waiters_lock:
            settled = (condition is Condition.NOT_RUNNING and not (self.state.running or self.state.restarting)) or (
                condition is Condition.REMOVED and self._removed
            )
            if not settled:
                self._waiters.add(waiter)
        if settled:
            waiter.ring(self.state.exit_code, self.state.error)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Ring this one no more."""
        with self._waiters_lock:
            self._waiters.discard(waiter)

    def ring_exit(self) -> None:
        """Tell the waiters that a run ended, and that nothing of it runs or is held on a network any more.

        Those who wait until it does not run are told only when no restart is coming.
        """
        self._ring(Condition.NEXT_EXIT)
        if not self.state.restarting:
            self._ring(Condition.NOT_RUNNING)

    def ring_removed(self) -> None:
        """Tell everybody that the container is gone."""
        self._removed = True
        for condition in Condition:
            self._ring(condition)

    def _ring(self, condition: Condition) -> None:
        with self._waiters_lock:
            rung = [waiter for waiter in self._waiters if waiter.condition is condition]
            self._waiters.difference_update(rung)
        for waiter in rung:
            waiter.ring(self.state.exit_code)

    def cancel_restart(self) -> None:
        """Let a pending restart not happen. The caller holds the lock."""
        if self.restart_timer is not None:
            self.restart_timer.cancel()
            self.restart_timer = None
        if self.state.restarting:
            self.move("give_up")

    def dismiss_attachers(self) -> None:
        """Nobody who waited for the start will get a stream. The caller holds the lock."""
        waiting, self.attachers = self.attachers, []
        for attacher in waiting:
            attacher.dismiss()

    # Networks.

    def attach(self, attachment: Attachment) -> None:
        """Enter or replace its place on a network."""
        self.attachments = {**self.attachments, attachment.network: attachment}

    def detach(self, network: str) -> None:
        """Strike its place on a network."""
        self.attachments = {name: place for name, place in self.attachments.items() if name != network}

    def release_attachments(self) -> None:
        """It holds no endpoint any more."""
        self.attachments = {name: place.released() for name, place in self.attachments.items()}

    # Storage.

    def to_json(self) -> dict[str, Any]:
        """What config.json keeps: who the container is. The host config and the state have files of their own."""
        return {
            "ID": self.id,
            "Name": self.name,
            "Created": self.created,
            "Image": self.image,
            "Driver": self.driver,
            "Config": self.config.to_json(),
            "Mounts": [mount.to_json() for mount in self.mounts],
            "Networks": [attachment.to_json() for attachment in self.attachments.values()],
        }

    def state_to_json(self, state: State | None = None) -> dict[str, Any]:
        """What state.json keeps: what has become of it since it was created.

        Args:
            state: the one that it is about to be in; None for the one that it is in.
        """
        return {
            "State": (state or self.state).to_json(),
            "Networks": [attachment.to_json() for attachment in self.attachments.values()],
            "RestartCount": self.restart_count,
            "Monitor": [self.monitor.restarts, self.monitor.backoff_seconds],
            "StoppedByUser": self.stopped_by_user,
            "ResolvConfHash": self.resolv_conf_hash,
        }

    @classmethod
    def from_json(
        cls, data: dict[str, Any], host_config: dict[str, Any], state: dict[str, Any] | None, directory: Path
    ) -> Container:
        """The inverse of `to_json` and `state_to_json`; without a state it is as it was created.

        Raises:
            KeyError, TypeError, ValueError, Invalid: the files are not what `to_json` wrote.
        """
        config = ContainerConfig.from_json(data["Config"])
        container = cls(
            data["ID"], data["Name"], data["Created"], data["Image"], config,
            HostConfig.from_json(host_config), directory, data["Driver"],
        )  # fmt: skip
        container.mounts = tuple(MountPoint.from_json(mount) for mount in data["Mounts"])
        for item in (state or data)["Networks"]:
            container.attach(Attachment.from_json(item))
        if state is not None:
            container._take_state(state)
        return container

    def _take_state(self, data: dict[str, Any]) -> None:
        self.state = State.from_json(data["State"])
        if self.state.status == states.REMOVING:  # the daemon died in the middle of it
            self.move("stick")
        self.restart_count = data["RestartCount"]
        restarts, backoff_seconds = data["Monitor"]
        self.monitor = replace(self.monitor, restarts=restarts, backoff_seconds=backoff_seconds)
        self.stopped_by_user = data["StoppedByUser"]
        self.resolv_conf_hash = data.get("ResolvConfHash", "")  # older daemons kept it in a file
