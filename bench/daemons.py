"""Two daemons on the same track, each in network and mount namespaces of its own, with its own root and socket.

They know nothing of each other and cannot disturb each other but by using the machine. The bench does not know how
they work: it starts them, speaks with them, and ends them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from bench.api import Api
from bench.processes import Weight, helpers_of

START_SECONDS = 60.0
END_SECONDS = 40.0

PROJECT = Path(__file__).resolve().parent.parent
OWN_COMMAND = PROJECT / ".venv/bin/mini-docker"


class DidNotStart(Exception):
    """A daemon, or a registry, that does not answer: the sentence has the end of its log."""


class Daemon:
    """A running daemon.

    Args:
        name: the contender that it is.
        folder: all of its state goes below; empty.
        command: its argv; it listens at ``folder/socket``.
        clients: command → argv prefix of the command lines that it is driven with, by name.
        cgroup: its cgroup parent, removed at the end; empty when it sees to that itself.
    """

    def __init__(
        self, name: str, folder: Path, command: Sequence[str], clients: Mapping[str, Sequence[str]], cgroup: str = ""
    ) -> None:
        self.name = name
        self.socket = folder / "socket"
        self.folder = folder
        self._cgroup = cgroup
        self._log: IO[bytes] = (folder / "log").open("ab")
        self._clients = clients
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(folder / "config"), "DOCKER_CLI_HINTS": "false",
        }  # fmt: skip
        # The daemon itself becomes the first process of its namespaces.
        script = 'ip link set lo up && exec "$@"'
        self._process = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", script, "sh", *command],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip
        self._wait_until_it_answers()

    @property
    def pid(self) -> int:
        """Of the daemon itself, and of its namespaces' first process."""
        return self._process.pid

    def api(self) -> Api:
        """A new connection."""
        return Api(self.socket)

    def client(self, which: str, *words: str) -> float:
        """Run a command line against this daemon: the seconds it took, from its start to its end.

        Args:
            which: ``docker`` or ``mini-docker``.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        command = [*self._clients[which], *words]
        began = time.perf_counter()
        subprocess.run(
            command, env=self.environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self._log,
        )  # fmt: skip
        return time.perf_counter() - began

    def inside(self, *command: str) -> list[str]:
        """The argv that runs *command* in the daemon's network namespace."""
        return ["nsenter", "--target", str(self.pid), "--net", *command]

    def helpers(self) -> list[Weight]:
        """Its processes, the daemon itself among them, containers' own not."""
        return helpers_of(self.pid)

    def stop(self) -> None:
        """End it in order, and what is left of it without."""
        if self._process.poll() is None:
            left = self.helpers()
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            _end(left)
        self._log.close()
        if self._cgroup:
            remove_cgroups(self._cgroup)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with_api = self.api()
                with_api.call("GET", "/version")
                with_api.close()
                return
            except OSError:
                pass
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = (self.folder / "log").read_text(errors="replace").strip().splitlines()
                self.stop()
                raise DidNotStart(f"{self.name} did not start: {words[-1] if words else 'it said nothing'}")
            time.sleep(0.02)


def start_mini_docker(folder: Path) -> Daemon:
    """This checkout's daemon."""
    root, run = folder / "root", folder / "run"
    command = [
        str(OWN_COMMAND), "daemon", "-g", str(root), "--exec-root", str(run), "-H", f"unix://{folder}/socket",
        "-p", str(folder / "pid"), "--bip", "10.199.0.1/16",
    ]  # fmt: skip
    clients = {"docker": ["docker"], "mini-docker": [str(OWN_COMMAND)]}
    return Daemon("mini-docker", folder, command, clients)


def start_dockerd(folder: Path) -> Daemon:
    """Debian's docker.io."""
    cgroup = f"{folder.parent.name}-{folder.name}"  # the ground's name is this sitting's alone
    command = [
        "dockerd", "--data-root", str(folder / "root"), "--exec-root", str(folder / "run"),
        "-H", f"unix://{folder}/socket", "-p", str(folder / "pid"), "--bip", "10.198.0.1/16",
        "--cgroup-parent", f"/{cgroup}", "--log-level", "error",
    ]  # fmt: skip
    return Daemon("dockerd", folder, command, {"docker": ["docker"]}, cgroup)


def missing_command(*names: str) -> str:
    """Why something cannot run for want of a command; empty when all are there."""
    gone = [name for name in names if shutil.which(name) is None]
    return f"{' and '.join(gone)} not installed (script/setup --peers)" if gone else ""


def _end(left: Sequence[Weight]) -> None:
    """What a daemon left running: it may be ending by itself; then it is killed."""
    for helper in left:
        try:
            descriptor = os.pidfd_open(helper.pid)
        except ProcessLookupError:
            continue
        with os.fdopen(descriptor):
            # A daemon's pid may have been given on since; its name hardly has.
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)


def remove_cgroups(name: str) -> None:
    """Remove what is left of the cgroup *name* in every hierarchy: a parent that outlived its containers' groups."""
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/")]
    for parent in (root / name for root in roots):
        for folder in sorted(parent.glob("**/"), key=lambda path: len(path.parts), reverse=True):
            try:
                folder.rmdir()
            except OSError as error:
                print(f"the cgroup {folder} cannot be removed: {error.strerror}")
