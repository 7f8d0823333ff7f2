"""The Daemon: the steward of the house. It manages all containers, and hands each handler just what it needs.

It wires the handlers of ``jobs/`` to their collaborators (`install`), finds again what outlived an earlier
daemon (`restore`), hears of containers' ends, and closes the house in order (`shutdown`). It knows
drivers by their contracts only; which ones they are, bootstrap decides.

Source: classic Docker's ``daemon/daemon.go``.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.networks import Networks
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.volumes import VolumeStore
from mini_docker.daemon.event_log import EventLog
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs import changes, containers, copy, exec, images, info, stop, system, viz, volumes
from mini_docker.daemon.jobs.attach import Attach
from mini_docker.daemon.jobs.connections import Connections
from mini_docker.daemon.jobs.create import Create
from mini_docker.daemon.jobs.delete import Delete, Prune
from mini_docker.daemon.jobs.events import Events, Log, SubscribersCount
from mini_docker.daemon.jobs.exit import Exit, ExitRequest
from mini_docker.daemon.jobs.image_archives import ImageExport, ImageTarlayer, Load
from mini_docker.daemon.jobs.image_delete import ImageDelete, ImagePrune
from mini_docker.daemon.jobs.image_import import Import
from mini_docker.daemon.jobs.links import Links
from mini_docker.daemon.jobs.logs import Logs
from mini_docker.daemon.jobs.pause import Pause, Unpause
from mini_docker.daemon.jobs.process_planner import ProcessPlanner
from mini_docker.daemon.jobs.rename import Rename
from mini_docker.daemon.jobs.resize import Resize
from mini_docker.daemon.jobs.start import Start
from mini_docker.daemon.jobs.stats import Stats
from mini_docker.daemon.jobs.surveyor import Surveyor, own_capabilities
from mini_docker.daemon.jobs.top import Top
from mini_docker.daemon.jobs.update import Update
from mini_docker.daemon.jobs.wait import Wait
from mini_docker.daemon.name_service import NameService
from mini_docker.daemon.restoration import Restoration
from mini_docker.daemon.settings import DaemonSettings
from mini_docker.dataclasses import dataclass, field
from mini_docker.drivers.execdriver.contract import ExecDriver, Exited
from mini_docker.drivers.graphdriver.contract import GraphDriver
from mini_docker.durable import replace_file
from mini_docker.engine import Engine, Handler, Job
from mini_docker.errors import MiniDockerError, NotModified
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.graphdb import GraphDB
from mini_docker.libcontainer.capabilities import LAST_CAP
from mini_docker.libcontainer.cgroups.features import CgroupFeatures
from mini_docker.linux.kernel import Kernel
from mini_docker.linux.narrated_network import Audience

log = logging.getLogger(__name__)

EXIT_WORKERS = 16
"""Threads that see to containers that ended; each is busy for about a millisecond."""


@dataclass(frozen=True, slots=True)
class Collaborators:
    """Whom the daemon works with: made by bootstrap, shared by handlers.

    Attributes:
        names: the `GraphDB` of container names and links.
        network_audience: who listens to the network drivers' doors, thread by thread.
        seccomp: the profile of whoever asks for none; without one, no system call is filtered.
        last_capability: the youngest one that this kernel has.
        features: which limits this kernel can keep.
        other_exec_drivers: name → why it can't be had here; empty where it could have been asked for.
        warnings: what whoever asks for ``info`` should know of how the daemon was started.
    """

    settings: DaemonSettings
    containers: ContainerStore
    images: ImageLookup
    layers: ContainerLayers
    names: GraphDB
    volumes: VolumeStore
    graph_driver: GraphDriver
    exec_driver: ExecDriver
    networks: Networks
    name_service: NameService
    events: EventLog
    kernel: Kernel
    host_name: str
    network_audience: Audience = field(default_factory=Audience)
    seccomp: dict[str, Any] | None = None
    last_capability: int = LAST_CAP
    features: CgroupFeatures = field(default_factory=CgroupFeatures)
    other_exec_drivers: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Daemon:
    """Manages all containers of one root folder.

    *Fixed*: its collaborators, the engine, the handlers that it must reach itself.
    *Guarded by being set once*: whether what outlived an earlier daemon is known again, and in our charge.

    Life: make it, `install`, `restore`, …, `shutdown` (before the engine's own).
    """

    def __init__(self, engine: Engine, with_: Collaborators) -> None:
        self._engine = engine
        self._with = with_
        self._executions = exec.Executions()
        self._connections = Connections(with_.networks, with_.name_service, with_.settings, with_.host_name)
        self._surveyor = Surveyor(
            with_.containers, with_.settings.cgroup_version, with_.seccomp, with_.last_capability,
            own_capabilities(Path("/proc/self/status").read_text()), with_.settings.ids,
        )  # fmt: skip
        self._links = Links(with_.containers)
        self._start = Start(
            with_.containers, with_.layers, with_.exec_driver, self._connections, self._links,
            self._surveyor, with_.network_audience,
        )  # fmt: skip
        self._exit = Exit(with_.containers, with_.layers, with_.exec_driver, self._connections)
        self._restored = threading.Event()
        self._in_charge = False
        self._exits = ThreadPoolExecutor(EXIT_WORKERS, "exit")
        with_.exec_driver.on_exit(self._on_exit)
        with_.exec_driver.on_oom(self._on_oom)
        with_.exec_driver.on_lost(self._on_lost)

    # -- the handlers -------------------------------------------------------------------------------

    def install(self) -> None:
        """Register the handlers into the engine."""
        for name, handler in self.handlers().items():
            self._engine.register(name, handler)

    def handlers(self) -> Mapping[str, Handler]:
        """Every job of the daemon's own, and what runs it: the table that Docker's article shows."""
        return {
            **self._container_handlers(),
            **self._process_handlers(),
            **self._image_handlers(),
            **self._volume_handlers(),
            **self._system_handlers(),
        }

    def _container_handlers(self) -> dict[str, Handler]:
        who = self._with
        store, driver = who.containers, who.exec_driver
        ids = who.settings.ids
        files = copy.ContainerFiles(store, who.layers, who.kernel, ids)
        return {
            "create": Create(
                store, who.images, who.layers, who.names, who.volumes, who.graph_driver.name,
                who.settings.cgroup_version, who.features, ids,
            ),
            "start": self._start,
            "exit": self._exit,
            "stop": stop.Stop(store, driver),
            "restart": stop.Restart(store),
            "kill": stop.Kill(store, driver),
            "wait": Wait(store),
            "delete": Delete(store, who.layers, who.images.graph, who.names, who.volumes, self._executions),
            "container_prune": Prune(store, who.layers),
            "containers": containers.Containers(store, who.images, who.layers),
            "container_inspect": containers.ContainerInspect(
                store, who.images, who.layers, self._executions, who.graph_driver.name
            ),
            "container_rename": Rename(store, who.names),
            "pause": Pause(store, driver),
            "unpause": Unpause(store, driver),
            "update": Update(store, driver),
            "container_changes": changes.ContainerChanges(store, who.layers),
            "export": changes.Export(store, who.layers, who.kernel, ids),
            "container_stat": copy.ContainerStat(files),
            "container_copy": copy.ContainerCopy(files),
            "container_extract": copy.ContainerExtract(files),
            "commit": changes.Commit(store, who.images, who.layers, driver),
        }  # fmt: skip

    def _process_handlers(self) -> dict[str, Handler]:
        store, driver, executions = self._with.containers, self._with.exec_driver, self._executions
        return {
            "attach": Attach(store, driver),
            "logs": Logs(store, driver),
            "resize": Resize(store, driver),
            "top": Top(store, driver),
            "stats": Stats(store, driver),
            "exec_create": exec.ExecCreate(store, executions),
            "exec_start": exec.ExecStart(store, executions, driver, ProcessPlanner(self._surveyor, self._links)),
            "exec_resize": exec.ExecResize(executions, driver),
            "exec_inspect": exec.ExecInspect(executions),
            "exec_exit": exec.ExecExit(store),
        }

    def _image_handlers(self) -> dict[str, Handler]:
        lookup, store = self._with.images, self._with.containers
        delete = ImageDelete(lookup, store)
        return {
            "images": images.Images(lookup),
            "viz": viz.viz(lookup),
            "image_tree": viz.image_tree(lookup),
            "image_inspect": images.ImageInspect(lookup, self._with.graph_driver.name),
            "history": images.History(lookup),
            "tag": images.Tag(lookup),
            "image_tag": images.Tag(lookup),
            "image_get": images.ImageGet(lookup),
            "image_set": images.ImageSet(lookup),
            "image_delete": delete,
            "image_prune": ImagePrune(lookup, store, delete),
            "import": Import(lookup),
            "image_export": ImageExport(lookup),
            "image_tarlayer": ImageTarlayer(lookup),
            "load": Load(lookup),
        }

    def _volume_handlers(self) -> dict[str, Handler]:
        store, drawers = self._with.containers, self._with.volumes
        return {
            "volumes": volumes.Volumes(drawers, store),
            "volume_create": volumes.VolumeCreate(drawers),
            "volume_inspect": volumes.VolumeInspect(drawers),
            "volume_delete": volumes.VolumeDelete(drawers, store),
            "volume_prune": volumes.VolumePrune(drawers, store),
        }

    def _system_handlers(self) -> dict[str, Handler]:
        who = self._with
        return {
            "version": system.version,
            "info": info.Info(
                who.settings, who.containers, who.images, who.graph_driver, who.exec_driver,
                tuple(driver.name for driver in who.networks.drivers()), who.events,
                engine_id(who.settings.root / "engine-id"), who.features, who.other_exec_drivers, who.warnings,
            ),
            "system_df": system.SystemDf(who.containers, who.images, who.layers, who.volumes),
            "log": Log(who.events),
            "events": Events(who.events),
            "subscribers_count": SubscribersCount(who.events),
            **system.STUBS,
        }  # fmt: skip

    # -- ends -----------------------------------------------------------------------------------------

    def _on_exit(self, exited: Exited) -> None:
        """A process ended. Called in a thread of the driver's, which must not be kept waiting."""
        if exited.execution:
            # Noted at once: a client asks for the exit code when its stream ends.
            if self._executions.ended(exited.execution, exited.exit_code) is not None:
                job = self._engine.job("exec_exit", exited.container, exited.execution)
                job.env.set_int("exit_code", exited.exit_code)
                self._exits.submit(self._run, job)
        else:
            self._exits.submit(self._run, ExitRequest.job(self._engine, exited))

    def _on_oom(self, container_id: str) -> None:
        """The kernel killed in a container for want of memory. It may live on, as far as its init was spared."""
        container = self._with.containers.find(container_id)
        if container is not None:
            job = self._engine.job("log", "oom", container.id, container.config.image)
            job.env.set_json("attributes", {"name": container.name} | dict(container.config.labels))
            self._exits.submit(self._run, job)

    def _on_lost(self, lost: Sequence[str]) -> None:
        """The process that held these containers died, and they with it."""
        for exited in Restoration.lost(lost):
            self._on_exit(exited)

    def _run(self, job: Job) -> None:
        # What ended while we were still finding out what there is, is seen to after that.
        self._restored.wait()
        try:
            job.run()
        except MiniDockerError as error:
            log.warning("%s: %s", job, error)
        except Exception:
            log.exception("%s failed by an error nobody foresaw", job)

    # -- the house opens and closes -------------------------------------------------------------------

    def restore(self) -> None:
        """Know again what an earlier daemon left: running containers, ends that nobody saw, half-done work.

        Restart policies are applied in the background. Called once, after `install` and after the networks
        are made (`init_networkdriver`), before clients are let in.
        """
        restoration = Restoration(self._engine, self._with.containers, self._with.layers, self._with.names,
                                  self._with.exec_driver, self._connections, self._with.graph_driver.name)  # fmt: skip
        try:
            for job in restoration.restore():
                self._exits.submit(self._run, job)
            self._in_charge = True
        finally:
            self._restored.set()  # those who see to ends wait for it, and `shutdown` for them

    def shutdown(self) -> None:
        """Close the house: stop the containers side by side, each in its own time, unless they are to outlive us.

        Who never came into the charge of them, since the restoration failed, leaves them alone.

        Called before the engine's own shutdown, for what it does is jobs.
        """
        self._start.accepting = False
        self._exit.restarts = False
        for container in self._with.containers.all():
            with container.lock:
                container.cancel_restart()
        if self._in_charge and not self._with.settings.live_restore:
            self._stop_all()
        self._exits.shutdown(wait=True)
        self._with.exec_driver.close()
        for driver in self._with.networks.drivers():
            driver.shutdown()
        self._with.graph_driver.cleanup()
        self._with.names.close()

    def _stop_all(self) -> None:
        running = [container for container in self._with.containers.all() if container.state.running]
        if not running:
            return
        with ThreadPoolExecutor(len(running), "shutdown") as pool:
            for container in running:
                pool.submit(self._stop_one, container)

    def _stop_one(self, container: Container) -> None:
        job = self._engine.job("stop", container.id)
        job.env.set_bool("shutdown", True)
        limit = self._with.settings.shutdown_timeout
        if container.config.stop_timeout is None and 0 <= limit < stop.DEFAULT_STOP_SECONDS:
            job.env.set_int("t", int(limit))
        try:
            job.run()
        except NotModified:
            pass  # it ended by itself
        except MiniDockerError as error:
            log.warning("%s: %s", job, error)


def engine_id(path: Path) -> str:
    """What identifies this daemon's root folder: kept in a file, made once."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        identity = secrets.token_hex(16)
        replace_file(path, f"{identity}\n".encode())
        return identity
