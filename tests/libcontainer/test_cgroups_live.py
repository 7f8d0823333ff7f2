"""Real cgroups, of this machine's kernel: one suite for both versions, each where it is mounted."""

from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.errors import DeadlineExceeded
from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy, find_hierarchy, parse_own_cgroup
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.config import DeviceRule, Resources
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.linux_kernel import LinuxKernel

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cgroups need root"),
]

PREFIX = f"mini-docker-test-{os.getpid()}"
NUMBERS = itertools.count()
MIB = 1 << 20


class Cgroup:
    """A cgroup of a test, the processes that the test put there, and where its files are."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.hierarchy = hierarchy
        self.manager = CgroupManager(LinuxKernel(), hierarchy)
        self.path = f"{PREFIX}/{next(NUMBERS)}"
        self._children: list[subprocess.Popen[bytes]] = []

    def child(self, *command: str, attach: bool = True) -> subprocess.Popen[bytes]:
        """Start a process with pipes as stdin and stdout, and put it into the cgroup."""
        child = subprocess.Popen(command or ("cat",), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._children.append(child)
        if attach:
            self.manager.attach(self.path, child.pid)
        return child

    def python(self, code: str, attach: bool = True) -> subprocess.Popen[bytes]:
        """A process that waits for a line on its standard input and then runs *code*."""
        return self.child(sys.executable, "-c", f"import os, sys\nsys.stdin.readline()\n{code}", attach=attach)

    def directories(self) -> list[Path]:
        return [Path(mount, self.path) for mount in self.hierarchy.directories()]

    def text(self, file: str) -> str:
        controller = file.partition(".")[0]
        mount = self.hierarchy.unified if self.hierarchy.version == 2 else self.hierarchy.mounts[controller]
        return Path(mount, self.path, file).read_text("ascii").strip()

    def close(self) -> None:
        for child in self._children:
            child.kill()
        self.manager.thaw(self.path)
        for child in self._children:
            child.communicate()
        self.manager.delete(self.path)
        self.manager.delete(PREFIX)
        left = [mount for mount in self.hierarchy.directories() if Path(mount, PREFIX).exists()]
        assert left == [], "the cgroup is left behind in these trees"


def hierarchy_of(version: int) -> Hierarchy:
    found = find_hierarchy()
    if found.version == version:
        return found
    if version == 2 and found.is_hybrid:
        return Hierarchy(2, {}, found.unified, found.own)  # no controllers, but processes, freezer and devices
    pytest.skip(f"cgroup v{version} is not mounted here")


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def cgroup(request: pytest.FixtureRequest) -> Iterator[Cgroup]:
    made = Cgroup(hierarchy_of(request.param))
    made.manager.create(made.path, Resources())
    yield made
    made.close()


@pytest.fixture(scope="module", autouse=True)
def controllers_passed_down() -> Iterator[None]:
    """Making a v2 cgroup passes controllers down from the root for good; these tests put that back."""
    root = Path(find_hierarchy().unified or "/nowhere", "cgroup.subtree_control")
    before = root.read_text("ascii").split() if root.exists() else []
    yield
    if root.exists():
        for controller in set(root.read_text("ascii").split()) - set(before):
            root.write_text(f"-{controller}", "ascii")


def needs(cgroup: Cgroup, feature: str) -> None:
    if not getattr(cgroup.manager.features, feature):
        pytest.skip(f"the cgroup v{cgroup.hierarchy.version} of this machine lacks: {feature}")


def test_a_process_is_attached_in_every_tree(cgroup: Cgroup) -> None:
    """A tree in which the process stays outside would not meter and not limit it."""
    child = cgroup.child()
    assert cgroup.manager.pids(cgroup.path) == (child.pid,)
    own = parse_own_cgroup(Path(f"/proc/{child.pid}/cgroup").read_text("ascii"))
    for name in cgroup.hierarchy.mounts or [""]:
        assert own[name] == f"/{cgroup.path}", f"controller {name!r}"


def test_a_newborn_joins_by_itself(cgroup: Cgroup) -> None:
    """The quick way in: the calling process, single-threaded, moves itself."""
    child = cgroup.child(
        sys.executable,
        "-c",
        "import sys\n"
        "from mini_docker.libcontainer.cgroups.hierarchy import Hierarchy, find_hierarchy\n"
        "from mini_docker.libcontainer.cgroups.manager import CgroupManager\n"
        "from mini_docker.linux.linux_kernel import LinuxKernel\n"
        "found = find_hierarchy()\n"
        f"hierarchy = found if found.version == {cgroup.hierarchy.version}"
        " else Hierarchy(2, {}, found.unified, found.own)\n"
        f"CgroupManager(LinuxKernel(), hierarchy).join({cgroup.path!r})\n"
        "print(open('/proc/self/cgroup').read(), flush=True)\n"
        "sys.stdin.read()\n",
        attach=False,
    )
    assert child.stdin is not None and child.stdout is not None
    lines = list(itertools.takewhile(lambda line: line != b"\n", iter(child.stdout.readline, b"")))
    own = parse_own_cgroup(b"".join(lines).decode())
    for name in cgroup.hierarchy.mounts or [""]:
        assert own[name] == f"/{cgroup.path}", f"controller {name!r}"
    assert cgroup.manager.pids(cgroup.path) == (child.pid,)


def test_a_frozen_process_does_not_answer_until_it_is_thawed(cgroup: Cgroup) -> None:
    """docker pause: `cat` gives no byte back while it is frozen, and gives it afterwards."""
    child = cgroup.child("cat")
    assert child.stdin is not None and child.stdout is not None
    cgroup.manager.freeze(cgroup.path)
    assert cgroup.manager.is_frozen(cgroup.path)
    child.stdin.write(b"x")
    assert select.select([child.stdout], [], [], 0.1)[0] == []
    cgroup.manager.thaw(cgroup.path)
    assert child.stdout.read(1) == b"x"
    assert not cgroup.manager.is_frozen(cgroup.path)


def test_delete_waits_for_the_dead_and_not_for_the_living(cgroup: Cgroup) -> None:
    """A process keeps its cgroup busy until it is reaped; one that lives on is named in the error."""
    child = cgroup.child()
    with pytest.raises(DeadlineExceeded, match=rf"still has processes after 0.05 s: \({child.pid},\)"):
        cgroup.manager.delete(cgroup.path, seconds=0.05)
    child.kill()
    child.wait()
    cgroup.manager.delete(cgroup.path)
    assert not any(directory.exists() for directory in cgroup.directories())
    cgroup.manager.delete(cgroup.path)  # once more is no error
    cgroup.manager.create(cgroup.path, Resources())  # for the fixture's thaw


def test_delete_takes_cgroups_that_a_container_made_inside(cgroup: Cgroup) -> None:
    """An engine or systemd in a container makes its own below ours."""
    inner = f"{cgroup.path}/inner/deeper"
    cgroup.manager.create(inner, Resources())
    child = cgroup.child(attach=False)
    cgroup.manager.attach(inner, child.pid)
    assert cgroup.manager.pids(cgroup.path) == (child.pid,)
    child.kill()
    child.wait()
    cgroup.manager.delete(cgroup.path)
    assert not any(directory.exists() for directory in cgroup.directories())
    cgroup.manager.create(cgroup.path, Resources())  # for the fixture's thaw


def test_v1_a_cgroup_is_renamed_with_all_who_are_in_it() -> None:
    """And not over another one."""
    cgroup = Cgroup(hierarchy_of(1))
    cradle, taken = f"{PREFIX}/waiting-{os.getpid()}", f"{PREFIX}/taken-{os.getpid()}"
    try:
        cgroup.manager.create(cradle, Resources())
        cgroup.manager.create(taken, Resources())
        child = cgroup.child(attach=False)
        cgroup.manager.attach(cradle, child.pid)
        with pytest.raises(SyscallError, match="exists"):
            cgroup.manager.rename(cradle, taken)
        cgroup.manager.rename(cradle, cgroup.path)
        assert cgroup.manager.pids(cgroup.path) == (child.pid,)
        own = Path(f"/proc/{child.pid}/cgroup").read_text()
        assert cradle not in own
        assert own.count(cgroup.path) == len({*cgroup.hierarchy.directories()})
    finally:
        cgroup.manager.delete(taken)
        cgroup.close()


def test_only_what_is_empty_and_called_so_is_pruned(cgroup: Cgroup) -> None:
    """A neighbour's cradle has somebody in it, a container's cgroup another name: both stay, and so their parent."""
    empty, other = f"{PREFIX}/waiting-{os.getpid()}", f"{PREFIX}/waiting-neighbour-{os.getpid()}"
    for path in (empty, other):
        cgroup.manager.create(path, Resources())
    child = cgroup.child(attach=False)
    cgroup.manager.attach(other, child.pid)
    cgroup.manager.prune(PREFIX, "waiting-")
    there = {path.name for path in Path(cgroup.hierarchy.directories()[0], PREFIX).iterdir() if path.is_dir()}
    assert there == {Path(path).name for path in (cgroup.path, other)}
    child.kill()
    child.wait()
    cgroup.manager.delete(cgroup.path)
    cgroup.manager.prune(PREFIX, "waiting-")
    assert not any(Path(directory, PREFIX).exists() for directory in cgroup.hierarchy.directories())
    cgroup.manager.prune(PREFIX, "waiting-")  # once more is no error
    cgroup.manager.create(cgroup.path, Resources())  # for the fixture's thaw


def test_limits_arrive(cgroup: Cgroup) -> None:
    """What was wished stands in the kernel's files."""
    for feature in ("memory", "pids", "cpu_quota", "cpu_shares"):
        needs(cgroup, feature)
    wished = Resources(memory_bytes=64 * MIB, pids=32, cpu_quota_us=50000, cpu_period_us=100000, cpu_shares=1024)
    assert cgroup.manager.update(cgroup.path, wished) == ()
    if cgroup.hierarchy.version == 1:
        shown = ["memory.limit_in_bytes", "pids.max", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares"]
        assert [cgroup.text(file) for file in shown] == [str(64 * MIB), "32", "50000", "100000", "1024"]
    else:
        shown = ["memory.max", "pids.max", "cpu.max", "cpu.weight"]
        assert [cgroup.text(file) for file in shown] == [str(64 * MIB), "32", "50000 100000", "100"]


def test_update_raises_and_lowers_memory_with_swap(cgroup: Cgroup) -> None:
    """docker update: the kernel takes both directions only in the right order."""
    needs(cgroup, "memory_swap")
    for memory, swap in ((32, 64), (128, 256), (16, 16), (512, -1), (32, 32)):
        both = swap * MIB if swap > 0 else swap
        cgroup.manager.update(cgroup.path, Resources(memory_bytes=memory * MIB, memory_swap_bytes=both))
    if cgroup.hierarchy.version == 1:
        assert cgroup.text("memory.memsw.limit_in_bytes") == str(32 * MIB)
    else:
        assert cgroup.text("memory.swap.max") == "0"


def test_pids_are_counted_and_limited(cgroup: Cgroup) -> None:
    """A fork bomb ends at the limit: fork answers EAGAIN."""
    needs(cgroup, "pids")
    cgroup.manager.update(cgroup.path, Resources(pids=1))
    child = cgroup.python("try: os.fork()\nexcept BlockingIOError: print('EAGAIN', flush=True)\nsys.stdin.read()")
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(b"\n")
    assert child.stdout.readline() == b"EAGAIN\n"
    assert cgroup.manager.stats(cgroup.path)["pids_stats"] == {"current": 1, "limit": 1}


def test_an_oom_kill_is_seen_and_counted(cgroup: Cgroup) -> None:
    """A memory bomb is killed; the alarm wire moves, and the count stays for whoever asks later (OOMKilled)."""
    needs(cgroup, "memory")
    limits = Resources(memory_bytes=32 * MIB, memory_swap_bytes=32 * MIB)
    cgroup.manager.update(cgroup.path, limits)
    watch = cgroup.manager.watch_oom(cgroup.path)
    assert watch is not None
    assert watch.drain() == 0
    poll = select.epoll()
    poll.register(watch.fileno(), watch.events)
    child = cgroup.python("held = bytearray(os.urandom(1024)) * (100 * 1024)")
    assert child.stdin is not None
    child.stdin.write(b"\n")
    assert poll.poll(20.0), "the alarm did not move"
    assert child.wait(20) == -signal.SIGKILL
    assert watch.drain() == 1
    assert watch.drain() == 0
    assert cgroup.manager.oom_kill_count(cgroup.path) == 1
    poll.close()
    watch.close()


def test_stats_show_use(cgroup: Cgroup) -> None:
    """The meters run, and the limit is the one that was set."""
    needs(cgroup, "memory")
    cgroup.manager.update(cgroup.path, Resources(memory_bytes=64 * MIB))
    child = cgroup.python("sum(range(10**6)); print('done', flush=True); sys.stdin.read()")
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(b"\n")
    child.stdout.readline()
    stats = cgroup.manager.stats(cgroup.path)
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] > 1_000_000
    assert stats["cpu_stats"]["system_cpu_usage"] > stats["cpu_stats"]["cpu_usage"]["total_usage"]
    assert 0 < stats["memory_stats"]["usage"] <= 64 * MIB == stats["memory_stats"]["limit"]


