"""Bootstrap: the only place that knows who everybody is. It wires drivers, graph, registry, engine and server.

The order of a daemon's morning, as in classic Docker: the job `serveapi` listens first, so that
clients find an address and wait in its queue; then the drivers are chosen and the daemon put
together; `init_networkdriver`; what outlived an earlier daemon is found again; and
`acceptconnections` lets the clients in. At night the same in reverse.

Source: classic Docker's ``docker/daemon.go``.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from mini_docker.builder.build import build as build_image
from mini_docker.daemon import flags
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.volumes import VolumeStore
from mini_docker.daemon.daemon import Collaborators, Daemon
from mini_docker.daemon.driver_tables import EXEC_DRIVERS, GRAPH_DRIVERS
from mini_docker.daemon.event_log import EventLog
from mini_docker.daemon.flags import DaemonFlags
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs import network, pull, push, registries, trace
from mini_docker.daemon.jobs import networks as networks_jobs
from mini_docker.daemon.jobs.layer_downloads import LayerDownloads
from mini_docker.daemon.name_service import NameService
from mini_docker.daemon.network_files import NetworkFiles
from mini_docker.daemon.network_table import NetworkTable
from mini_docker.daemon.pidfile import hold_root, pidfile
from mini_docker.daemon.server.serve import AcceptConnections, ApiOptions, ServeApi, ping
from mini_docker.daemon.userns_remap import find_mapping, remapped_root
from mini_docker.dataclasses import replace
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.drivers.execdriver.known import KNOWN_DRIVERS
from mini_docker.drivers.graphdriver.selection import GraphDriverFactory, Selection, select_driver, used_drivers
from mini_docker.drivers.networkdriver.bridge import BridgeDriver
from mini_docker.drivers.networkdriver.bridge_options import default_network
from mini_docker.drivers.networkdriver.dns import DnsServer
from mini_docker.drivers.networkdriver.host import HostDriver
from mini_docker.drivers.networkdriver.host_bridge import can_route_loopback
from mini_docker.drivers.networkdriver.narrated_ports import NarratedPortHolder, NarratedProxies
from mini_docker.drivers.networkdriver.none import NoneDriver
from mini_docker.drivers.networkdriver.port_holder import PortHolder
from mini_docker.drivers.networkdriver.userland_proxies import UserlandProxies
from mini_docker.engine import Engine, Handler
from mini_docker.errors import Invalid, MiniDockerError, Unsupported
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.graph import Graph
from mini_docker.graph.graphdb import GraphDB
from mini_docker.graph.tag_store import TagStore
from mini_docker.graph.unpackers import Unpackers
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.seccomp.profile import default_profile
from mini_docker.linux.firewall_choice import choose_firewall
from mini_docker.linux.kernel import Kernel
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.linux.narrated_network import Audience, NarratedFirewall, NarratedNetlink, narrated_dns
from mini_docker.linux.netlink import LinuxNetlink
from mini_docker.registry.service import RegistryService

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Be the daemon until a signal says that it is enough.

    Args:
        argv: the words after ``mini-docker daemon``.

    Returns:
        0 after an orderly end; 1 when it could not start, with one sentence why on standard error.
    """
    try:
        said = flags.parse(argv)
        require_linux_and_root()
        return run(said)
    except MiniDockerError as error:
        print(f"mini-docker daemon: {error}", file=sys.stderr)
        return 1


def require_linux_and_root() -> None:
    """Refuse where no container can be made.

    Raises:
        Unsupported: another system, or not root.
    """
    if sys.platform != "linux":
        raise Unsupported("containers are made by the Linux kernel: run 'vagrant up' and work in that machine")
    if os.geteuid() != 0:
        raise Unsupported("namespaces, mounts and networks need root: run it with sudo")


