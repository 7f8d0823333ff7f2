"""What kernels and people call a processor, and what images call it: Go's words. A dictionary, and one look into it.

Client, graph and registry all speak of it, so it stands below them all.

Source: Go's list of GOARCH; containerd's ``platforms`` for the other spellings.
"""

from __future__ import annotations

import os

GO_NAMES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armel": "arm", "armv7l": "arm",
    "armv6l": "arm", "i386": "386", "i486": "386", "i586": "386", "i686": "386", "loongarch64": "loong64",
}  # fmt: skip
"""Where the two differ; elsewhere (``riscv64``, ``s390x``) they agree."""


def go_name(machine: str) -> str:
    """*machine* in Go's words."""
    return GO_NAMES.get(machine, machine)


def host_architecture() -> str:
    """What images call this machine's architecture: ``amd64``, ``arm64``, …"""
    return go_name(os.uname().machine)
