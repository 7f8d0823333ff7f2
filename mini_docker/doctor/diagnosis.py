"""The diagnosis: from what was seen to what it means, and what to do about it. Pure.

It knows which features the house stands on and which it can do without; how they were found out is not its business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mini_docker.dataclasses import dataclass
from mini_docker.doctor.finding import Finding, Verdict
from mini_docker.doctor.machine import Machine

MIB = 1 << 20
OLDEST_KERNEL = (5, 12)
"""mount_setattr(2), the youngest system call that every container needs."""
NEEDED_NAMESPACES = ("mnt", "pid", "uts", "ipc", "net")
NEEDED_CAPABILITIES = (
    "CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP",
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL",
)  # fmt: skip
NEEDED_FREE_BYTES, GOOD_FREE_BYTES = 500 * MIB, 4096 * MIB
NEEDED_MEMORY_BYTES, GOOD_MEMORY_BYTES = 256 * MIB, 1024 * MIB

DEFAULT_NETWORK = "bridge"
"""The network driver of every container that does not ask for another."""

USE_VM = "use a machine with a Debian 12 kernel: 'vagrant up' makes one"


@dataclass(frozen=True, slots=True)
class _KernelOption:
    """One line of the kernel's configuration that we care for."""

    name: str
    purpose: str
    needed: bool = False


_OPTIONS = (
    _KernelOption("CONFIG_BRIDGE", "the bridge that containers are plugged into", needed=True),
    _KernelOption("CONFIG_VETH", "the cable between container and bridge", needed=True),
    _KernelOption("CONFIG_NF_NAT", "masquerading and published ports", needed=True),
    _KernelOption("CONFIG_OVERLAY_FS", "the graph driver overlay"),
    _KernelOption("CONFIG_BTRFS_FS", "the graph driver btrfs"),
    _KernelOption("CONFIG_DM_THIN_PROVISIONING", "the graph driver devicemapper"),
    _KernelOption("CONFIG_BRIDGE_NETFILTER", "--icc=false between containers of one bridge"),
    _KernelOption("CONFIG_MACVLAN", "macvlan networks"),
    _KernelOption("CONFIG_CGROUP_BPF", "device rules on cgroup v2"),
    _KernelOption("CONFIG_USER_NS", "user namespaces"),
)

_CONTROLLERS = {
    "memory": "-m",
    "cpu": "--cpus and --cpu-shares",
    "cpuset": "--cpuset-cpus",
    "pids": "--pids-limit",
    "io": "--blkio-weight and --device-read-bps",
    "hugetlb": "limits of huge pages",
}

TOOLS = {
    "nft": ("shows the firewall rules that nftables holds", "nftables"),
    "iptables": ("the firewall where nftables cannot be used", "iptables"),
    "busybox": ("root file systems of tests and labs", "busybox-static"),
    "ps": ("what `top` asks", "procps"),
    "ip": ("looks at links and routes in labs", "iproute2"),
    "mkfs.btrfs": ("a file system for the graph driver btrfs", "btrfs-progs"),
    "dmsetup": ("looks at the graph driver devicemapper's devices", "dmsetup"),
    "apparmor_parser": ("loads AppArmor profiles", "apparmor"),
    "docker": ("the stock command line works against our daemon", "docker.io"),
    "runc": ("tests compare our containers with its", "runc"),
}
"""Programs that the daemon, drivers, tests or labs call: what for, and the Debian package."""


def diagnose(machine: Machine) -> tuple[Finding, ...]:
    """Every finding, in the order in which they are read."""
    return (*_machine(machine), *_kernel(machine), *_cgroups(machine), *_drivers(machine), *_tools(machine))


def _needed(good: bool) -> Verdict:
    return Verdict.GOOD if good else Verdict.MISSING


def _wished(good: bool) -> Verdict:
    return Verdict.GOOD if good else Verdict.LACKING


def _finding(area: str, name: str, verdict: Verdict, detail: str, advice: str) -> Finding:
    """A good finding needs no advice."""
    return Finding(area, name, verdict, detail, "" if verdict is Verdict.GOOD else advice)


def _amount(have: int, needed: int, good: int) -> Verdict:
    return Verdict.MISSING if have < needed else _wished(have >= good)


