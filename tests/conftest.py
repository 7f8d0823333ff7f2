"""What all suites share: who may run live tests, the leak check at their end, hypothesis' profiles."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.leaks import Footprint, left_since

# Machines that run tests are shared and noisy: a deadline a single example would only cry wolf.
settings.register_profile("native", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("vm", parent=settings.get_profile("native"), max_examples=10)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "native"))


def pytest_configure() -> None:
    """A shell that runs us in the background ignores Ctrl-C, and what we start would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without root a live test is skipped, and says so."""
    if os.geteuid() != 0:
        skip = pytest.mark.skip(reason="needs root: namespaces, mounts and networks are made for real")
        for item in items:
            if "root" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every live test ends with a count of what is left: zero."""
    if "root" not in request.keywords or os.geteuid() != 0:
        yield
        return
    before = Footprint.take()
    yield
    left = left_since(before)
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session")
def busybox_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of Debian's busybox-static: the smallest in which a shell runs."""
    busybox = Path("/bin/busybox")
    if not busybox.exists():
        pytest.skip("busybox-static is not installed")
    root = tmp_path_factory.mktemp("busybox")
    root.chmod(0o755)
    for folder in ("bin", "etc", "tmp", "root", "proc", "sys", "dev"):
        (root / folder).mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "bin/busybox").write_bytes(busybox.read_bytes())
    (root / "bin/busybox").chmod(0o755)
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home/guest:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nguest:x:1000:\nwheel:x:10:guest\n")
    return root
