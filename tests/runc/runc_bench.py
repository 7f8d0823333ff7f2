"""mini-runc on the test bench: the command as engines call it, and bundles to call it with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mini_docker.runc.template import example_config

SECONDS = 30.0
ENTRY = """#!{python} -IS
import sys
sys.path.append({package!r})
from mini_docker.runc.main import entry
sys.exit(entry())
"""


def make_command(folder: Path) -> Path:
    """An executable mini-runc that runs this checkout's code."""
    import mini_docker

    script = folder / "mini-runc"
    package = str(Path(mini_docker.__file__).parent.parent)
    script.write_text(ENTRY.format(python=sys.executable, package=package))
    script.chmod(0o755)
    return script


@dataclass
class RuncBench:
    """One runtime command and its own root folder. Containers that a test leaves are deleted at its end."""

    command: str
    folder: Path
    rootfs: Path
    made: list[str] = field(default_factory=list)

    def call(self, *words: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
        """Call the command and wait for it."""
        argv = [self.command, "--root", str(self.folder / "state"), *words]
        return subprocess.run(argv, capture_output=True, timeout=SECONDS, check=False, **more)

    def good(self, *words: str, **more: Any) -> bytes:
        """Call the command, which must succeed; returns its output."""
        done = self.call(*words, **more)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def config(self, *args: str) -> dict[str, Any]:
        """The example config with another command, in a cgroup of the tests' own."""
        config = example_config()
        config["process"].update(args=list(args), terminal=False, env=["PATH=/bin"])
        config["root"] = {"path": str(self.rootfs)}
        return config

    def bundle(self, config: Any) -> tuple[str, str]:
        """A bundle with this config: (container id, the bundle's path)."""
        id_ = f"t{os.urandom(5).hex()}"
        path = self.folder / id_
        path.mkdir()
        if isinstance(config, dict) and isinstance(config.get("linux"), dict):
            config["linux"].setdefault("cgroupsPath", f"/mini-docker-runc-{id_}")
        (path / "config.json").write_text(json.dumps(config))
        self.made.append(id_)
        return id_, str(path)

    def run(self, config: Any, *flags: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a container of this config to its end."""
        id_, path = self.bundle(config)
        return self.call("run", "--bundle", path, *flags, id_, **more)

    def create(self, config: Any, *flags: str, **more: Any) -> str:
        """Create a container of this config, its output going nowhere; returns its id."""
        id_, path = self.bundle(config)
        log = self.folder / f"{id_}.out"
        with log.open("wb") as output:
            argv = [self.command, "--root", str(self.folder / "state"), "create", "--bundle", path, *flags, id_]
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=SECONDS, check=False, **more
            )
        assert done.returncode == 0, log.read_text()
        return id_

    def state(self, id_: str) -> dict[str, Any]:
        """What ``state`` says."""
        answer: dict[str, Any] = json.loads(self.good("state", id_))
        return answer

    def output(self, id_: str) -> str:
        """What a created container wrote so far."""
        return (self.folder / f"{id_}.out").read_text()

    def close(self) -> None:
        """Delete what is left."""
        for id_ in self.made:
            self.call("delete", "--force", id_)
