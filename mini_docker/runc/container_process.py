"""A process of a container as a stranger sees it: not our child, perhaps long gone, its number perhaps reused.

Source: proc(5), /proc/PID/stat; pidfd_open(2).
"""

from __future__ import annotations

import errno
import os
import select

from mini_docker.linux.errors import SyscallError
from mini_docker.linux.kernel import Kernel


def start_time(pid: int) -> int:
    """When the process was born, in clock ticks since boot; 0 when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def is_alive(pid: int, born: int) -> bool:
    """Whether the process born at that time under that number still runs."""
    return pid > 0 and start_time(pid) == born != 0


def kill(kernel: Kernel, pid: int, born: int, number: int) -> bool:
    """Send a signal to exactly that process; False when it is gone."""
    try:
        pidfd = kernel.pidfd_open(pid)
    except SyscallError:
        return False
    try:
        # Looked at after the descriptor is held: from now on the number cannot come to mean another.
        if not is_alive(pid, born):
            return False
        kernel.pidfd_send_signal(pidfd, number)
    except SyscallError as error:
        if error.errno != errno.ESRCH:
            raise
        return False
    finally:
        os.close(pidfd)
    return True


def wait_until_gone(kernel: Kernel, pid: int, born: int, seconds: float) -> bool:
    """Wait for the process's end; False when it lives on."""
    try:
        pidfd = kernel.pidfd_open(pid)
    except SyscallError:
        return True
    try:
        if not is_alive(pid, born):
            return True
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)
