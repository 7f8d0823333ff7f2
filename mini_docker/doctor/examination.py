"""The examination: looks the machine over, touches nothing, and says only what it saw.

Everything is read from /proc and /sys, or asked of the drivers themselves, which try it out in a scratch folder
that is gone afterwards. It judges nothing.

Source: proc(5), cgroups(7), namespaces(7), and systemd's rules of how to know a container from inside.
"""

from __future__ import annotations

import gzip
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from mini_docker.daemon.driver_tables import EXEC_DRIVERS, GRAPH_DRIVERS
from mini_docker.doctor.diagnosis import TOOLS
from mini_docker.doctor.machine import Cgroups, Driver, Machine
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.graphdriver.backing import backing_file_system
from mini_docker.drivers.networkdriver.bridge import BridgeDriver
from mini_docker.drivers.networkdriver.bridge_options import BridgeOptions
from mini_docker.errors import MiniDockerError, Unsupported
from mini_docker.libcontainer.capabilities import names
from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy, find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.linux.firewall_choice import choose_firewall
from mini_docker.linux.kernel import Kernel
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.linux.netlink import LinuxNetlink

_V2_NAMES = {"blkio": "io", "cpu": "cpu", "cpuset": "cpuset", "memory": "memory", "pids": "pids", "hugetlb": "hugetlb"}
_OPTION = re.compile(r"^(CONFIG_\w+)=([ym])$", re.MULTILINE)


def examine(root_folder: Path) -> Machine:
    """Look at the machine that we run on, which is a Linux.

    Args:
        root_folder: where the daemon would keep its state (``-g``); it need not exist.
    """
    kernel = LinuxKernel()
    is_root = os.geteuid() == 0
    folder = _existing(root_folder)
    hierarchy = _hierarchy()
    space = os.statvfs(folder)
    memory = _memory()
    return Machine(
        system=platform.system(),
        kernel=platform.release(),
        python=sys.version_info[:3],
        is_root=is_root,
        capabilities=frozenset(names(int(_status_line("CapEff"), 16))),
        container=_container(),
        kernel_options=_kernel_options(),
        namespaces=frozenset(os.listdir("/proc/self/ns")),
        seccomp=Path("/proc/sys/kernel/seccomp/actions_avail").exists(),
        apparmor=_text(Path("/sys/module/apparmor/parameters/enabled")).strip() == "Y",
        cgroups=_cgroups(hierarchy),
        drivers=_drivers(kernel, hierarchy, folder, is_root),
        tools={name: shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "" for name in TOOLS},
        folder=str(folder),
        file_system=backing_file_system(folder, kernel),
        free_bytes=space.f_bavail * space.f_frsize,
        memory_bytes=memory.get("MemTotal", 0),
        available_memory_bytes=memory.get("MemAvailable", 0),
    )


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _text(path: Path) -> str:
    """A file's text; empty when there is no such file, or it may not be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _status_line(key: str) -> str:
    """A line of /proc/self/status."""
    return next(
        line.partition(":")[2].strip() for line in _text(Path("/proc/self/status")).splitlines() if line.startswith(key)
    )


def _memory() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    lines = (line.split() for line in _text(Path("/proc/meminfo")).splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3}


def _container() -> str:
    """What kind of container this process is in, by the marks that container managers leave."""
    for mark, kind in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if Path(mark).exists():
            return kind
    # systemd-nspawn, lxc and others tell PID 1's environment; only root may read it, so systemd notes it down.
    named = _text(Path("/run/systemd/container")).strip()
    if named:
        return named
    for word in _text(Path("/proc/1/environ")).split("\0"):
        if word.startswith("container="):
            return word.partition("=")[2] or "unnamed"
    return ""


def _kernel_options() -> Mapping[str, str] | None:
    """The configuration that the kernel was built with: as it says itself, or as Debian lays it beside it."""
    try:
        text = gzip.decompress(Path("/proc/config.gz").read_bytes()).decode()
    except OSError:
        text = _text(Path(f"/boot/config-{platform.release()}"))
    return dict(_OPTION.findall(text)) or None


def _hierarchy() -> Hierarchy | None:
    try:
        return find_hierarchy()
    except Unsupported:
        return None  # no cgroup file system is mounted: version 0


def _cgroups(hierarchy: Hierarchy | None) -> Cgroups:
    if hierarchy is None:
        return Cgroups()
    if hierarchy.version == 2:
        found = _text(Path(hierarchy.unified, "cgroup.controllers")).split()
        return Cgroups(2, False, frozenset(found))
    return Cgroups(1, hierarchy.is_hybrid, frozenset(_V2_NAMES[name] for name in hierarchy.mounts if name in _V2_NAMES))


def _drivers(kernel: Kernel, hierarchy: Hierarchy | None, folder: Path, is_root: bool) -> tuple[Driver, ...]:
    """Every driver of this build, asked whether it can work here. Only root can try it out."""
    if not is_root:
        families = (("exec", EXEC_DRIVERS), ("graph", GRAPH_DRIVERS), ("network", ("bridge", "host", "none")))
        return tuple(Driver(family, name, None) for family, table in families for name in table)
    with tempfile.TemporaryDirectory(prefix=".mini-docker-doctor-", dir=folder) as scratch:
        found = [Driver("exec", name, _exec_driver(name, Path(scratch), kernel, hierarchy)) for name in EXEC_DRIVERS]
        for name in GRAPH_DRIVERS:
            answer = _asked(partial(_graph_driver, name, Path(scratch, name), kernel))
            # The scratch folder lies where the real one will.
            found.append(Driver("graph", name, Availability(answer.reason.replace(scratch, str(folder)))))
    found.append(Driver("network", "bridge", _asked(partial(_bridge_driver, kernel))))
    return (*found, Driver("network", "host", AVAILABLE), Driver("network", "none", AVAILABLE))


def _exec_driver(name: str, run: Path, kernel: Kernel, hierarchy: Hierarchy | None) -> Availability:
    if hierarchy is None:
        return Availability("no cgroup file system is mounted")
    cgroups = CgroupManager(kernel, hierarchy)
    return _asked(lambda: EXEC_DRIVERS[name](run, cgroups).available())


def _graph_driver(name: str, folder: Path, kernel: Kernel) -> Availability:
    return GRAPH_DRIVERS[name](folder, kernel).available()


def _bridge_driver(kernel: Kernel) -> Availability:
    return BridgeDriver(LinuxNetlink(), choose_firewall("doctor"), kernel, BridgeOptions()).available()


def _asked(ask: Callable[[], Availability]) -> Availability:
    """A driver's answer; what it could not even be made for is an answer too."""
    try:
        return ask()
    except (MiniDockerError, OSError) as error:
        return Availability(str(error))