def _machine(machine: Machine) -> Iterator[Finding]:
    area = "machine"
    yield _finding(
        area, "Python", _needed(machine.python >= (3, 11)), ".".join(map(str, machine.python)),
        "Python 3.11 or newer is needed: Debian 12 has it",
    )  # fmt: skip
    yield _finding(
        area, "root", Verdict.GOOD if machine.is_root else Verdict.UNKNOWN, "yes" if machine.is_root else "no",
        "the daemon needs root, and the drivers were not tried out: run this again with sudo",
    )  # fmt: skip
    if machine.is_root:
        lost = [name for name in NEEDED_CAPABILITIES if name not in machine.capabilities]
        yield _finding(
            area, "capabilities", _needed(not lost), f"without {', '.join(lost)}" if lost else "all that are needed",
            "this root is a tamed one: leave the container, or start it privileged",
        )  # fmt: skip
    where = f"inside a container: {machine.container}" if machine.container else "yes"
    yield _finding(
        area, "own machine", _wished(not machine.container), where,
        "containers in a container work where it is privileged; a virtual machine ('vagrant up') is the surer place",
    )  # fmt: skip
    free = machine.free_bytes
    yield _finding(
        area, "disk", _amount(free, NEEDED_FREE_BYTES, GOOD_FREE_BYTES),
        f"{free // MIB} MiB free in {machine.folder} ({machine.file_system})",
        f"images want {GOOD_FREE_BYTES // MIB} MiB: make room, or give the daemon another folder with -g",
    )  # fmt: skip
    yield _finding(
        area, "memory", _amount(machine.available_memory_bytes, NEEDED_MEMORY_BYTES, GOOD_MEMORY_BYTES),
        f"{machine.available_memory_bytes // MIB} of {machine.memory_bytes // MIB} MiB available",
        f"{GOOD_MEMORY_BYTES // MIB} MiB are comfortable: close other programs",
    )  # fmt: skip


def _kernel(machine: Machine) -> Iterator[Finding]:
    area = "kernel"
    yield _finding(
        area, "release", _needed(_release(machine.kernel) >= OLDEST_KERNEL), machine.kernel,
        f"Linux {'.'.join(map(str, OLDEST_KERNEL))} or newer is needed: {USE_VM}",
    )  # fmt: skip
    lost = [name for name in NEEDED_NAMESPACES if name not in machine.namespaces]
    yield _finding(
        area,
        "namespaces",
        _needed(not lost),
        f"without {', '.join(lost)}" if lost else ", ".join(NEEDED_NAMESPACES),
        USE_VM,
    )
    for name, purpose in (("user", "user namespaces"), ("cgroup", "a private view of cgroups")):
        yield _finding(area, f"{name} namespace", _wished(name in machine.namespaces), purpose, USE_VM)
    yield _finding(area, "seccomp", _wished(machine.seccomp), "filters system calls of containers", USE_VM)
    yield _finding(
        area, "AppArmor", _wished(machine.apparmor), "profiles for containers",
        "containers run without a profile; Debian's kernel has it",
    )  # fmt: skip
    options = machine.kernel_options
    if options is None:
        yield Finding(
            area, "configuration", Verdict.UNKNOWN, "neither /proc/config.gz nor /boot/config-*",
            "nothing to do if the drivers below say yes",
        )  # fmt: skip
        return
    for option in _OPTIONS:
        built = option.name in options
        verdict = _needed(built) if option.needed else _wished(built)
        yield _finding(area, option.name, verdict, option.purpose, USE_VM)


def _release(text: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _cgroups(machine: Machine) -> Iterator[Finding]:
    area, cgroups = "cgroups", machine.cgroups
    found = f"v{cgroups.version}{' with an empty v2 beside it' if cgroups.hybrid else ''}"
    yield _finding(
        area, "version", _needed(cgroups.version > 0), found if cgroups.version else "none mounted",
        "mount one: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    )  # fmt: skip
    for controller, flags in _CONTROLLERS.items():
        yield _finding(
            area, f"{controller} controller", _wished(controller in cgroups.controllers), flags,
            f"containers run without {flags}; a kernel line or a parent cgroup may have it switched off",
        )  # fmt: skip


def _drivers(machine: Machine) -> Iterator[Finding]:
    """One driver a line, and one line for each family without which no container starts and in which none works."""
    for driver in machine.drivers:
        name, answer = f"{driver.family} driver {driver.name}", driver.availability
        if answer is None:
            yield Finding("drivers", name, Verdict.UNKNOWN, "only root can try it out", "run this again with sudo")
        else:
            verdict = _needed(bool(answer)) if driver.name == DEFAULT_NETWORK else _wished(bool(answer))
            yield Finding("drivers", name, verdict, answer.reason)
    for family in ("exec", "graph"):
        answers = [driver.availability for driver in machine.drivers if driver.family == family]
        if None not in answers and not any(answers):
            yield Finding("drivers", f"any {family} driver", Verdict.MISSING, "none works here", USE_VM)


def _tools(machine: Machine) -> Iterator[Finding]:
    for name, (purpose, package) in TOOLS.items():
        path = machine.tools.get(name, "")
        yield _finding("tools", name, _wished(bool(path)), path or purpose, f"apt-get install {package}")
