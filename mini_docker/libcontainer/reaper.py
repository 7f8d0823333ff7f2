"""The small init of ``--init``: PID 1 that passes signals on and buries orphans, for commands that do neither.

It knows processes and signals, not containers. Source: pid_namespaces(7), "The namespace init process"; wait(2).
"""

from __future__ import annotations

import os
import signal
import socket

from mini_docker.linux import constants as c
from mini_docker.linux.kernel import Kernel


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
