"""The command line: what a person who types waits for. The stock ``docker`` drives both daemons; ours drives ours."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from bench.contract import Bench
from bench.daemons import remove_cgroups
from bench.goal import faster, within
from bench.side_room import SideRoom
from bench.sitting import Sitting


@dataclass
class Run(Bench):
    """``run --rm``.

    Attributes:
        client: the command that drives our daemon; others are driven with their own.
    """

    network: str = "none"
    client: str = "docker"

    def prepare(self, sitting: Sitting, contender: str) -> None:
        if contender == "podman":
            self.state[contender] = Podman(sitting)
            self.once(sitting, contender)

    def once(self, sitting: Sitting, contender: str) -> float:
        words = ("run", "--rm", "--network", self.network, "busybox", "true")
        if contender == "podman":
            podman: Podman = self.state[contender]
            return podman.client("run", "--cgroup-parent", podman.cgroup, *words[1:])
        return sitting.daemon(contender).client(self.client if contender == "mini-docker" else "docker", *words)

    def tidy(self, sitting: Sitting, contender: str) -> None:
        made = self.state.pop(contender, None)
        if made is not None:
            made.close()


@dataclass
class Exec(Bench):
    """``exec`` in a running container."""

    def prepare(self, sitting: Sitting, contender: str) -> None:
        api = sitting.daemon(contender).api()
        container = api.create("sleep", "1000")
        api.start(container)
        self.state[contender] = api, container

    def once(self, sitting: Sitting, contender: str) -> float:
        _, container = self.state[contender]
        return sitting.daemon(contender).client("docker", "exec", container, "true")

    def tidy(self, sitting: Sitting, contender: str) -> None:
        if contender in self.state:
            api, container = self.state.pop(contender)
            api.remove(container, force=True)
            api.close()


@dataclass
class Version(Bench):
    """The shortest command with a question to the daemon, always ours: what a client's own start costs."""

    def once(self, sitting: Sitting, contender: str) -> float:
        return sitting.daemon("mini-docker").client(contender, "version")


class Podman:
    """Podman with stores of its own. It has no daemon; every command is a whole engine."""

    def __init__(self, sitting: Sitting) -> None:
        self.cgroup = f"/{sitting.cgroup('podman')}"
        self._room = SideRoom()
        folder = sitting.folder("podman")
        self._log = folder / "log"
        self._command = [
            "podman", "--root", str(folder / "root"), "--runroot", str(folder / "run"),
            "--tmpdir", str(folder / "tmp"), "--cgroup-manager", "cgroupfs", "--events-backend", "none",
        ]  # fmt: skip
        archive = folder / "busybox.tar"
        archive.write_bytes(sitting.busybox)
        self.client("import", str(archive), "busybox")

    def client(self, *words: str) -> float:
        """Run a command: the seconds it took.

        Raises:
            RuntimeError: it failed; with its last line.
        """
        return self._room.run(lambda: self._run(*words))

    def close(self) -> None:
        """Leave neither mounts nor cgroups."""
        self._room.close()
        remove_cgroups(self.cgroup.strip("/"))

    def _run(self, *words: str) -> float:
        with self._log.open("ab") as log:
            began = time.perf_counter()
            done = subprocess.run(
                [*self._command, *words], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
            )
            took = time.perf_counter() - began
        if done.returncode != 0:
            raise RuntimeError(f"podman {words[0]} failed: {self._log.read_text().strip().splitlines()[-1:]}")
        return took


def benches() -> list[Bench]:
    """This module's benches, in the order of the report."""
    with_podman = ("mini-docker", "dockerd", "podman")
    return [
        Run("run-none", "docker run --rm, network none", with_podman, faster(7, "issue 4"), quick_rounds=5),
        Run("run-bridge", "docker run --rm, network bridge", goal=faster(10, "issue 4"), quick_rounds=5,
            network="bridge"),
        Run("run-host", "docker run --rm, network host", quick_rounds=5, network="host"),
        Run("run-own", "run --rm, network none, our daemon with our client", quick_rounds=5, client="mini-docker"),
        Exec("exec", "docker exec in a running container", goal=faster(2.5, "issue 4")),
        Version("version", "mini-docker version beside docker version, both with our daemon",
                ("mini-docker", "docker"), within(1.5, "docker", "issue 4"), rounds=40, quick_rounds=15, warm_up=2),
    ]  # fmt: skip
