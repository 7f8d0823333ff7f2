"""The jobs ``version``, ``info``, ``system_df``, and the stubs by which stock clients learn what we are not.

Classic Docker's DaemonVersion and CmdInfo (``builtins/builtins.go``, ``daemon/info.go``).
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mini_docker import VERSION
from mini_docker.daemon.container import state as states
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.summary import line
from mini_docker.daemon.container.timestamps import format_time
from mini_docker.daemon.container.volumes import VolumeStore
from mini_docker.daemon.event_log import EventLog
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.daemon.jobs.containers import container_sizes
from mini_docker.daemon.jobs.volumes import users_of
from mini_docker.daemon.settings import DaemonSettings
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.drivers.graphdriver.contract import GraphDriver
from mini_docker.engine import Job
from mini_docker.errors import NotFound, Unavailable
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.graph.image import Image
from mini_docker.remote_api import API_VERSION, MIN_API_VERSION

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """This machine's, in Go's words."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def version(job: Job) -> None:
    """``version``: what we are."""
    details = {
        "ApiVersion": API_VERSION,
        "Arch": architecture(),
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": platform.release(),
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
    }
    python = ".".join(str(number) for number in sys.version_info[:3])
    answer(
        job,
        {
            "Platform": {"Name": "mini_docker"},
            "Components": [
                {"Name": "Engine", "Version": VERSION, "Details": details},
                {"Name": "python", "Version": python, "Details": {}},
            ],
            "Version": VERSION,
            **details,
            "Experimental": False,
            "PythonVersion": python,
        },
    )


