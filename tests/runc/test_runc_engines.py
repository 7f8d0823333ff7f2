"""mini-runc as the runtime of the engines that people use: Docker, containerd and podman, from Debian's packages.

Each engine gets folders and namespaces of its own, and is ended with all that it made.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.runc.runc_bench import make_command

pytestmark = pytest.mark.root
SECONDS = 60.0


def call(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Call a command; its output comes with both streams in one."""
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


@contextlib.contextmanager
def daemon(words: Sequence[str], ready: Sequence[str], folder: Path) -> Iterator[None]:
    """A daemon in network and mount namespaces of its own, until the block ends."""
    script = 'mount --make-rslave / && ip link set lo up && exec "$@"'
    with (folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", script, "sh", *words], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + SECONDS
        while call(*ready).returncode:
            assert process.poll() is None, (folder / "daemon.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the daemon does not answer"
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)


def need(command: str) -> str:
    """The command's path; without it the test is skipped."""
    path = shutil.which(command)
    if path is None:
        pytest.skip(f"{command} is not installed")
    return path


def test_docker(tmp_path: Path, busybox_root: Path) -> None:
    """docker run, exec, a terminal, networking through the prestart hook, limits, pause: all of it on mini-runc."""
    need("dockerd")
    host = f"unix://{tmp_path}/d.sock"
    words = (
        "dockerd", "--data-root", f"{tmp_path}/root", "--exec-root", f"{tmp_path}/run", "-H", host,
        "-p", f"{tmp_path}/pid", "--storage-driver", "vfs", "--cgroup-parent", "/mini-docker-engines",
        "--add-runtime", f"mini={make_command(tmp_path)}", "--default-runtime", "mini",
    )  # fmt: skip

    def docker(*arguments: str) -> tuple[int, bytes]:
        done = call("docker", "-H", host, *arguments)
        return done.returncode, done.stdout

    with daemon(words, ("docker", "-H", host, "version"), tmp_path):
        archive = tmp_path / "image.tar"
        subprocess.run(["tar", "-C", busybox_root, "-cf", archive, "."], check=True)
        assert docker("import", str(archive), "box")[0] == 0
        assert docker("run", "--rm", "box", "sh", "-c", "echo out; exit 7") == (7, b"out\n")
        code, out = docker("run", "--rm", "box", "nope")
        assert code == 127
        assert b"executable file not found in $PATH" in out
        assert docker("run", "--rm", "-t", "box", "tty") == (0, b"/dev/pts/0\r\n")
        assert b"172.17.0." in docker("run", "--rm", "box", "ip", "addr", "show", "eth0")[1]
        assert docker("run", "--rm", "-m", "32m", "box", "tail", "/dev/zero")[0] == 137
        assert docker("run", "--rm", "-u", "1000:10", "--init", "box", "id", "-u") == (0, b"1000\n")
        assert docker("run", "-d", "--name", "one", "box", "sleep", "1000")[0] == 0
        assert docker("exec", "one", "sh", "-c", "hostname >/dev/null; exit 4") == (4, b"")
        assert docker("exec", "-t", "one", "tty") == (0, b"/dev/pts/0\r\n")
        assert b"sleep 1000" in docker("top", "one")[1]
        assert docker("pause", "one")[0] == 0
        assert b"(Paused)" in docker("ps")[1]
        assert docker("unpause", "one")[0] == 0
        assert docker("rm", "-f", "one")[0] == 0
    remove_cgroup("mini-docker-engines")


def test_containerd(tmp_path: Path, busybox_root: Path) -> None:
    """ctr's tasks: so any orchestrator that stands on containerd can run on mini-runc."""
    need("containerd")
    config = tmp_path / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{tmp_path}/root"\nstate = "{tmp_path}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{tmp_path}/c.sock"\n'
    )
    runtime = ("--runc-binary", str(make_command(tmp_path)), "--cgroup", "/mini-docker-ctr")
    client = ("ctr", "--address", f"{tmp_path}/c.sock")

    def ctr(*arguments: str) -> tuple[int, bytes]:
        done = call(*client, *arguments)
        return done.returncode, done.stdout

    with daemon(("containerd", "--config", str(config), "--log-level", "error"), (*client, "version"), tmp_path):
        rootfs = ("--rootfs", str(busybox_root))
        assert ctr("run", "--rm", *runtime, *rootfs, "one", "/bin/sh", "-c", "echo out; exit 5") == (5, b"out\n")
        assert ctr("run", "--detach", "--null-io", *runtime, *rootfs, "two", "/bin/sleep", "1000")[0] == 0
        assert b"RUNNING" in ctr("task", "ls")[1]
        assert ctr("task", "exec", "--exec-id", "e1", "two", "/bin/echo", "hello") == (0, b"hello\n")
        assert ctr("task", "pause", "two")[0] == 0
        assert b"PAUSED" in ctr("task", "ls")[1]
        assert ctr("task", "resume", "two")[0] == 0
        assert ctr("task", "rm", "--force", "two")[0] == 0
        assert ctr("container", "rm", "two")[0] == 0


def test_podman(tmp_path: Path, busybox_root: Path) -> None:
    """podman calls the runtime through conmon, with no daemon in between."""
    need("podman")
    words = (
        "unshare", "--mount", "podman", "--runtime", str(make_command(tmp_path)), "--root", f"{tmp_path}/root",
        "--runroot", f"{tmp_path}/run", "--tmpdir", f"{tmp_path}/tmp", "--cgroup-manager", "cgroupfs",
        "--events-backend", "file", "--storage-driver", "vfs", "run", "--rm", "--network", "none",
        "--cgroup-parent", "/mini-docker-podman",
    )  # fmt: skip
    try:
        one = call(*words, "--rootfs", str(busybox_root), "sh", "-c", "echo out; exit 6")
        two = call(*words, "--tmpfs", "/etc", "--user", "1000", "--rootfs", str(busybox_root), "id", "-u")
    finally:
        remove_cgroup("mini-docker-podman")
    # A warning of a limit that this machine cannot give may stand before it.
    assert (one.returncode, one.stdout.splitlines()[-1:]) == (6, [b"out"]), one.stdout
    assert (two.returncode, two.stdout.splitlines()[-1:]) == (0, [b"1000"]), two.stdout


def remove_cgroup(name: str) -> None:
    """Engines leave the parent of their containers' groups, and their monitors end a moment after them."""
    deadline = time.monotonic() + SECONDS
    for parent in Path("/sys/fs/cgroup").glob(f"*/{name}"):
        for directory in (*sorted(parent.glob("**/"), reverse=True),):
            while directory.exists():
                with contextlib.suppress(OSError):
                    directory.rmdir()
                assert time.monotonic() < deadline, f"{directory} is still in use"
