"""The network table: the telephone exchange's directory. Which networks there are, by name and id, and whose driver's.

A network is a file in its folder, replaced as a whole. Making it real is its driver's affair; who hangs
on it is the containers'.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mini_docker.daemon.container.networks import BRIDGE, HOST, NONE, PREDEFINED
from mini_docker.daemon.network_record import NetworkRecord
from mini_docker.dataclasses import replace
from mini_docker.drivers.networkdriver.contract import NetworkConfig, NetworkDriver
from mini_docker.durable import replace_file
from mini_docker.errors import Conflict, Denied, Invalid, MiniDockerError, NotFound

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


class NetworkTable:
    """All networks of a daemon; what a container's life needs of it is the Protocol `Networks`.

    *Fixed*: the folder ``networks/``; the drivers by name.
    *Guarded by the lock*: the records.
    """

    def __init__(self, root: Path, drivers: Sequence[NetworkDriver]) -> None:
        self._root = root
        self._drivers: Mapping[str, NetworkDriver] = {driver.name: driver for driver in drivers}
        self._lock = threading.RLock()
        self._records: dict[str, NetworkRecord] = {}

    def load(self, default_network: Callable[[str], NetworkConfig]) -> NetworkRecord:
        """Read what is on disk, make every network real, and see to it that the three predefined ones exist.

        Args:
            default_network: the config of the network ``bridge``, by its id; it follows from the daemon's
                flags, so at each start anew.

        Returns:
            The network ``bridge``.

        Raises:
            MiniDockerError: one of the predefined networks cannot be made. Of the others that is only told.
        """
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock:
            for path in sorted(self._root.glob("*.json")):
                try:
                    record = NetworkRecord.from_json(json.loads(path.read_bytes()))
                except (OSError, KeyError, TypeError, ValueError) as error:
                    log.warning("networks/%s is unreadable and is left alone: %s", path.name, error)
                else:
                    self._records[record.config.id] = record
            ids = {record.config.name: record.config.id for record in self._records.values()}
            # The user's first: their subnets are written down, a default one may still be chosen around them.
            for record in list(self._records.values()):
                if record.config.name not in PREDEFINED:
                    try:
                        self._make(record.config, self._drivers[record.driver])
                    except MiniDockerError as error:
                        log.error("network %s cannot be made: %s", record.config.name, error)
            default = default_network(ids.get(BRIDGE) or secrets.token_hex(32))
            self._make(default, self._drivers[BRIDGE])
            for name in (HOST, NONE):
                self._make(NetworkConfig(ids.get(name) or secrets.token_hex(32), name), self._drivers[name])
            return self._records[default.id]

    def create(self, config: NetworkConfig, driver: str = BRIDGE) -> NetworkRecord:
        """Make a network of the user's. An empty id is chosen.

        Raises:
            Invalid: a name that cannot be. Conflict: the name is in use, or the driver says so.
            NotFound: no such driver. Denied: a driver whose network exists once.
        """
        if not _NAME.fullmatch(config.name):
            raise Invalid(f"invalid network name: {config.name!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        if driver not in self._drivers:
            raise NotFound(f'could not find plugin {driver} in v1 plugin registry: plugin "{driver}" not found')
        if driver in (HOST, NONE):
            raise Denied(f'only one instance of "{driver}" network is allowed')
        with self._lock:
            if any(record.config.name == config.name for record in self._records.values()):
                raise Conflict(f"network with name {config.name} already exists")
            return self._make(replace(config, id=config.id or secrets.token_hex(32)), self._drivers[driver])

    def delete(self, id: str) -> NetworkRecord:
        """Remove a network of the user's.

        Raises:
            NotFound: unknown. Denied: a predefined one. Conflict: it has endpoints.
        """
        with self._lock:
            record = self.get(id)
            if record.config.name in PREDEFINED:
                raise Denied(f"{record.config.name} is a pre-defined network and cannot be removed")
            try:
                self._drivers[record.driver].delete_network(id)
            except NotFound:
                pass  # it could not be made at this start: there is only the record
            self._path(id).unlink(missing_ok=True)
            del self._records[id]
            return record

    def all(self) -> list[NetworkRecord]:
        """Every network, the oldest first."""
        with self._lock:
            return sorted(self._records.values(), key=lambda record: record.created)

    def get(self, id: str) -> NetworkRecord:
        """A network by its whole id.

        Raises:
            NotFound: ``network X not found``.
        """
        with self._lock:
            try:
                return self._records[id]
            except KeyError:
                raise NotFound(f"network {id} not found") from None

    def find(self, word: str) -> NetworkRecord:
        """A network by its id, its name, or the beginning of its id: the first of these that fits.

        Raises:
            NotFound: ``network X not found``. Invalid: the beginning of several ids.
        """
        with self._lock:
            for record in self._records.values():
                if word in (record.config.id, record.config.name):
                    return record
            begun = [record for id, record in self._records.items() if word and id.startswith(word)]
        if len(begun) > 1:
            raise Invalid(f"network {word} is ambiguous ({len(begun)} matches found on id)")
        if not begun:
            raise NotFound(f"network {word} not found")
        return begun[0]

    def resolve(self, word: str) -> tuple[str, str]:
        """Id and name of the network that *word* means; see `find` for its errors."""
        config = self.find(word).config
        return config.id, config.name

    def driver_of(self, network_id: str) -> NetworkDriver:
        """The driver that made the network.

        Raises:
            NotFound: no such network.
        """
        return self._drivers[self.get(network_id).driver]

    def drivers(self) -> Sequence[NetworkDriver]:
        """Every driver."""
        return tuple(self._drivers.values())

    def _make(self, config: NetworkConfig, driver: NetworkDriver) -> NetworkRecord:
        known = self._records.get(config.id)
        created = known.created if known else datetime.now(UTC).isoformat().replace("+00:00", "Z")
        record = NetworkRecord(driver.create_network(config), driver.name, created)
        if record != known:
            try:
                replace_file(self._path(config.id), json.dumps(record.to_json(), indent=1).encode())
            except OSError:
                driver.delete_network(config.id)
                raise
        self._records[config.id] = record
        return record

    def _path(self, id: str) -> Path:
        return self._root / f"{id}.json"
