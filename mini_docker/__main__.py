"""The front door: one command, ``mini-docker``, that is client and daemon, as classic ``docker`` was.

It looks at the first words only, then imports the one box that they name: a client command starts in
a few milliseconds because it never loads the daemon.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

PROGRAMS = {
    "daemon": "mini_docker.daemon.bootstrap:main",
    "registry": "mini_docker.registry.server.__main__:main",
    "lab": "mini_docker.lab.main:main",
    "doctor": "mini_docker.doctor:main",
}
"""First words that are not commands of the Docker client: each is a program of its own, as module:function."""


def program_of(argv: list[str]) -> tuple[str, list[str]]:
    """The program that *argv* calls (empty: the client) and the words that are left for it.

    ``-d`` among the flags before any command is classic Docker's word for the daemon.
    """
    position = 0
    while position < len(argv) and argv[position].startswith("-"):
        if argv[position] in ("-d", "--daemon"):
            return "daemon", argv[:position] + argv[position + 1 :]
        position += 2 if argv[position] in ("-H", "--host") else 1
    if argv and argv[0] in PROGRAMS:
        return argv[0], argv[1:]
    return "", argv


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after the program's name; the process's own when None.

    Returns:
        The exit code.
    """
    program, rest = program_of(sys.argv[1:] if argv is None else argv)
    if "MINI_DOCKER_OVERLAY" in os.environ and program != "lab":
        from mini_docker.launcher import install_overlay

        install_overlay()
    module, _, function = PROGRAMS.get(program, "mini_docker.client:main").partition(":")
    code: int = getattr(import_module(module), function)(rest)
    return code


if __name__ == "__main__":
    sys.exit(main())