def test_processes_stay_on_their_processors(cgroup: Cgroup) -> None:
    """--cpuset-cpus: whoever is in there runs on these alone, and moves when they change."""
    needs(cgroup, "cpuset")
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        pytest.skip("this machine has one processor: there is nothing to choose from")
    cgroup.manager.update(cgroup.path, Resources(cpuset_cpus=str(first), cpuset_mems="0"))
    child = cgroup.child()
    assert os.sched_getaffinity(child.pid) == {first}
    assert (cgroup.text("cpuset.cpus"), cgroup.text("cpuset.mems")) == (str(first), "0")
    cgroup.manager.update(cgroup.path, Resources(cpuset_cpus=str(others[0])))
    assert os.sched_getaffinity(child.pid) == {others[0]}


def test_block_weight(cgroup: Cgroup) -> None:
    """The file is absent from the root and has its name from the scheduler: it must be found all the same."""
    needs(cgroup, "blkio_weight")
    assert cgroup.manager.update(cgroup.path, Resources(blkio_weight=300)) == ()
    file = "blkio" if cgroup.hierarchy.version == 1 else "io"
    bfq = ".bfq" if cgroup.manager.features.bfq else ""
    assert "300" in cgroup.text(f"{file}{bfq}.weight") or cgroup.text("io.weight") == "default 2930"


