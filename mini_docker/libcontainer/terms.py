"""What the two halves agree on before a birth: all that init, or a further process, is told.

The parent writes it down, and the newborn, a fork of the parent, has it in memory. It knows words and does nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from mini_docker.dataclasses import dataclass
from mini_docker.libcontainer.config import ContainerSpec
from mini_docker.linux.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Terms:
    """What a container's init and its further processes are told alike.

    Attributes:
        seccomp: the compiled filter; empty for none.
        last_capability: the highest capability number of this kernel.
        join_cgroups: moves the calling process into the container's cgroups, through the door that it is given; the
            newborn calls it first. (On cgroup v1 a process that moves *itself* is moved in 0.2 ms; one that is moved
            by another makes the kernel stop all forks, for up to 11.) None when it was born there (v2).
        keyring: name of the session keyring (keyrings(7)) to live with; empty keeps the parent's, whose keys the
            container could then use.
        preserved: how many descriptors from 3 on the command inherits.
        outlives_parent: the command lives on when its parent ends; else it is killed then, since nobody would reap it.
        narration: descriptor that takes narrated sentences, or -1.
        dropped: numbers of capabilities that the newborn's bounding set lacks already.
    """

    seccomp: bytes
    last_capability: int
    join_cgroups: Callable[[Kernel], None] | None = None
    keyring: str = ""
    preserved: int = 0
    outlives_parent: bool = False
    narration: int = -1
    dropped: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Birth:
    """All that a container's init is told at birth.

    Attributes:
        spec: what the container is.
        root: descriptor of its root mount, or -1; then *root_path* says where it lies on the host.
        stage: an existing directory of the host, for the pivot.
        gate: descriptor of a listening socket, or -1. A parked init turns to it, away from the parent that bore it:
            who connects is its parent from then on, and may come much later.
        before_pivot: called with all namespaces made and the host's files still in sight.
        before_exec: called last, with the privileges that the command will have.
    """

    spec: ContainerSpec
    root: int
    root_path: str
    stage: str
    terms: Terms
    gate: int = -1
    before_pivot: Callable[[], None] | None = None
    before_exec: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """All that a further process is told about the container it enters.

    Attributes:
        pid, pidfd: of the container's init.
        flags: CLONE_NEW* of the namespaces to enter.
    """

    pid: int
    pidfd: int
    flags: int
    terms: Terms


Join = Callable[[str, Kernel], None]
"""Moves the calling process into the cgroups of a path, through the door that it is given (`CgroupManager.join`)."""

Stdio = tuple[int, int, int]
"""Descriptors for standard input, output and error."""