class Info:
    """``info``: the daemon and its machine.

    Args:
        network_drivers: their names.
        warnings: sentences about how the daemon was started.
    """

    def __init__(
        self,
        settings: DaemonSettings,
        containers: ContainerStore,
        images: ImageLookup,
        graph_driver: GraphDriver,
        exec_driver: ExecDriver,
        network_drivers: Sequence[str],
        events: EventLog,
        identity: str,
        warnings: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._containers = containers
        self._images = images
        self._graph_driver = graph_driver
        self._exec_driver = exec_driver
        self._network_drivers = network_drivers
        self._events = events
        self._identity = identity
        self._warnings = warnings

    def __call__(self, job: Job) -> None:
        settings = self._settings
        counts = [container.state for container in self._containers.all()]
        running = sum(state.status in (states.RUNNING, states.RESTARTING) for state in counts)
        paused = sum(state.paused for state in counts)
        walls = asdict(self._exec_driver.walls())
        answer(
            job,
            {
                "ID": self._identity,
                "Name": platform.node(),
                "Containers": len(counts),
                "ContainersRunning": running,
                "ContainersPaused": paused,
                "ContainersStopped": len(counts) - running - paused,
                "Images": len(self._images.graph.images()),
                "Driver": self._graph_driver.name,
                "DriverStatus": [list(pair) for pair in self._graph_driver.status()],
                "ExecutionDriver": self._exec_driver.name,
                "Walls": walls,
                "Plugins": {
                    "Volume": ["local"],
                    "Network": list(self._network_drivers),
                    "Authorization": None,
                    "Log": ["json-file", "none"],
                },
                "SystemStatus": None,
                **_limits(settings.cgroup_version),
                "Debug": settings.debug,
                "NFd": len(os.listdir("/proc/self/fd")),
                "NGoroutines": len(sys._current_frames()),
                "NEventsListener": self._events.subscribers,
                "SystemTime": format_time(time.time_ns()),
                "LoggingDriver": "json-file",
                "CgroupDriver": "cgroupfs",
                "CgroupVersion": str(settings.cgroup_version),
                "KernelVersion": platform.release(),
                "OperatingSystem": operating_system(),
                "OSVersion": "",
                "OSType": "linux",
                "Architecture": platform.machine(),
                "NCPU": os.cpu_count() or 1,
                "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
                "IndexServerAddress": "https://index.docker.io/v1/",
                "RegistryConfig": {"InsecureRegistryCIDRs": [], "IndexConfigs": {}, "Mirrors": []},
                "DockerRootDir": str(settings.root),
                "HttpProxy": "",
                "HttpsProxy": "",
                "NoProxy": "",
                "Labels": list(settings.labels),
                "ExperimentalBuild": False,
                "ServerVersion": VERSION,
                "Runtimes": {"native": {"path": "native"}},
                "DefaultRuntime": "native",
                "Swarm": {
                    "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False,
                    "Error": "", "RemoteManagers": None,
                },
                "LiveRestoreEnabled": settings.live_restore,
                "Isolation": "",
                "InitBinary": "",
                "SecurityOptions": ["name=seccomp,profile=default"] if walls["seccomp"] else [],
                "Warnings": list(self._warnings) or None,
            },
        )  # fmt: skip


def _limits(cgroup_version: int) -> dict[str, bool]:
    """Which limits this kernel can keep, as ``info`` lists them."""
    folder = Path("/sys/fs/cgroup")
    if cgroup_version == 1:
        here = {name for name in ("memory", "cpu", "cpuset", "pids") if (folder / name).is_dir()}
    else:
        try:
            here = set((folder / "cgroup.controllers").read_text().split())
        except OSError:
            here = set()
    memory, cpu = "memory" in here, "cpu" in here
    forward = _flag("/proc/sys/net/ipv4/ip_forward")
    return {
        "MemoryLimit": memory, "SwapLimit": memory, "KernelMemory": False, "KernelMemoryTCP": False,
        "CpuCfsPeriod": cpu, "CpuCfsQuota": cpu, "CPUShares": cpu, "CPUSet": "cpuset" in here,
        "PidsLimit": "pids" in here, "IPv4Forwarding": forward,
        "BridgeNfIptables": _flag("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        "BridgeNfIp6tables": _flag("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
        "OomKillDisable": cgroup_version == 1 and memory,
    }  # fmt: skip


def _flag(path: str) -> bool:
    try:
        return Path(path).read_text().strip() == "1"
    except OSError:
        return False


def operating_system(release: str = "/etc/os-release") -> str:
    """The distribution's name. Source: os-release(5)."""
    try:
        for text in Path(release).read_text().splitlines():
            if text.startswith("PRETTY_NAME="):
                return text.partition("=")[2].strip('"')
    except OSError:
        pass
    return "Linux"


class SystemDf:
    """``system_df``: where the space went."""

    def __init__(
        self, containers: ContainerStore, images: ImageLookup, layers: ContainerLayers, volumes: VolumeStore
    ) -> None:
        self._containers = containers
        self._images = images
        self._layers = layers
        self._volumes = volumes

    def __call__(self, job: Job) -> None:
        graph = self._images.graph
        images = graph.images()
        layers = {chain: graph.layer(chain).size for image in images for chain in image.layers}
        now = time.time_ns()
        containers = []
        for container in self._containers.all():
            written, whole = container_sizes(container, self._images, self._layers)
            summary = line(container, container.config.image, container.state.summary(now))
            containers.append(summary | {"SizeRw": written, "SizeRootFs": whole})
        volumes = []
        for volume in self._volumes.all():
            usage = {"RefCount": len(users_of(volume.name, self._containers)), "Size": self._volumes.size(volume)}
            volumes.append(volume.to_json() | {"UsageData": usage})
        answer(
            job,
            {
                "LayersSize": sum(layers.values()),
                "Images": [self._image(image, images) for image in images],
                "Containers": containers,
                "Volumes": volumes,
                "BuildCache": None,
                "BuilderSize": 0,
            },
        )

    def _image(self, image: Image, images: Sequence[Image]) -> dict[str, Any]:
        graph, tags = self._images.graph, self._images.tags
        elsewhere = {chain for other in images if other.id != image.id for chain in other.layers}
        size = graph.size(image)
        return {
            "Id": image.id,
            "ParentId": image.parent or "",
            "RepoTags": tags.by_id(image.id) or None,
            "RepoDigests": tags.digests_by_id(image.id) or None,
            "Created": 0,
            "Size": size,
            "VirtualSize": size,
            "SharedSize": sum(graph.layer(chain).size for chain in image.layers if chain in elsewhere),
            "Containers": sum(container.image == image.id for container in self._containers.all()),
            "Labels": image.config.config.get("Labels") or None,
        }


def no_plugins(job: Job) -> None:
    """``plugins``: there are none."""
    answer(job, [])


def no_such_plugin(job: Job) -> None:
    """``plugin_inspect``: there are none."""
    raise NotFound(f'plugin "{argument(job, what="a plugin")}" not found')


def no_swarm(job: Job) -> None:
    """``swarm_inspect`` and ``swarm_leave``: this is one machine alone."""
    raise Unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to '
        "swarm and try again."
    )


STUBS: dict[str, Callable[[Job], None]] = {
    "plugins": no_plugins,
    "plugin_inspect": no_such_plugin,
    "swarm_inspect": no_swarm,
    "swarm_leave": no_swarm,
}
"""Jobs that only say no, as stock clients want to hear it."""
