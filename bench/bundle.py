"""An OCI bundle that asks for what our daemon gives a plain container: the same walls, mounts, limits and filter.

So a runtime alone (crun, runc) can be set beside a start through the daemon. Source: OCI runtime specification 1.0,
config.md; Docker's defaults.
"""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.daemons import PROJECT

CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
        "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    )
]  # fmt: skip
"""Docker's fourteen."""

SECCOMP_PROFILE = PROJECT / "mini_docker/libcontainer/seccomp/default_profile.json"
ARCHITECTURES = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}
"""Machine → its name for the runtime, and in the profile's conditions."""


def make_bundle(folder: Path, rootfs: bytes, machine: str, cgroup: str) -> None:
    """Write the bundle.

    Args:
        rootfs: a tar archive.
        machine: as `platform.machine` has it.
        cgroup: where the container's cgroup lies, below the hierarchies' roots.
    """
    root = folder / "rootfs"
    root.mkdir(parents=True)
    with tarfile.open(fileobj=BytesIO(rootfs)) as tar:
        tar.extractall(root)
    for name in ("proc", "sys", "dev"):
        (root / name).mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(machine, cgroup)))


def config(machine: str, cgroup: str) -> dict[str, Any]:
    """A whole config.json; the command is ``true``."""
    quiet = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.0.2",
        "hostname": "bench",
        "root": {"path": "rootfs"},
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/",
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
        },
        "mounts": [
            _mount("/proc", "proc", quiet),
            _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            _mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            _mount("/sys", "sysfs", [*quiet, "ro"]),
            _mount("/sys/fs/cgroup", "cgroup", [*quiet, "ro"]),
            _mount("/dev/mqueue", "mqueue", quiet),
            _mount("/dev/shm", "tmpfs", [*quiet, "mode=1777", "size=65536k"]),
        ],
        "linux": {
            "cgroupsPath": f"/{cgroup}",
            "resources": {"devices": [
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "access": "m"}, {"allow": True, "type": "b", "access": "m"},
            ]},
            "namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts", "network")],
            "seccomp": seccomp(json.loads(SECCOMP_PROFILE.read_text()), machine),
            "maskedPaths": [
                "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }  # fmt: skip


def seccomp(profile: dict[str, Any], machine: str) -> dict[str, Any]:
    """Docker's form of a profile in the runtime's: the rules that hold for Docker's capabilities on this machine."""
    architecture, go_name = ARCHITECTURES[machine]
    rules = []
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        wanted = set(includes.get("caps", ()))
        refused = set(excludes.get("caps", ())) & set(CAPABILITIES)
        elsewhere = go_name not in includes.get("arches", [go_name]) or go_name in excludes.get("arches", ())
        if elsewhere or refused or not wanted <= set(CAPABILITIES):
            continue
        rules.append({key: rule[key] for key in ("names", "action", "errnoRet", "args") if key in rule})
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": [architecture],
        "syscalls": rules,
    }


def _mount(destination: str, kind: str, options: list[str]) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": kind, "options": options}