def run(said: DaemonFlags) -> int:
    """Start, serve, and close the house in order. Errors as `main`."""
    logging.basicConfig(
        level=logging.DEBUG if said.debug else logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    night = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: night.set())
    with ExitStack() as closing:
        base = said.settings.root
        said = with_remapped_root(said)
        root = said.settings.root
        for folder in (base, root, said.settings.exec_root):
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        closing.enter_context(hold_root(root))
        closing.enter_context(pidfile(said.pidfile))

        engine = Engine()
        closing.callback(engine.shutdown)
        serve_api = ServeApi(engine, ApiOptions(group=said.group))
        engine.register("serveapi", serve_api)
        engine.register("acceptconnections", AcceptConnections(serve_api))
        engine.register("ping", ping)
        engine.register("jobs", trace.jobs)
        api = _Api(engine, said.hosts, on_failure=night.set)
        api.start()

        daemon = build(said, engine)
        daemon.install()
        closing.callback(daemon.shutdown)
        engine.job("init_networkdriver").run()
        daemon.restore()
        if not night.is_set():
            engine.job("acceptconnections").run()
            log.info("ready")
        night.wait()
        log.info("closing")
        if isinstance(api.failure, MiniDockerError):
            raise api.failure
        if api.failure is not None:
            raise MiniDockerError(f"the API ended by an error nobody foresaw: {api.failure!r}") from api.failure
    return 0


def with_remapped_root(said: DaemonFlags) -> DaemonFlags:
    """What was said, with ``--userns-remap`` looked up: the mapping, and the root folder that belongs to it.

    Raises:
        NotFound, Invalid, Unsupported: as `find_mapping`.
    """
    ids = find_mapping(said.userns_remap)
    return replace(said, settings=replace(said.settings, root=remapped_root(said.settings.root, ids), ids=ids))


class _Api(threading.Thread):
    """Runs the job `serveapi` beside the rest, and keeps the reason if it fails."""

    def __init__(self, engine: Engine, hosts: Sequence[str], on_failure: Callable[[], None]) -> None:
        super().__init__(name="serveapi", daemon=True)
        self._job = engine.job("serveapi", *hosts)
        self._on_failure = on_failure
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self._job.run()
        except Exception as failure:  # a daemon that nobody can talk to must end and say why
            self.failure = failure
            self._on_failure()


def build(said: DaemonFlags, engine: Engine) -> Daemon:
    """Make everybody and introduce them to each other.

    Raises:
        Unsupported: a driver that was asked for cannot work here, or none can.
        Invalid: a driver that nobody knows.
    """
    kernel = LinuxKernel()
    hierarchy = find_hierarchy()
    settings = replace(said.settings, cgroup_version=hierarchy.version)
    root = settings.root
    selection = choose_graph_driver(said, kernel)
    graph_driver = selection.driver
    graph_driver.cleanup()
    cgroups = CgroupManager(kernel, hierarchy)
    exec_driver = choose_exec_driver(said.exec_driver, settings.exec_root, cgroups)
    if settings.ids and not exec_driver.walls().user:
        raise Unsupported(f"exec driver {said.exec_driver} makes no user namespaces: --userns-remap needs native")

    # Each driver has a graph of its own: a layer is whole only where its driver has it.
    graph = Graph(root / "graph" / graph_driver.name, graph_driver, Unpackers())
    graph.recover()
    tags = TagStore(root / f"repositories-{graph_driver.name}.json")
    network_audience = Audience()
    bridge, networks = _networks(said, kernel, root, network_audience)

    containers = ContainerStore(root / "containers")
    registry = RegistryService(said.registry)
    handlers: dict[str, Handler] = {
        "init_networkdriver": network.InitNetworkdriver(networks, functools.partial(default_network, said.bridge)),
        "allocate_interface": network.AllocateInterface(networks),
        "release_interface": network.ReleaseInterface(networks),
        "allocate_port": network.AllocatePort(networks, containers),
        "link": network.Link(bridge),
        "auth": registries.Auth(registry),
        "search": registries.Search(registry),
        "distribution_inspect": registries.DistributionInspect(registry),
        "pull": pull.Pull(graph, tags, registry, LayerDownloads(root / "tmp")),
        "pull_manifest": pull.PullManifest(registry),
        "pull_layer": pull.PullLayer(registry),
        "push": push.Push(graph, tags, registry),
        "build": build_image,
        "push_layer": push.PushLayer(graph, registry, root / "tmp"),
    }
    for name, handler in handlers.items():
        engine.register(name, handler)

    name_service = NameService(
        DnsServer(), narrated_dns(exec_driver.open_dns, network_audience), containers, settings.dns
    )
    files = NetworkFiles(settings, os.uname().nodename)
    for name, handler in networks_jobs.handlers(networks, containers, exec_driver, name_service, files).items():
        engine.register(name, handler)
    return Daemon(
        engine,
        Collaborators(
            settings=settings,
            containers=containers,
            images=ImageLookup(graph, tags),
            layers=ContainerLayers(graph_driver, settings.ids),
            names=GraphDB(root / "linkgraph.db"),
            volumes=VolumeStore(root / "volumes", kernel, settings.ids),
            graph_driver=graph_driver,
            exec_driver=exec_driver,
            networks=networks,
            network_audience=network_audience,
            name_service=name_service,
            events=EventLog(),
            kernel=kernel,
            host_name=os.uname().nodename,
            seccomp=default_profile(),
            last_capability=int(kernel.read_file("/proc/sys/kernel/cap_last_cap")),
            features=cgroups.features,
            other_exec_drivers=other_exec_drivers(said.exec_driver),
            warnings=(f"WARNING: {selection.warning}",) if selection.warning else (),
        ),
    )


