"""A whole daemon for a test: in private network and mount namespaces, with its own root and run folders.

Nothing it does reaches the machine: its bridge, rules and mounts live and die with its namespaces.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mini_docker import launcher
from tests.leaks import Footprint, left_since

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 120.0  # an emulated machine compiles and imports for long


@dataclass
class Ran:
    """A command's exit code, output and error output."""

    code: int
    out: str
    err: str


@dataclass
class House:
    """One root folder, and the daemons that come and go in it."""

    folder: Path
    flags: tuple[str, ...] = ()
    daemon: subprocess.Popen[bytes] | None = None
    namespaces: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Where the API listens."""
        return f"unix://{self.folder}/api.sock"

    def open_namespaces(self) -> None:
        """A process that holds private network and mount namespaces, with loopback up."""
        script = "mount --make-rslave / && ip link set lo up && echo ready && exec sleep 100000"
        self.namespaces = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c", script], stdout=subprocess.PIPE)
        assert self.namespaces.stdout is not None
        assert self.namespaces.stdout.readline() == b"ready\n"

    def inside(self, *command: str) -> list[str]:
        """*command*, run in the house's namespaces."""
        assert self.namespaces is not None
        return ["nsenter", "-t", str(self.namespaces.pid), "--net", "--mount", *command]

    def start(self, *flags: str) -> None:
        """Start a daemon and wait until it lets clients in."""
        command = [
            *launcher.command("daemon"), "-g", str(self.folder / "root"), "--exec-root",
            str(self.folder / "run"), "-H", self.host, "-p", str(self.folder / "pid"), *self.flags, *flags,
        ]  # fmt: skip
        with (self.folder / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                self.inside(*command), cwd=REPOSITORY, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while self.ours("version").code != 0:
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the daemon did not start: {self.log()[-2000:]}")
            time.sleep(0.02)

    def log(self) -> str:
        """What the daemon said."""
        return (self.folder / "daemon.log").read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: an orderly end."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        assert self.daemon is not None
        self.daemon.send_signal(number)
        self.daemon.wait(60)
        self.daemon = None

    def close(self) -> None:
        """Remove all containers, end the daemon, let the namespaces go."""
        if self.daemon is None:
            self.start()
        ids = self.ours("ps", "-aq").out.split()
        if ids:
            self.ours("rm", "-f", *ids)
        self.stop()
        assert self.namespaces is not None
        assert self.namespaces.stdout is not None
        self.namespaces.kill()
        self.namespaces.wait()
        self.namespaces.stdout.close()

    def ours(self, *words: str, stdin: bytes = b"") -> Ran:
        """Our own command line."""
        return self._run([sys.executable, "-m", "mini_docker", *words], stdin)

    def docker(self, *words: str, stdin: bytes = b"") -> Ran:
        """The stock command line."""
        return self._run(["docker", *words], stdin)

    def _run(self, command: list[str], stdin: bytes) -> Ran:
        environment = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_CONFIG": str(self.folder / "config")}
        done = subprocess.run(
            command, input=stdin, capture_output=True, cwd=REPOSITORY, env=environment, timeout=60, check=False
        )
        return Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def inspect(self, container: str) -> dict[str, Any]:
        """A container as the API shows it."""
        result: dict[str, Any] = json.loads(self.ours("inspect", container).out)[0]
        return result

    def fetch(self, url: str) -> str:
        """A page, fetched from inside the house's network namespace."""
        program = (
            "import sys, urllib.request;"
            "sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
        )
        done = subprocess.run(
            self.inside(sys.executable, "-c", program, url), capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout


@contextmanager
def opened(house: House, busybox_tar: bytes, prepare: Callable[[House], None] = lambda house: None) -> Iterator[House]:
    """The house with its daemon running and the image busybox in it; at the end nothing of it may be left.

    Args:
        prepare: called when its namespaces are open and no daemon runs yet.
    """
    before = Footprint.take()
    house.open_namespaces()
    try:
        prepare(house)
        house.start()
        assert house.ours("import", "-", "busybox", stdin=busybox_tar).code == 0
        yield house
    finally:
        house.close()
    left = left_since(before)
    assert not left, f"left behind: {left}"


def has_docker_cli() -> bool:
    """Whether the stock client is here."""
    return shutil.which("docker") is not None