def test_huge_pages(cgroup: Cgroup) -> None:
    """The limit of each page size has a file of its own."""
    needs(cgroup, "hugetlb")
    size = "2MB"
    if not Path("/sys/kernel/mm/hugepages/hugepages-2048kB").exists():
        pytest.skip("this kernel has no huge pages of 2 MB")
    cgroup.manager.update(cgroup.path, Resources(hugepages={size: 4 * MIB}))
    suffix = "max" if cgroup.hierarchy.version == 2 else "limit_in_bytes"
    assert cgroup.text(f"hugetlb.{size}.{suffix}") == str(4 * MIB)


RULES = (DeviceRule(False), DeviceRule(True, "c", 1, 3), DeviceRule(True, "c", 1, 5, "r"))
OPENS = """
for path, flags in (("/dev/null", os.O_RDWR), ("/dev/zero", os.O_RDONLY), ("/dev/zero", os.O_WRONLY),
                    ("/dev/full", os.O_RDONLY)):
    try:
        os.close(os.open(path, flags))
        print("ok", end=" ")
    except PermissionError:
        print("EPERM", end=" ")
print(flush=True)
"""


def test_devices_off_the_list_cannot_be_opened(cgroup: Cgroup) -> None:
    """v1's list and v2's BPF program give the same answers: null both ways, zero for reading, full not at all."""
    needs(cgroup, "devices")
    child = cgroup.python(OPENS)
    assert child.stdin is not None and child.stdout is not None
    cgroup.manager.update(cgroup.path, Resources(devices=RULES))
    child.stdin.write(b"\n")
    assert child.stdout.readline().decode().split() == ["ok", "ok", "EPERM", "EPERM"]


