"""What a result must say of the machine and the programs that it was taken with."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.daemons import PROJECT

VERSION_COMMANDS = {
    "dockerd": ("dockerd", "--version"),
    "docker": ("docker", "--version"),
    "containerd": ("containerd", "--version"),
    "runc": ("runc", "--version"),
    "crun": ("crun", "--version"),
    "podman": ("podman", "--version"),
    "docker-registry": ("docker-registry", "--version"),
}


def describe(disk: bool, quick: bool) -> dict[str, Any]:
    """The sitting's circumstances, as JSON values."""
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "ground": "loop ext4" if disk else "tmpfs",
        "quick": quick,
        "python": platform.python_version(),
        "commit": _first_line("git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"),
        "versions": {name: _first_line(*command) for name, command in VERSION_COMMANDS.items()},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return ""


def _first_line(*command: str) -> str:
    """The first line that a command prints; empty when it is not there or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.partition("\n")[0] if done.returncode == 0 else ""
