"""A sitting: the ground, the contenders who stand on it, and what they all need, each made when first asked for.

It knows who can take part and why another cannot; it knows no bench.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from bench.daemons import PROJECT, Daemon, missing_command, start_dockerd, start_mini_docker
from bench.image_maker import BigImage, make_big_image

STARTERS: dict[str, Callable[[Path], Daemon]] = {"mini-docker": start_mini_docker, "dockerd": start_dockerd}
"""Contenders that are daemons → what starts them."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "mini-docker": ("nsenter", "ip"),
    "dockerd": ("dockerd", "containerd", "runc", "docker", "nsenter", "ip"),
    "docker-registry": ("docker-registry",),
    "crun": ("crun",),
    "runc": ("runc",),
    "podman": ("podman",),
    "docker": ("docker",),
}
"""Contender → the commands without which it is absent."""


class Sitting:
    """One sitting. `close` ends everything that was started.

    Args:
        ground: an empty folder on a file system of its own.
        quick: smaller numbers where a bench has some.
    """

    def __init__(self, ground: Path, quick: bool) -> None:
        self.ground = ground
        self.quick = quick
        self._daemons: dict[str, Daemon] = {}
        self._closing = ExitStack()

    def why_absent(self, contender: str) -> str:
        """Why the contender cannot take part; empty when it can."""
        return missing_command(*COMMANDS.get(contender, ()))

    def daemon(self, contender: str) -> Daemon:
        """The contender's daemon, with the image ``busybox``; started when first asked for.

        Raises:
            DidNotStart: it does not answer.
        """
        if contender not in self._daemons:
            folder = self.ground / contender
            folder.mkdir()
            made = STARTERS[contender](folder)
            self._closing.callback(made.stop)
            self._daemons[contender] = made
            api = made.api()
            api.call(
                "POST", "/images/create", query={"fromSrc": "-", "repo": "busybox", "tag": "latest"}, raw=self.busybox
            )
            api.close()
        return self._daemons[contender]

    def at_end(self, end: Callable[[], object]) -> None:
        """Have *end* called when the sitting closes, before what was started earlier ends."""
        self._closing.callback(end)

    def close(self) -> None:
        """End everything, the latest first."""
        self._closing.close()
        self._daemons.clear()

    @cached_property
    def busybox(self) -> bytes:
        """A root file system with busybox, as a tar archive: the demo's."""
        maker = [sys.executable, str(PROJECT / "script/demo_images.py"), "busybox"]
        return subprocess.run(maker, check=True, stdout=subprocess.PIPE).stdout

    @cached_property
    def big_image(self) -> BigImage:
        """200 MB in 5 layers and 13,000 files."""
        folder = self.ground / "big-image"
        folder.mkdir()
        return make_big_image(folder)
