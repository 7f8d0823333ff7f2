"""The next container's init is born before anybody asks for it; nobody can tell by looking."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.spec import Surroundings, resources_of
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.config import ContainerSpec, Namespace, ProcessSpec
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.supervisor.blueprint import Blueprint, write
from mini_docker.supervisor.protocol import SOCKET_NAME, FrameReader, send
from tests.house.house import House
from tests.house.test_outliving import lives, wait_for

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        find_hierarchy().version != 1,
        reason="nothing is born ahead on cgroup v2: a process is born into its group there",
    ),
]

WALLS = (
    "cat /proc/self/status /proc/self/mountinfo /proc/self/cgroup /proc/self/limits; ls -l /proc/self/fd /dev; id; "
    "head -c 1 /proc/kcore /proc/keys /proc/timer_list 2>&1; "
    "ls /sys/firmware /sys/fs/cgroup/*; head -n 1 /sys/fs/cgroup/*/tasks; "
    "touch /sys/x /sys/fs/cgroup/x /proc/sys/x /dev/x /dev/shm/x 2>&1; true"
)


def supervisor(house: House) -> int:
    """The pid of the house's supervisor."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        parent = int(process.name)
        if b"supervisor" in words and str(house.folder / "run").encode() in words and not is_child(parent, words):
            return parent
    raise AssertionError("no supervisor runs")


def is_child(pid: int, words: list[bytes]) -> bool:
    """Whether it is a fork of the supervisor, which still has its command line."""
    parent = parent_of(pid)
    return Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0") == words


def parent_of(pid: int) -> int:
    """The parent's pid."""
    match = re.search(r"^PPid:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1])


def unborn(house: House) -> list[int]:
    """Who waits for a name: the supervisor's children while no container runs."""
    pid = supervisor(house)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if lives(int(child))]


def expecting(house: House) -> int:
    """The one that waits, once there is one."""
    wait_for(lambda: len(unborn(house)) == 1)
    return unborn(house)[0]


