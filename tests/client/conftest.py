"""Fixtures of the client's tests: a cardboard daemon, and ways to run the client against it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fake_daemon import ROOT, FakeDaemon


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    """A fake daemon, which DOCKER_HOST points at."""
    with TemporaryDirectory(prefix="md-client-") as folder:  # short: a unix socket's path has 107 bytes
        fake = FakeDaemon(Path(folder))
        monkeypatch.setenv("DOCKER_HOST", fake.host)
        monkeypatch.setenv("DOCKER_CONFIG", folder)
        yield fake
        fake.close()


@pytest.fixture
def mini_docker(daemon: FakeDaemon) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run ``mini-docker`` as a process of its own."""

    def run(*words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "mini_docker", *words]
        return subprocess.run(
            command, input=input, capture_output=True, timeout=30, cwd=ROOT, env=os.environ, check=False
        )

    return run
