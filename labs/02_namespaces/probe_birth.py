"""A birth, watched from outside: /proc says in which namespaces a process is, whatever the code says about itself."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from mini_docker.errors import MiniDockerError
from mini_docker.libcontainer.config import ContainerSpec, IdMap, Namespace, ProcessSpec
from mini_docker.libcontainer.dialogue import Mapped, hear, say
from mini_docker.libcontainer.namespaces import NamespacePlan
from mini_docker.libcontainer.parent import Newborn, Parent, _id_map, bury
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.linux_kernel import LinuxKernel

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces: needs root")]

FILES = {"pid": "pid", "mount": "mnt", "uts": "uts", "ipc": "ipc", "network": "net", "user": "user"}


def namespace_of(pid: int, kind: str) -> str:
    """The namespace's identity, as the kernel gives it."""
    return os.readlink(f"/proc/{pid}/ns/{FILES[kind]}")


def wait_for_a_signal(end: socket.socket) -> NoReturn:
    """The life of a newborn in these probes: hear the first word, say whether it was the right one, and wait."""
    message, _ = hear(end)
    end.send(b"heard" if isinstance(message, Mapped) else b"wrong")
    signal.pause()
    os._exit(0)


def bear(
    parent: Parent, flags: int, joins: tuple[tuple[str, int], ...] = (), spec: ContainerSpec | None = None
) -> Newborn:
    """Bear a process, and do not come back before it heard its word."""
    kernel = LinuxKernel()
    mine = tuple(join for join in joins if join[1] != c.CLONE_NEWUSER)
    plan = NamespacePlan(flags, mine, (), 0, tuple(join for join in joins if join not in mine))
    newborn = parent._clone(kernel, plan, -1, wait_for_a_signal, ())
    with parent._burying(newborn):
        if spec is not None:
            kernel.write_file(f"/proc/{newborn.pid}/uid_map", _id_map(spec.uid_map))
            kernel.write_file(f"/proc/{newborn.pid}/gid_map", _id_map(spec.gid_map))
        say(newborn.dialogue, Mapped())
    newborn.dialogue.settimeout(10)
    assert newborn.dialogue.recv(10) == b"heard"
    return newborn


@pytest.fixture
def parent() -> Iterator[Parent]:
    """The parent half, in this very process; it is where it was when the test is over."""
    before = os.readlink("/proc/self/ns/pid_for_children")
    made = Parent(LinuxKernel())
    yield made
    os.close(made._own_pid_namespace)
    assert os.readlink("/proc/self/ns/pid_for_children") == before, (
        "the parent did not come back to its own pid namespace"
    )


def test_exactly_the_chosen_namespaces_are_new(parent: Parent) -> None:
    """Random choices: what was asked for differs from ours, all else is shared."""
    for _ in range(8):
        chosen = {kind for kind in FILES if kind != "user" and secrets.randbelow(2)}
        newborn = bear(parent, sum(c.NAMESPACE_FLAGS[kind] for kind in chosen))
        new = {kind for kind in FILES if namespace_of(newborn.pid, kind) != namespace_of(os.getpid(), kind)}
        bury(LinuxKernel(), newborn)
        assert new == chosen


def test_a_joined_pid_namespace_is_the_others_and_only_for_the_child(parent: Parent) -> None:
    """The child is born beside the other's processes; the parent's next child is not."""
    first = bear(parent, c.CLONE_NEWPID)
    second = bear(parent, 0, ((f"/proc/{first.pid}/ns/pid", c.CLONE_NEWPID),))
    third = bear(parent, 0)
    places = [namespace_of(newborn.pid, "pid") for newborn in (first, second, third)]
    levels = [
        line.split() for line in Path(f"/proc/{second.pid}/status").read_text().splitlines() if line.startswith("NSpid")
    ]
    for newborn in (third, second, first):
        bury(LinuxKernel(), newborn)
    assert places[0] == places[1] != places[2] == os.readlink("/proc/self/ns/pid")
    assert levels[0][-1] == "2", "it is the second process of the namespace that it was born into"


def test_the_id_maps_are_written_before_the_word(parent: Parent) -> None:
    """Random maps: outside the process has the host's id, and the kernel shows the very map."""
    host_id, size = 100_000 + secrets.randbelow(1 << 20), 1 + secrets.randbelow(60_000)
    spec = ContainerSpec(
        ProcessSpec(("true",)),
        (Namespace("user"),),
        uid_map=(IdMap(0, host_id, size),),
        gid_map=(IdMap(0, host_id + 7, size),),
    )
    newborn = bear(parent, c.CLONE_NEWUSER, spec=spec)
    shown = [Path(f"/proc/{newborn.pid}/{name}").read_text().split() for name in ("uid_map", "gid_map")]
    bury(LinuxKernel(), newborn)
    assert shown == [["0", str(host_id), str(size)], ["0", str(host_id + 7), str(size)]]


def test_in_a_joined_user_namespace_a_midwife_bears(parent: Parent) -> None:
    """The child is in the other's user namespace, and this process, which could never have come back, is not."""
    maps = (IdMap(0, 100_000, 10),)
    spec = ContainerSpec(ProcessSpec(("true",)), (Namespace("user"),), uid_map=maps, gid_map=maps)
    first = bear(parent, c.CLONE_NEWUSER, spec=spec)
    second = bear(parent, c.CLONE_NEWUTS, ((f"/proc/{first.pid}/ns/user", c.CLONE_NEWUSER),))
    places = [namespace_of(newborn.pid, "user") for newborn in (first, second)]
    for newborn in (second, first):
        bury(LinuxKernel(), newborn)
    assert places[0] == places[1] != namespace_of(os.getpid(), "user")


def test_a_failed_birth_leaves_no_process_and_no_descriptor(parent: Parent) -> None:
    """A map that the kernel refuses: the newborn is buried, the parent is as before and told why."""
    twice = (IdMap(0, 100_000, 10), IdMap(0, 200_000, 10))
    spec = ContainerSpec(ProcessSpec(("true",)), (Namespace("user"),), uid_map=twice, gid_map=twice)
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises((SyscallError, MiniDockerError)):
        bear(parent, c.CLONE_NEWUSER, spec=spec)
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_failed_join_leaves_no_descriptor(parent: Parent) -> None:
    """The path is no namespace of that kind: the kernel refuses, and all that was opened is closed."""
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(SyscallError, match="EINVAL"):
        bear(parent, 0, (("/proc/self/ns/uts", c.CLONE_NEWPID),))
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_the_child_holds_nothing_of_the_parents(parent: Parent) -> None:
    """Another container's pipe held open in here would keep that container's output from ever ending."""
    reader, writer = os.pipe()
    newborn = bear(parent, 0)
    os.close(writer)
    held = subprocess.run(["ls", "-l", f"/proc/{newborn.pid}/fd"], capture_output=True, text=True, check=True).stdout
    os.set_blocking(reader, False)
    try:
        assert os.read(reader, 1) == b"", f"the child holds the pipe: {held}"
    except BlockingIOError:
        pytest.fail(f"the child holds the pipe open: {held}")
    finally:
        bury(LinuxKernel(), newborn)
        os.close(reader)