def choose_graph_driver(said: DaemonFlags, kernel: Kernel) -> Selection:
    """By DOCKER_DRIVER, then ``-s``, then what was used before in this root folder, then the best that works."""

    options = replace(said.graph_options, ids=said.settings.ids)

    def factory(name: str) -> GraphDriverFactory:
        return lambda: GRAPH_DRIVERS[name](said.settings.root / name, kernel, options)

    selection = select_driver(
        {name: factory(name) for name in GRAPH_DRIVERS},
        environment=said.graph_driver_environment,
        flag=said.graph_driver,
        used=used_drivers(said.settings.root),
    )
    log.info("graph driver %s: %s", selection.driver.name, selection.reason.value)
    if selection.warning:
        log.warning("%s", selection.warning)
    return selection


def choose_exec_driver(name: str, run: Path, cgroups: CgroupManager) -> ExecDriver:
    """The exec driver that ``-e`` asks for.

    Raises:
        Invalid: nobody knows it. Unsupported: it cannot work here.
    """
    if name not in EXEC_DRIVERS:
        for known in KNOWN_DRIVERS:
            if known.name == name:
                raise Unsupported(f"exec driver {name} is not available: {known.reason}")
        raise Invalid(f"no such exec driver: {name!r}; there are {', '.join(EXEC_DRIVERS)}")
    driver = EXEC_DRIVERS[name](run, cgroups)
    available = driver.available()
    if not available:
        raise Unsupported(f"exec driver {name} cannot work here: {available.reason}")
    return driver


def other_exec_drivers(name: str) -> dict[str, str]:
    """The exec drivers beside *name*, each with why it can't be had here, or nothing."""
    return {other: "" for other in EXEC_DRIVERS if other != name} | {
        known.name: known.reason for known in KNOWN_DRIVERS
    }


def _networks(said: DaemonFlags, kernel: Kernel, root: Path, audience: Audience) -> tuple[BridgeDriver, NetworkTable]:
    netlink = NarratedNetlink(LinuxNetlink(), audience).door()
    options = replace(said.bridge, userland_proxy=said.bridge.userland_proxy or not can_route_loopback(kernel))
    firewall = choose_firewall(options.instance_tag, options.iptables, loopback=not options.userland_proxy)
    bridge = BridgeDriver(
        netlink,
        NarratedFirewall(firewall, audience).door(),
        kernel,
        options,
        NarratedProxies(UserlandProxies(said.settings.exec_root / "proxies"), audience).door(),
        NarratedPortHolder(PortHolder(), audience).door(),
    )
    return bridge, NetworkTable(root / "networks", [bridge, HostDriver(), NoneDriver(netlink)])
