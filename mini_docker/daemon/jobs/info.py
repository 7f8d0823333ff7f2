"""The job ``info``: the daemon and the machine that it stands on, on one sheet. It only reads.

Source: classic Docker's CmdInfo (``daemon/info.go``); Docker Engine API 1.41, SystemInfo; of what the classic sheet
says beside (execution driver, its walls) the words are ours.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mini_docker import VERSION
from mini_docker.daemon.container import state as states
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.timestamps import format_time
from mini_docker.daemon.event_log import EventLog
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.answers import answer
from mini_docker.daemon.settings import DaemonSettings
from mini_docker.dataclasses import asdict
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.drivers.graphdriver.contract import GraphDriver
from mini_docker.engine import Job
from mini_docker.libcontainer.cgroups.features import CgroupFeatures

INDEX_SERVER = "https://index.docker.io/v1/"
HUB = "docker.io"
LOOPBACK = "127.0.0.0/8"
"""Insecure without being told so: see the registry's endpoints."""


class Info:
    """See the module.

    Args:
        network_drivers: their names.
        features: which limits this kernel can keep.
        other_exec_drivers: name → why it can't be had here, or nothing where it can.
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
        features: CgroupFeatures,
        other_exec_drivers: Mapping[str, str],
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
        self._features = features
        self._other_exec_drivers = other_exec_drivers
        self._warnings = warnings

    def __call__(self, job: Job) -> None:
        settings = self._settings
        counts = [container.state for container in self._containers.all()]
        running = sum(state.status in (states.RUNNING, states.RESTARTING) for state in counts)
        paused = sum(state.paused for state in counts)
        walls = asdict(self._exec_driver.walls())
        # A limit is kept where the kernel can and the driver does.
        limits = limits_of(self._features) if walls["limits"] else limits_of(CgroupFeatures())
        network = {
            "IPv4Forwarding": _flag("/proc/sys/net/ipv4/ip_forward"),
            "BridgeNfIptables": _flag("/proc/sys/net/bridge/bridge-nf-call-iptables"),
            "BridgeNfIp6tables": _flag("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
        }
        answer(
            job,
            {
                "ID": self._identity,
                "Name": os.uname().nodename,
                "Containers": len(counts),
                "ContainersRunning": running,
                "ContainersPaused": paused,
                "ContainersStopped": len(counts) - running - paused,
                "Images": len(self._images.graph.images()),
                "Driver": self._graph_driver.name,
                "DriverStatus": [list(pair) for pair in self._graph_driver.status()],
                "ExecutionDriver": self._exec_driver.name,
                "Walls": walls,
                "OtherExecutionDrivers": dict(self._other_exec_drivers),
                "Plugins": {
                    "Volume": ["local"],
                    "Network": list(self._network_drivers),
                    "Authorization": None,
                    "Log": ["json-file", "none"],
                },
                "SystemStatus": None,
                **limits,
                **network,
                "Debug": settings.debug,
                "NFd": len(os.listdir("/proc/self/fd")),
                # Not sys._current_frames: CPython 3.11.2 can lock itself up in it for ever (gh-106883).
                "NGoroutines": threading.active_count(),
                "NEventsListener": self._events.subscribers,
                "SystemTime": format_time(time.time_ns()),
                "LoggingDriver": "json-file",
                "CgroupDriver": "cgroupfs",
                "CgroupVersion": str(settings.cgroup_version),
                "KernelVersion": os.uname().release,
                "OperatingSystem": operating_system(),
                "OSVersion": "",
                "OSType": "linux",
                "Architecture": os.uname().machine,
                "NCPU": os.cpu_count() or 1,
                "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
                "IndexServerAddress": INDEX_SERVER,
                "RegistryConfig": registry_config(settings.insecure_registries, settings.registry_mirrors),
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
                "SecurityOptions": security_options(walls["seccomp"], bool(settings.ids)),
                "Warnings": [*self._warnings, *machine_warnings(limits | network)] or None,
            },
        )  # fmt: skip


def security_options(seccomp: bool, remapped: bool) -> list[str]:
    """What guards every container that says nothing else, as stock clients read it."""
    guards = {"name=seccomp,profile=default": seccomp, "name=userns": remapped}
    return [name for name, stands in guards.items() if stands]


def limits_of(features: CgroupFeatures) -> dict[str, bool]:
    """Which limits can be kept, in the words of ``info``."""
    return {
        "MemoryLimit": features.memory,
        "SwapLimit": features.memory_swap,
        "KernelMemory": features.kernel_memory,
        "KernelMemoryTCP": False,
        "CpuCfsPeriod": features.cpu_quota,
        "CpuCfsQuota": features.cpu_quota,
        "CPUShares": features.cpu_shares,
        "CPUSet": features.cpuset,
        "PidsLimit": features.pids,
        "OomKillDisable": features.oom_kill_disable,
    }


_LACKING = {
    "MemoryLimit": "No memory limit support",
    "SwapLimit": "No swap limit support",
    "CpuCfsQuota": "No cpu cfs quota support",
    "CpuCfsPeriod": "No cpu cfs period support",
    "CPUShares": "No cpu shares support",
    "CPUSet": "No cpuset support",
    "IPv4Forwarding": "IPv4 forwarding is disabled",
}


def machine_warnings(facts: Mapping[str, bool]) -> list[str]:
    """What stock clients print below ``info`` of a machine that lacks something, in Docker's words."""
    return [f"WARNING: {words}" for name, words in _LACKING.items() if not facts[name]]


def registry_config(insecure: Sequence[str], mirrors: Sequence[str]) -> dict[str, Any]:
    """How registries are spoken to, as the daemon's flags have it.

    Args:
        insecure: hosts and networks. mirrors: URLs, for Docker Hub's images.
    """
    networks = [LOOPBACK, *(word for word in insecure if "/" in word)]
    hosts = {word: {"Name": word, "Mirrors": [], "Secure": False, "Official": False}
             for word in insecure if "/" not in word}  # fmt: skip
    urls = [f"{url.rstrip('/')}/" for url in mirrors]
    return {
        "AllowNondistributableArtifactsCIDRs": [],
        "AllowNondistributableArtifactsHostnames": [],
        "InsecureRegistryCIDRs": networks,
        "IndexConfigs": {HUB: {"Name": HUB, "Mirrors": urls, "Secure": True, "Official": True}, **hosts},
        "Mirrors": urls,
    }


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