def cgroups_of(pid: int) -> set[str]:
    """Where a process is, in every hierarchy with controllers or a name."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {line.split(":", 2)[2] for line in lines if not line.startswith("0::")}


def cradles() -> set[str]:
    """Those of every supervisor of this machine."""
    return {path.name for root in find_hierarchy().directories() for path in Path(root).glob("mini-docker/waiting-*")}


def restart(house: House) -> None:
    """A supervisor without containers ends with its daemon; the next one has seen none yet."""
    house.stop()
    house.start()


def test_the_next_init_was_born_before_it_was_asked_for(house: House) -> None:
    """And a fresh supervisor keeps nobody."""
    restart(house)
    assert unborn(house) == []
    house.ours("run", "--rm", "busybox", "true")
    waiting = expecting(house)
    started = house.ours("run", "-d", "--name", "cc", "busybox", "sleep", "1000")
    assert started.code == 0, started.err
    found = house.inspect("cc")
    assert found["State"]["Pid"] == waiting
    assert cgroups_of(waiting) == {f"/mini-docker/{found['Id']}"}
    house.ours("rm", "-f", "cc")


def test_it_lies_in_a_cradle_that_goes_with_it(house: House) -> None:
    """Whoever is not needed leaves no cgroup."""
    before = cradles()
    house.ours("run", "--rm", "busybox", "true")
    waiting = expecting(house)
    wait_for(lambda: len(cgroups_of(waiting)) == 1)
    (own,) = {path.rpartition("/")[2] for path in cgroups_of(waiting)}
    assert own in cradles()
    house.ours("run", "--rm", "--network", "host", "busybox", "true")  # of another kind: it makes way
    wait_for(lambda: own not in cradles())
    expecting(house)
    restart(house)
    wait_for(lambda: cradles() <= before)


def test_a_container_of_an_old_name_is_born_on_demand(house: House) -> None:
    """A cgroup that somebody left there is taken over, as ever, and the one that waited is let go."""
    house.ours("create", "--name", "cc", "busybox", "sleep", "1000")
    house.ours("run", "--rm", "busybox", "true")
    waiting = expecting(house)
    path = f"mini-docker/{house.inspect('cc')['Id']}"
    taken = Path(find_hierarchy().directories()[-1], path)
    taken.mkdir()
    assert house.ours("start", "cc").code == 0
    pid = house.inspect("cc")["State"]["Pid"]
    assert pid != waiting
    assert cgroups_of(pid) == {f"/{path}"}
    wait_for(lambda: not lives(waiting))
    house.ours("rm", "-f", "cc")
    assert not taken.exists()


def test_the_limits_hold_of_one_that_waited(house: House) -> None:
    """Its cradle has had them from the beginning; what it holds while it waits counts against six megabytes, too."""
    for limit in (6, 40):
        options = ("-m", f"{limit}m", "--pids-limit", "7", "--cpu-shares", str(limit), "--name", "cc")
        for _ in range(2):
            waiting = unborn(house)
            house.ours("run", "-d", *options, "busybox", "sleep", "1000")
            found = house.inspect("cc")
            files = (
                Path(root, "mini-docker", found["Id"], file)
                for root in find_hierarchy().directories()
                for file in ("memory.limit_in_bytes", "pids.max", "cpu.shares")
            )
            seen = {file.read_text().strip() for file in files if file.exists()}
            assert seen == {str(limit << 20), "7", str(limit)}
            house.ours("rm", "-f", "cc")
            wait_for(lambda waiting=waiting: unborn(house) not in ([], waiting))
        assert found["State"]["Pid"] in waiting


def test_nobody_inside_can_tell(house: House) -> None:
    """The walls of a container whose init was born ahead are those of one born on demand, but for its own names."""

    def walls() -> str:
        out = house.ours(
            "run", "--rm", "--name", "same", "--hostname", "same", "-m", "64m", "busybox", "sh", "-c", WALLS
        )
        assert out.code == 0, out.err
        seen = re.sub(r"[0-9a-f]{64}", "ID", out.out)
        seen = re.sub(r"^(\d+ \d+ )?\d+:\d+ |master:\d+|-on-\S+|upperdir=\S+", "", seen, flags=re.MULTILINE)
        volatile = (
            r"^(Vm|Rss|Hugetlb|voluntary|nonvoluntary|SigQ|Cpus|Mems|Ngid|NStgid|Pid|PPid|Tgid|NSpid|NSpgid|NSsid).*\n"
        )
        return re.sub(
            r"\d\d:\d\d|\b\d+ \d+ \d+:\d+|pipe:\[\d+\]|minor:\d+", "", re.sub(volatile, "", seen, flags=re.MULTILINE)
        )

    restart(house)
    assert unborn(house) == []
    on_demand = walls()
    expecting(house)
    # Sorted: since Linux 6.8 mountinfo lists mounts by age, and his are partly older than his root.
    assert sorted(walls().splitlines()) == sorted(on_demand.splitlines())


def test_what_was_mounted_meanwhile_is_seen(house: House) -> None:
    """Its mount namespace is older than the wish, but shows nothing old."""
    house.ours("run", "--rm", "busybox", "true")
    waiting = expecting(house)
    disk = house.folder / "disk"
    disk.mkdir()
    for command in (["mount", "-t", "tmpfs", "tmpfs", str(disk)], ["touch", str(disk / "file")]):
        assert house._run(house.inside(*command), b"").code == 0
    assert house.ours("run", "--rm", "-v", f"{disk}:/disk", "busybox", "ls", "/disk").out == "file\n"
    wait_for(lambda: not lives(waiting))


def test_another_kind_is_born_on_demand(house: House) -> None:
    """And the one that waits makes way for its like."""
    house.ours("run", "--rm", "busybox", "true")
    waiting = expecting(house)
    own = os.readlink(f"/proc/{house.namespaces.pid}/ns/net") if house.namespaces else ""
    assert house.ours("run", "--rm", "--network", "host", "busybox", "readlink", "/proc/self/ns/net").out.strip() == own
    wait_for(lambda: not lives(waiting))


def test_who_joins_a_network_sees_that_one_each_time(house: House) -> None:
    """A sysfs shows the network that its maker was in: one made ahead of a joining would show the host's."""
    house.ours("run", "-d", "--name", "base", "busybox", "sleep", "1000")
    for _ in range(3):
        out = house.ours("run", "--rm", "--network", "container:base", "busybox", "ls", "/sys/class/net").out
        assert sorted(out.split()) == ["eth0", "lo"]
    house.ours("rm", "-f", "base")


