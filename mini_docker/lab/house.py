"""A private house: a daemon of its own, for probes that ask whether a learner's code runs a whole Docker.

Everything lies in one scratch folder, and nothing is left. It drives the daemon as a person would, by the client's
command line; it knows nothing of what happens inside.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import TracebackType

from mini_docker import launcher
from mini_docker.errors import Unavailable
from mini_docker.lab.grade import PATIENCE_VARIABLE

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "cat", "echo", "env", "hostname", "id", "ip", "ls", "mount", "ps", "readlink", "rm", "sleep", "wc")
START_SECONDS, ANSWER_SECONDS = 20.0, 60.0
"""How long a daemon may take to start and a command to end, on a machine as quick as most (`PATIENCE_VARIABLE`)."""


class House:
    """A daemon while the block runs, with one image, ``busybox``.

    Args:
        folder: an empty scratch folder.
        flags: more flags for the daemon, such as ``-s vfs``.

    Raises (on entering):
        Unavailable: the daemon did not start; the message is the end of its log.
    """

    def __init__(self, folder: Path, *flags: str) -> None:
        self._folder = folder
        self._flags = flags
        self._host = f"unix://{folder}/daemon.sock"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._forwarding = ""
        self._patience = float(os.environ.get(PATIENCE_VARIABLE, "1"))

    def __enter__(self) -> House:
        self._forwarding = _FORWARDING.read_text()
        folder = self._folder
        words = ["-g", f"{folder}/root", "--exec-root", f"{folder}/run", "-H", self._host, "-p", f"{folder}/pid"]
        with open(folder / "log", "wb") as log:
            self._daemon = subprocess.Popen(
                launcher.command("daemon", *words, *self._flags), env=launcher.environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            self._await_daemon()
            self._import_busybox()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def address(self) -> str:
        """The path of the daemon's socket."""
        return self._host.removeprefix("unix://")

    @property
    def daemon_pid(self) -> int:
        """The daemon's process id."""
        assert self._daemon is not None
        return self._daemon.pid

    def run(self, *words: str) -> str:
        """Run the client with *words*; its standard output.

        Raises:
            AssertionError: it failed; the message has what it said and the end of the daemon's log.
        """
        done = subprocess.run(
            self._argv(*words), capture_output=True, text=True, timeout=ANSWER_SECONDS * self._patience, check=False
        )
        assert done.returncode == 0, f"mini-docker {' '.join(words)}: {done.stderr.strip()}\n{self.log()}"
        return done.stdout

    def log(self) -> str:
        """The end of the daemon's log."""
        return (self._folder / "log").read_text(errors="replace")[-3000:]

    def _argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "mini_docker", "-H", self._host, *words]

    def _import_busybox(self) -> None:
        done = subprocess.run(
            self._argv("import", "-", "busybox"), input=busybox_archive(), capture_output=True, check=False
        )
        if done.returncode:
            raise Unavailable(f"the daemon took no image: {done.stderr.decode(errors='replace')}\n{self.log()}")

    def _await_daemon(self) -> None:
        assert self._daemon is not None
        deadline = time.monotonic() + START_SECONDS * self._patience
        while time.monotonic() < deadline and self._daemon.poll() is None:
            if subprocess.run(self._argv("version"), capture_output=True, check=False).returncode == 0:
                return
        raise Unavailable(f"the daemon did not start: {self.log()}")

    def _close(self) -> None:
        assert self._daemon is not None
        if self._daemon.poll() is None:
            names = subprocess.run(self._argv("ps", "-aq"), capture_output=True, text=True, check=False).stdout.split()
            if names:
                subprocess.run(self._argv("rm", "-f", *names), capture_output=True, check=False)
            self._daemon.terminate()
            try:
                self._daemon.wait(20)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
        _FORWARDING.write_text(self._forwarding)


_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def busybox_archive() -> bytes:
    """A root file system in which a shell runs, as a tar.

    Raises:
        Unavailable: there is no busybox to make it of.
    """
    if not BUSYBOX.exists():
        raise Unavailable("the package busybox-static is not installed")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("bin", "etc", "tmp", "root", "proc", "sys", "dev"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        archive.add(os.path.realpath(BUSYBOX), "bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return buffer.getvalue()
