"""The launcher: starts every process of ours in the same way, so that all of them run the same code.

Python's ``-I -S`` starts an interpreter in a third of the time, and it ignores PYTHONPATH and the
user's site folder, which a daemon that runs as root must not trust. What is lost thereby, where
our package lies, the launcher hands over itself. A learner's overlay (labs) travels the same way.
``-OO`` leaves this book's docstrings on the shelf: 1.5 MB less in a daemon, 0.5 in a supervisor.

Run as a file (``python -ISOO launcher.py ROLE …``) it is the first code of such a process.
"""

from __future__ import annotations

import os
import sys

OVERLAY_VARIABLE = "MINI_DOCKER_OVERLAY"
"""Names a folder whose modules lie over ours (`mini_docker.lab.overlay`); what begins with it goes the same way."""

ROLES = {
    "supervisor": ("mini_docker.supervisor.main", "main"),
    "daemon": ("mini_docker.daemon.bootstrap", "main"),
    "runc": ("mini_docker.runc.main", "main"),
    "unpacker": ("mini_docker.graph.unpacker_process", "main"),
    "proxy": ("mini_docker.drivers.networkdriver.userland_proxy", "main"),
}
"""Role of a process → the module and function that it runs."""


def command(role: str, *args: str) -> list[str]:
    """The argv that starts a process of ours in *role*."""
    paths = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    paths += [path for path in sys.path if path.endswith("site-packages") and path not in paths]
    return [sys.executable, "-ISOO", os.path.abspath(__file__), os.pathsep.join(paths), role, *args]


def environment() -> dict[str, str]:
    """The environment of such a process: nothing of the caller's but what it needs."""
    kept = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
    return {name: value for name, value in os.environ.items() if name in kept or name.startswith(OVERLAY_VARIABLE)}


def run(argv: list[str]) -> int:
    """Be the process: *argv* is what `command` made, after the launcher's own file name."""
    paths, role, *args = argv
    sys.path.extend(paths.split(os.pathsep))
    install_overlay()
    module, function = ROLES[role]
    return int(getattr(__import__(module, fromlist=[function]), function)(args) or 0)


def install_overlay() -> None:
    """Lay the learner's modules over ours, if a learner asked for it."""
    if os.environ.get(OVERLAY_VARIABLE):
        from mini_docker.lab.overlay import install

        install(os.environ[OVERLAY_VARIABLE])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
