"""The small init of ``--init``: PID 1 that passes signals on and buries orphans, for commands that do neither.

It knows processes and signals, not containers. Source: pid_namespaces(7), "The namespace init process"; wait(2).
"""

from __future__ import annotations

import os
import signal
import socket

from mini_docker.linux import constants as c
from mini_docker.linux.kernel import Kernel

NAME = b"mini-init"


def take_name() -> None:
    """Be shown in ps under a name of its own, in place of the parent's command line and environment.

    They tell of the host's folders, and whoever lives beside this process for long could read them. Called while it
    may still write to its own files in /proc. Source: proc(5), /proc/PID/stat.
    """
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()  # from the third one on, the state
    arg_start, arg_end, env_start, env_end = (int(word) for word in fields[45:49])
    memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(memory, NAME.ljust(arg_end - arg_start, b"\0")[: arg_end - arg_start], arg_start)
        os.pwrite(memory, bytes(env_end - env_start), env_start)
    finally:
        os.close(memory)
    comm = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(comm, NAME)
    finally:
        os.close(comm)


def reap_for_child(kernel: Kernel, dialogue: socket.socket, outlives_parent: bool) -> None:
    """``--init``: stay as PID 1, pass signals on and reap orphans; return only in the child.

    PID 1 of a namespace gets no signal that it has no handler for, and must reap every orphan: few
    commands are written for that.
    """
    caught = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setpgid(0, 0)
        return
    dialogue.close()
    if not outlives_parent:
        kernel.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
    while True:
        arrived = signal.sigwait(caught)
        if arrived != signal.SIGCHLD:
            os.kill(child, arrived)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
