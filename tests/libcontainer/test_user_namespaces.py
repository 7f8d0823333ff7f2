"""User namespaces live: root inside is an ordinary, powerless user outside."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.drivers.execdriver.native import NativeDriver
from mini_docker.errors import MiniDockerError
from mini_docker.libcontainer.capabilities import all_capabilities
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.config import Capabilities, Mount, Namespace
from mini_docker.linux.id_mapping import IdMap
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.drivers.execdriver.contract_suite import WAIT_SECONDS, Bench, process, spec

pytestmark = pytest.mark.root

HOST_ID = 100000
MAPPED = {
    "namespaces": tuple(Namespace(kind) for kind in ("user", "pid", "mount", "uts", "ipc", "network")),
    "uid_map": (IdMap(0, HOST_ID, 65536),),
    "gid_map": (IdMap(0, HOST_ID, 65536),),
}
ALL = Capabilities(all_capabilities(), all_capabilities(), (), all_capabilities())


@pytest.fixture
def bench(busybox_root: Path) -> Iterator[Bench]:
    """The native driver in folders that a mapped user may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="mini-docker-userns-"))
    folder.chmod(0o755)
    shutil.copytree(busybox_root, folder / "root", symlinks=True)
    for path in (folder / "root", *(folder / "root").rglob("*")):
        os.chown(path, HOST_ID, HOST_ID, follow_symlinks=False)  # as a remapped image's files are
    driver = NativeDriver(folder / "run", CgroupManager(LinuxKernel(), find_hierarchy()))
    driver.restore()
    bench = Bench(driver, folder / "root", folder)
    try:
        yield bench
    finally:
        bench.close()
        shutil.rmtree(folder)


def test_what_root_makes_belongs_to_the_mapped_user(bench: Bench) -> None:
    """In the root file system and in volumes: outside nothing is root's that was not before."""
    volume = bench.work / "volume"
    volume.mkdir()
    os.chown(volume, HOST_ID + 5, HOST_ID + 5)
    base = spec(process("true"), "x").mounts
    shell = "touch /tmp/mine && ls -nd /data | awk '{print $3}' && touch /data/mine && id -u"
    mounts = (*base, Mount("/data", "bind", str(volume), ("rbind",)))
    assert bench.run("sh", "-c", shell, mounts=mounts, **MAPPED) == (0, b"5\n0\n", b"")
    assert (bench.root / "tmp/mine").stat().st_uid == HOST_ID
    assert (volume / "mine").stat().st_uid == HOST_ID


def test_the_hosts_files_are_somebody_elses(bench: Bench) -> None:
    """A volume of the host root's, which root inside may read as anybody may, and not write."""
    volume = bench.work / "volume"
    volume.mkdir()
    (volume / "secret").write_text("secret")
    (volume / "secret").chmod(0o600)
    base = spec(process("true"), "x").mounts
    shell = "cat /data/secret; echo evil > /data/new; chown 0 /data; ls -n /data | tail -1 | awk '{print $3}'"
    mounts = (*base, Mount("/data", "bind", str(volume), ("rbind",)))
    _, out, err = bench.run("sh", "-c", shell, mounts=mounts, **MAPPED)
    assert out == b"65534\n"
    assert err.count(b"ermi") >= 2  # "Permission denied", "Operation not permitted"
    assert [entry.name for entry in volume.iterdir()] == ["secret"]


def test_all_capabilities_count_inside_only(bench: Bench) -> None:
    """With every capability root mounts a tmpfs of its own; clock, devices and the host's limits stay out of reach."""
    inside = process("sh", "-c", "mount -t tmpfs none /root && hostname other && echo done", capabilities=ALL)
    assert bench.run(init=inside, **MAPPED)[:2] == (0, b"done\n")
    for shell in ("mknod /tmp/disk b 8 0", "date -s 2000-01-01", "echo 1 > /proc/sys/kernel/panic", "dmesg -c"):
        code, _, err = bench.run(init=process("sh", "-c", shell, capabilities=ALL), **MAPPED)
        assert any(word in err for word in (b"not permitted", b"denied", b"Read-only")), (shell, code, err)


def test_the_process_outside_is_the_mapped_user(bench: Bench) -> None:
    """As ps on the host shows; a further process is the same, and root inside."""
    name = bench.up("echo up; sleep 1000", **MAPPED)
    for pid in bench.driver.processes(name):
        assert Path(f"/proc/{pid}").stat().st_uid == HOST_ID
    assert bench.exec(name, "id", "-u")[:2] == (0, b"0\n")
    user = bench.exec(name, "cat", "/proc/self/uid_map", user="5")
    assert (user[0], user[1].split()) == (0, [b"0", str(HOST_ID).encode(), b"65536"])


def test_devices_are_the_hosts_own(bench: Bench) -> None:
    """Shown, not made: no node may be made in a user namespace, and those few can be used."""
    shell = "echo x > /dev/null && head -c 4 /dev/zero | wc -c && ls -n /dev/null | awk '{print $3}'"
    assert bench.run("sh", "-c", shell, **MAPPED)[:2] == (0, b"4\n65534\n")


def test_a_terminal(bench: Bench) -> None:
    """It is of the container's own devpts, so it belongs to the container's root."""
    init = process("sh", "-c", "tty; ls -n $(tty) | awk '{print $3}'", terminal=True)
    name = bench.create(init, **MAPPED)
    channel = bench.driver.streams(name, stdin=False)
    channel.settimeout(WAIT_SECONDS)
    bench.driver.start(name)
    bench.end(name)
    said = b""
    while piece := channel.recv(1000):
        said += piece
    channel.close()
    assert said == b"/dev/pts/0\r\n0\r\n"


def test_another_containers_user_namespace(bench: Bench) -> None:
    """Joined by a midwife: the new namespaces belong to it, so root inside may mount and name in them."""
    pid = bench.driver.processes(bench.up("echo up; sleep 1000", **MAPPED))[0]
    kinds = ("pid", "mount", "uts", "ipc", "network")
    namespaces = (Namespace("user", f"/proc/{pid}/ns/user"), *(Namespace(kind) for kind in kinds))
    shell = "hostname other && mount -t tmpfs none /root && readlink /proc/self/ns/user"
    inside = process("sh", "-c", shell, capabilities=ALL)
    link = os.readlink(f"/proc/{pid}/ns/user")
    assert bench.run(init=inside, namespaces=namespaces) == (0, f"{link}\n".encode(), b"")


def test_a_user_namespace_that_is_gone(bench: Bench) -> None:
    """One sentence, and nobody is left behind."""
    with pytest.raises(MiniDockerError, match="/proc/0/ns/user"):
        bench.run("true", namespaces=(Namespace("user", "/proc/0/ns/user"), Namespace("pid")))


def test_the_oom_score_is_set_from_outside(bench: Bench) -> None:
    """Its file belongs to the host's root, as all of a process that hides its memory."""
    inside = process("cat", "/proc/self/oom_score_adj", oom_score_adj=77)
    assert bench.run(init=inside, **MAPPED)[:2] == (0, b"77\n")
