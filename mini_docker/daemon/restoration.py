"""Restoration: the morning round after a night without a steward. What runs, what ended, what was left half-done?

It compares three books: the store (what containers there are), the exec driver (what it still holds)
and the layers (what lies on disk). It changes the store and returns the jobs that are to be run.

Source: classic Docker's ``daemon/daemon.go`` (restore).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator

from mini_docker.daemon.container import state as states
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.restart import starts_with_daemon
from mini_docker.daemon.container.spec import cgroup_of
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.jobs.connections import Connections
from mini_docker.daemon.jobs.exit import ExitRequest
from mini_docker.dataclasses import replace
from mini_docker.drivers.execdriver.contract import ExecDriver, Exited, Found
from mini_docker.engine import Engine, Job
from mini_docker.errors import MiniDockerError
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.graphdb import GraphDB

log = logging.getLogger(__name__)

LOST_EXIT_CODE = 255
"""Of a container whose end nobody saw: Docker's number for it, too."""


class Restoration:
    """One round; made, used once, and dropped."""

    def __init__(
        self,
        engine: Engine,
        containers: ContainerStore,
        layers: ContainerLayers,
        names: GraphDB,
        exec_driver: ExecDriver,
        connections: Connections,
        graph_driver: str,
    ) -> None:
        self._engine = engine
        self._containers = containers
        self._layers = layers
        self._names = names
        self._exec_driver = exec_driver
        self._graph_driver = graph_driver
        self._connections = connections

    def restore(self) -> list[Job]:
        """Make the round. Returns jobs to run, in any order: ends to see to, removals to finish, starts by policy."""
        containers = self._containers.load(self._graph_driver)
        self._agree_on_names(containers)
        found = {each.container: each for each in self._exec_driver.restore()}
        jobs = [job for container in containers for job in self._see_to(container, found.pop(container.id, None))]
        for stray in found.values():
            log.warning("the exec driver holds container %s, which we do not know: it is ended", stray.container)
            self._end(stray)
        # After the containers are known: what a driver holds beyond these endpoints, it gives back.
        self._connections.restore([container for container in containers if container.state.running])
        self._sweep_layers()
        return jobs

    @staticmethod
    def lost(containers: Iterable[str]) -> Iterator[Exited]:
        """The ends of containers that died unseen."""
        for container in containers:
            yield Exited(container, "", LOST_EXIT_CODE, False, time.time())

    def _agree_on_names(self, containers: list[Container]) -> None:
        """A crash in the middle of a rename leaves two books that differ: the names' own is right."""
        known = {container.id for container in containers} | self._containers.left_aside
        for entity in self._names.children("/"):
            if entity.id not in known:
                self._names.purge(entity.id)
        for container in containers:
            names = [path.lstrip("/") for path in self._names.names(container.id) if path.count("/") == 1]
            if not names:
                self._names.reserve(f"/{container.name}", container.id)
            elif container.name not in names:
                self._containers.release_name(container.name, container.id)
                container.name = names[0]
                self._containers.reserve_name(container.name, container.id)
                self._containers.save_config(container)

    def _see_to(self, container: Container, found: Found | None) -> Iterator[Job]:
        """What is to be done about one container."""
        half_removed = not self._layers.exists(container.id) and not container.state.running
        if container.state.status == states.DEAD or half_removed:
            yield self._engine.job("delete", container.id)
        elif found is not None and _was_seen_to(container, found):
            self._end(found)
            yield from self._rest(container)
        elif found is not None and found.started:
            self._adopt(container, found)
            if found.exited is not None:
                yield ExitRequest.job(self._engine, found.exited)
        else:
            if found is not None:
                self._end(found)  # the last daemon died in the middle of its start
            else:
                self._clear(container)  # perhaps even sooner
            if container.state.running:
                for exited in self.lost([container.id]):
                    job = ExitRequest.job(self._engine, exited)
                    job.env.set_bool("root_is_open", False)
                    yield job
            else:
                yield from self._rest(container)

    def _rest(self, container: Container) -> Iterator[Job]:
        """It does not run: nothing is held for it, and its policy may want it started."""
        policy, state = container.host_config.restart_policy, container.state
        if state.restarting:
            container.move("give_up")
        container.release_attachments()
        self._save(container)
        if state.status == states.CREATED:
            return
        if container.host_config.auto_remove:
            yield self._engine.job("delete", container.id)
        elif starts_with_daemon(policy, container.stopped_by_user, state.exit_code):
            yield self._engine.job("start", container.id)

    def _adopt(self, container: Container, found: Found) -> None:
        """It runs, or did until a moment ago: take its root over, and correct what a crash kept from the store."""
        self._layers.adopt(container.id, found.root)
        state = container.state
        if not state.running:
            started = int(found.exited.finished * 10**9) if found.exited else time.time_ns()
            container.move("start", started=started, error="", oom_killed=False)
        if found.exited is None:
            if found.paused != container.state.paused:
                container.move("pause" if found.paused else "unpause")
            container.state = replace(container.state, pid=found.pid)
        self._save(container)

    def _save(self, container: Container) -> None:
        """A full disk is no reason to be no daemon for what runs; the next round finds out the same."""
        try:
            self._containers.save(container)
        except OSError as error:
            log.warning("the state of container %s is not stored: %s", container.name, error)

    def _clear(self, container: Container) -> None:
        """Take away what of it nobody holds. One that can have no cgroup, for its parent is no path, left none."""
        try:
            self._exec_driver.clear(cgroup_of(container.id, container.host_config))
        except (MiniDockerError, OSError) as error:
            log.warning("what an unfinished start of container %s may have left stays: %s", container.name, error)

    def _end(self, found: Found) -> None:
        """End what should not be there, and give its root back."""
        self._exec_driver.delete(found.container)
        if self._layers.exists(found.container):
            self._layers.adopt(found.container, found.root)
            self._layers.close(found.container)

    def _sweep_layers(self) -> None:
        """Layers without a container are of a creation that was cut short; idle init layers go, too."""
        for container in self._layers.containers():
            if self._containers.find(container) is None:
                try:
                    self._layers.remove(container)
                except MiniDockerError as error:
                    log.warning("the layer of container %s, which is gone, stays: %s", container, error)
        self._layers.recover()


def _was_seen_to(container: Container, found: Found) -> bool:
    """The last daemon stored this end, and died before it told the exec driver to forget the container."""
    if found.exited is None or container.state.running:
        return False
    return container.state.finished == int(found.exited.finished * 10**9)
