"""A sitting: the ground, the contenders who stand on it, and what they all need, each made when first asked for.

It knows who can take part and why another cannot; it knows no bench.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
            made = self._start(contender, self.folder(contender))
            self._closing.callback(made.stop)
            self._daemons[contender] = made
        return self._daemons[contender]

    @contextmanager
    def fresh_daemon(self, contender: str) -> Iterator[Daemon]:
        """Another daemon of the contender, that has done nothing yet but take the image ``busybox``.

        Raises:
            DidNotStart: it does not answer.
        """
        made = self._start(contender, self.folder(f"fresh-{contender}"))
        try:
            yield made
        finally:
            made.stop()

    def folder(self, name: str) -> Path:
        """A new folder on the ground, named much like *name*."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.ground))

    def cgroup(self, name: str) -> str:
        """A name for a cgroup that no other sitting has."""
        return f"{self.ground.name}-{name}"

    def _start(self, contender: str, folder: Path) -> Daemon:
        made = STARTERS[contender](folder)
        api = made.api()
        query = {"fromSrc": "-", "repo": "busybox", "tag": "latest"}
        api.call("POST", "/images/create", query=query, raw=self.busybox)
        api.close()
        return made

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
        return make_big_image(self.folder("big-image"))
