"""podman, with images of its own in a folder of the test's: nothing of the machine's podman is read or written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


class Podman:
    """The command.

    Args:
        folder: its images, its state and its home go below. Its name is short: podman refuses a long one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._command = [
            "podman", "--root", str(folder / "root"), "--runroot", str(folder / "run"),
            "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
        ]  # fmt: skip
        # Otherwise what the machine's policy forbids would be forbidden here.
        (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def run(self, *words: str) -> str:
        """Run a command; returns what it said."""
        environment = {**os.environ, "HOME": str(self._folder), "TMPDIR": str(self._folder)}
        done = subprocess.run(
            [*self._command, *words], check=False, capture_output=True, text=True, timeout=100, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def pull(self, name: str, *flags: str) -> str:
        """Pull; returns the image's id, in our form."""
        return "sha256:" + self.run("pull", "-q", *self._policy(), *flags, name)

    def push(self, image: str, name: str, *flags: str) -> str:
        """Push; returns the digest that the registry knows it by."""
        said = self._folder / "digest"
        self.run("push", "-q", *self._policy(), "--digestfile", str(said), *flags, image, f"docker://{name}")
        return said.read_text()

    def digest(self, image: str) -> str:
        """The digest that podman shows."""
        (found,) = json.loads(self.run("image", "inspect", image))
        return str(found["Digest"])

    def _policy(self) -> list[str]:
        return ["--signature-policy", str(self._folder / "policy.json")]


@contextmanager
def podman() -> Iterator[Podman]:
    """A podman while the block runs. Skips where there is none, or where it may not work."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    if os.geteuid() != 0:
        pytest.skip("podman without root needs user namespaces and a configuration of the user's")
    with TemporaryDirectory(prefix="podman-", dir="/tmp") as folder:
        yield Podman(Path(folder))
