"""Beside the runtimes: a start through the daemon, and our OCI command, against crun and runc with an equal bundle."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.bundle import make_bundle
from bench.contract import Bench
from bench.daemons import PROJECT, remove_cgroups
from bench.goal import within
from bench.side_room import SideRoom
from bench.sitting import Sitting

OWN_RUNTIME = PROJECT / ".venv/bin/mini-runc"


@dataclass
class StartToExit(Bench):
    """Ours through the API, from the start request to the known exit; a runtime's whole ``run``."""

    def prepare(self, sitting: Sitting, contender: str) -> None:
        if contender == "mini-docker":
            self.state[contender] = sitting.daemon(contender).api()
        else:
            self.state[contender] = Runtime(sitting, [contender])
            self.state[contender].run()

    def once(self, sitting: Sitting, contender: str) -> float:
        if contender != "mini-docker":
            took: float = self.state[contender].run()
            return took
        api = self.state[contender]
        container = api.create("true")
        began = time.perf_counter()
        api.start(container)
        api.wait(container)
        took = time.perf_counter() - began
        api.remove(container)
        return took

    def tidy(self, sitting: Sitting, contender: str) -> None:
        made = self.state.pop(contender, None)
        if made is not None:
            made.close()


@dataclass
class RuntimeRun(Bench):
    """A runtime's command line, ours among them."""

    def prepare(self, sitting: Sitting, contender: str) -> None:
        own = contender == "mini-docker"
        if own and not OWN_RUNTIME.exists():
            raise FileNotFoundError(f"{OWN_RUNTIME} is not installed: run script/setup")
        self.state[contender] = Runtime(sitting, [str(OWN_RUNTIME)] if own else [contender])
        self.state[contender].run()

    def once(self, sitting: Sitting, contender: str) -> float:
        took: float = self.state[contender].run()
        return took

    def tidy(self, sitting: Sitting, contender: str) -> None:
        made = self.state.pop(contender, None)
        if made is not None:
            made.close()


class Runtime:
    """An OCI runtime with a bundle, a state folder and a cgroup of its own."""

    def __init__(self, sitting: Sitting, command: Sequence[str]) -> None:
        self._cgroup = sitting.cgroup(Path(command[0]).name)
        self._room = SideRoom()
        self._bundle = sitting.folder("bundle")
        make_bundle(self._bundle, sitting.busybox, platform.machine(), f"{self._cgroup}/container")
        self._command = [
            *command, "--root", str(self._bundle / "state"), "run", "--bundle", str(self._bundle), "bench",
        ]  # fmt: skip

    def run(self) -> float:
        """One whole run: seconds.

        Raises:
            RuntimeError: it failed; with its words.
        """
        return self._room.run(self._run)

    def close(self) -> None:
        """Remove its cgroup."""
        self._room.close()
        remove_cgroups(self._cgroup)

    def _run(self) -> float:
        began = time.perf_counter()
        done = subprocess.run(
            self._command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        took = time.perf_counter() - began
        if done.returncode != 0:
            raise RuntimeError(f"{Path(self._command[0]).name}: {done.stderr.decode(errors='replace').strip()}")
        return took


def benches() -> list[Bench]:
    """This module's benches, in the order of the report."""
    beside = ("mini-docker", "crun", "runc")
    return [
        StartToExit(
            "start-to-exit", "start to exit by the API, network none, beside a runtime's run of an equal bundle",
            beside, within(1.2, "crun", "issue 4"), rounds=60, quick_rounds=20, warm_up=3,
        ),
        RuntimeRun(
            "oci-run", "mini-runc run, a fresh interpreter, beside other runtimes' run", beside,
            within(3.0, "runc", "issue 6"), rounds=30, quick_rounds=10,
        ),
    ]  # fmt: skip