def test_who_may_do_more_is_born_on_demand_once(house: House) -> None:
    """What a bounding set has lost is gone; but the next one waits with all that the last one had."""
    house.ours("run", "--rm", "--cap-drop", "ALL", "busybox", "true")
    powerless = expecting(house)
    bounding = "grep CapBnd /proc/self/status"
    first = house.ours("run", "--rm", "busybox", "sh", "-c", bounding).out
    assert first.split()[1] != "0" * 16
    wait_for(lambda: not lives(powerless))
    waiting = expecting(house)
    house.ours("run", "-d", "--name", "cc", "busybox", "sh", "-c", f"{bounding}; sleep 1000")
    assert house.inspect("cc")["State"]["Pid"] == waiting
    wait_for(lambda: house.ours("logs", "cc").out == first)
    house.ours("rm", "-f", "cc")


def test_one_that_died_is_not_missed(house: House) -> None:
    """Whoever asks next gets another one."""
    house.ours("run", "--rm", "busybox", "true")
    waiting = expecting(house)
    os.kill(waiting, 9)
    wait_for(lambda: not lives(waiting))
    assert house.ours("run", "--rm", "busybox", "echo", "well").out == "well\n"


def test_a_spec_too_long_to_tell_is_born_on_demand(house: House) -> None:
    """The dialogue carries 64 KiB; an environment may be larger."""
    house.ours("run", "--rm", "busybox", "true")
    expecting(house)
    out = house.ours("run", "--rm", "-e", "LONG=" + "x" * 100_000, "busybox", "sh", "-c", "echo ${#LONG}")
    assert out.out == "100000\n", out.err


def test_it_ends_with_the_supervisor(house: House) -> None:
    """An orderly end takes it along; so does a supervisor that is killed."""
    house.ours("run", "--rm", "busybox", "true")
    waiting = expecting(house)
    os.kill(supervisor(house), 9)
    wait_for(lambda: not lives(waiting))
    wait_for(lambda: house.ours("run", "--rm", "busybox", "true").code == 0)  # the daemon has found a new one
    waiting = expecting(house)
    house.stop()
    wait_for(lambda: not lives(waiting))
    house.start()


def test_one_that_is_called_off_by_its_name_ends(house: House) -> None:
    """It got its name with the announcement; who hangs up before the creation takes it along."""
    house.ours("run", "--rm", "busybox", "true")
    waiting = expecting(house)
    kinds = ("mount", "pid", "uts", "ipc", "network")
    spec = ContainerSpec(
        ProcessSpec(("true",)), tuple(Namespace(kind) for kind in kinds), cgroup="mini-docker/never",
        resources=resources_of(HostConfig().with_defaults(1), Surroundings()),
    )  # fmt: skip
    request = {
        "verb": "announce", "container": "never", "blueprint": write(Blueprint(spec, b""), None), "narrate": False,
        "stdio": {"log": "", "open_stdin": False, "stdin_once": False},
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(house.folder / "run" / SOCKET_NAME))
        send(channel, request, [])
        reader = FrameReader()
        assert reader.feed(channel)
        assert reader.frame() == {"limited": []}
        assert lives(waiting)
        assert cgroups_of(waiting) == {"/mini-docker/never"}
    wait_for(lambda: not lives(waiting))
    CgroupManager(LinuxKernel(), find_hierarchy()).delete("mini-docker/never")  # its daemon would see to it
    assert house.ours("run", "--rm", "busybox", "echo", "well").out == "well\n"