def test_v2_a_child_is_born_inside() -> None:
    """clone3 with CLONE_INTO_CGROUP: there is no moment in which the process is outside."""
    cgroup = Cgroup(hierarchy_of(2))
    cgroup.manager.create(cgroup.path, Resources())
    descriptor = cgroup.manager.open_for_clone(cgroup.path)
    reading, writing = os.pipe()
    pid, pidfd = LinuxKernel().clone3(0, descriptor)
    if pid == 0:
        os.write(writing, Path("/proc/self/cgroup").read_bytes())
        os._exit(0)
    os.close(writing)
    text = os.read(reading, 65536)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    for each in (descriptor, reading, pidfd):
        os.close(each)
    assert parse_own_cgroup(text.decode())[""] == f"/{cgroup.path}"
    cgroup.close()


def test_v1_cannot_be_cloned_into() -> None:
    """The caller must know to place the child otherwise."""
    assert CgroupManager(LinuxKernel(), hierarchy_of(1)).open_for_clone(f"{PREFIX}/none") == -1


def test_the_second_container_needs_no_copy_of_the_cpuset() -> None:
    """The hot path: the parent that we made lets the kernel fill the child's cpuset."""
    cgroup = Cgroup(hierarchy_of(1))
    needs(cgroup, "cpuset")
    cgroup.manager.create(cgroup.path, Resources())
    parent = Path(cgroup.hierarchy.mounts["cpuset"], PREFIX)
    assert (parent / "cgroup.clone_children").read_text("ascii") == "1\n"
    assert cgroup.text("cpuset.cpus") == (parent / "cpuset.cpus").read_text("ascii").strip() != ""
    cgroup.manager.update(cgroup.path, Resources(cpuset_cpus="0"))
    assert cgroup.text("cpuset.cpus") == "0"
    cgroup.close()
