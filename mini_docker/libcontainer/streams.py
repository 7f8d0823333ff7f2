"""Whose the streams are: a process's three descriptors, put in their places and given to its user.

It knows descriptors and ids, not what flows. Source: pipe(7), user_namespaces(7).
"""

from __future__ import annotations

import os
import stat

from mini_docker.libcontainer.terms import Stdio
from mini_docker.linux.kernel import Kernel


def take_stdio(stdio: Stdio, uid: int) -> None:
    """Make the descriptors the process's standard input, output and error, and the user's own where they are pipes."""
    for target, descriptor in enumerate(stdio):
        # A user other than root may open /dev/stdout by name only if the pipe is its own. Never a
        # device: the owner of the host's /dev/null is not ours to change.
        if uid and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.fchown(descriptor, uid, -1)
        os.dup2(descriptor, target)


def give_pipes(stdio: Stdio, uid: int, gid: int) -> None:
    """Make the pipes among the streams the own ones of a user namespace's root, given by his ids on the host.

    He has no power over what belongs to a user or a group that he has no id for: he could not hand them on.
    """
    for descriptor in stdio:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.fchown(descriptor, uid, gid)


def root_outside(kernel: Kernel, pid: int, kind: str) -> int:
    """The id that root of the process's user namespace has out here."""
    for line in kernel.read_file(f"/proc/{pid}/{kind}_map").splitlines():
        inside, outside, _ = map(int, line.split())
        if inside == 0:
            return outside
    return 0
