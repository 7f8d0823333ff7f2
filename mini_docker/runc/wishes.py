"""How an engine wishes a process to be begun, and the terms of birth that follow from it."""

from __future__ import annotations

import os

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid
from mini_docker.libcontainer.config import ProcessSpec
from mini_docker.libcontainer.terms import Stdio, Terms
from mini_docker.linux.kernel import Kernel

OWN_STREAMS: Stdio = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a process is to be begun.

    Attributes:
        detach: leave it alone once it runs.
        console_socket: where to send its terminal's master; empty holds it ourselves.
        pid_file: where to write its pid; empty for nowhere.
        preserved: how many descriptors from 3 on it inherits.
        new_keyring: give it the container's own session keyring.
    """

    detach: bool = False
    console_socket: str = ""
    pid_file: str = ""
    preserved: int = 0
    new_keyring: bool = True

    def check(self, terminal: bool) -> None:
        """See that a terminal has somewhere to go.

        Raises:
            Invalid: it has not, or there is none to send.
        """
        if self.console_socket and not (self.detach and terminal):
            raise Invalid("cannot use console socket if mini-runc will not detach or allocate tty")
        if self.detach and terminal and not self.console_socket:
            raise Invalid("cannot allocate tty if mini-runc will detach without setting console socket")

    def terms(self, kernel: Kernel, container: str, process: ProcessSpec) -> Terms:
        """The terms on which a process of *container* is born: whoever begins it will not be there for long."""
        return Terms(
            _compile(process),
            int(kernel.read_file("/proc/sys/kernel/cap_last_cap")),
            keyring=f"_ses.{container}" if self.new_keyring else "",
            preserved=self.preserved,
            outlives_parent=True,
        )

    def write_pid_file(self, pid: int) -> None:
        """Write the pid where it was wished for, at once whole: an engine may be watching for it."""
        if not self.pid_file:
            return
        folder, name = os.path.split(self.pid_file)
        temporary = os.path.join(folder, f".{name}")
        with open(temporary, "w") as file:
            file.write(str(pid))
        os.replace(temporary, self.pid_file)


def _compile(process: ProcessSpec) -> bytes:
    if process.seccomp is None:
        return b""
    from mini_docker.libcontainer.seccomp.compiler import compile_profile

    machine = os.uname()
    major, minor = machine.release.split(".")[:2]
    kernel = int(major), int("".join(digit for digit in minor if digit.isdigit()))
    return compile_profile(process.seccomp, process.capabilities.bounding, machine.machine, kernel)
