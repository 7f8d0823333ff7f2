"""The attack suite: known ways out of a container, each tried on ours. The name says which; none may work.

A container as Docker's default one is (its capabilities, masked paths, seccomp profile); root inside, as attackers
are. What the kernel answers is part of each law: an attack that fails for the wrong reason would be no test.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mini_docker.dataclasses import replace
from mini_docker.drivers.execdriver.contract import Stdio
from mini_docker.drivers.execdriver.native import NativeDriver
from mini_docker.errors import MiniDockerError
from mini_docker.libcontainer.capabilities import all_capabilities
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.config import Capabilities, Device, DeviceRule, Mount, Namespace, ProcessSpec, Resources
from mini_docker.libcontainer.seccomp.profile import default_profile
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.runc.oci_resources import DEFAULT_RULES
from tests.drivers.execdriver.contract_suite import Bench, demultiplex, process, read_all, spec

pytestmark = pytest.mark.root

PROFILE = default_profile()
NO_DEVICES = Resources(devices=(DeviceRule(False), *DEFAULT_RULES))


def attacker(shell: str, **more: object) -> ProcessSpec:
    """A shell under Docker's default walls."""
    return process("sh", "-c", shell, seccomp=PROFILE, **more)


def said_by(output: bytes) -> str:
    """An error output, to look for the kernel's words in."""
    return output.decode(errors="replace").lower()


@pytest.fixture
def bench(tmp_path: Path, busybox_root: Path) -> Iterator[Bench]:
    """The native driver on a root file system of the test's own, which attacks may change."""
    driver = NativeDriver(tmp_path / "run", CgroupManager(LinuxKernel(), find_hierarchy()))
    driver.restore()
    root = tmp_path / "root"
    for folder in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
        (root / folder).mkdir(parents=True)
    os.link(busybox_root / "bin/busybox", root / "bin/busybox")
    for applet in (busybox_root / "bin").iterdir():
        if applet.is_symlink():
            (root / "bin" / applet.name).symlink_to("busybox")
    bench = Bench(driver, root, tmp_path)
    yield bench
    bench.close()


@pytest.mark.parametrize("target", ["/", "/..", "../../../../../..", "/proc/1/root", "/proc/self/cwd/../../.."])
def test_a_mount_target_through_a_symbolic_link(bench: Bench, tmp_path: Path, target: str) -> None:
    """CVE-2019-16884, CVE-2021-30465: the image's link in a mount's place must not bend it to the host."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (bench.root / "data").symlink_to(target + str(victim) if target.startswith(("/proc", "..")) else str(victim))
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "flag").write_text("volume")
    base = spec(process("true"), "x").mounts
    mount = Mount("/data", "bind", str(volume), ("rbind",))
    try:
        bench.run("sh", "-c", "echo gotcha > /data/written", mounts=(*base, mount))
    except MiniDockerError:
        pass  # refused is as good as kept inside
    assert list(victim.iterdir()) == []


def test_a_mount_over_proc(bench: Bench, tmp_path: Path) -> None:
    """CVE-2019-16884: were /proc a folder of the image, the profile would be written to a file of the image's.

    Ours writes labels through the proc that it mounted itself: a volume's file in its place changes nothing.
    """
    (bench.root / "proc").rmdir()
    (bench.root / "proc").symlink_to(tmp_path)
    try:
        bench.run("sh", "-c", "true")
    except MiniDockerError:
        pass
    assert not (tmp_path / "self").exists()


def test_the_interpreter_cannot_be_overwritten(bench: Bench) -> None:
    """CVE-2019-5736: an entry point that is /proc/self/exe runs what init was; nobody can write that."""
    host_python = Path("/proc/self/exe").resolve()
    before = host_python.stat()
    (bench.root / "bin/evil").write_text("#!/proc/self/exe\n")
    (bench.root / "bin/evil").chmod(0o755)
    name = bench.create(process("/bin/evil"))
    with contextlib.suppress(MiniDockerError):  # whether it can be executed at all is the kernel's to say
        bench.driver.start(name)
    bench.end(name)
    # While a guest enters, its executable is tried from inside, over and over.
    name = bench.up(
        "echo up; while :; do for exe in /proc/[0-9]*/exe; do"
        " case $(readlink $exe) in *python*|*memfd*) echo x 2>/dev/null >> $exe && echo won >> /tmp/won;; esac;"
        " done; done"
    )
    for _ in range(10):
        assert bench.exec(name, "true")[0] == 0
    assert not (bench.root / "tmp/won").exists()
    after = host_python.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)


def test_init_cannot_be_looked_into_while_it_is_ours(bench: Bench) -> None:
    """CVE-2016-9962: a guest that enters is not to be traced, nor its descriptors used, by who is in there."""
    name = bench.up(
        "echo up; while :; do for fd in /proc/[0-9]*/fd/[3-9] /proc/[0-9]*/fd/1[0-9]; do"
        " case $(readlink $fd) in /*) ls -d $fd/. >> /tmp/won 2>/dev/null;; esac; done; done"
    )
    for _ in range(10):
        bench.exec(name, "true")
    assert not (bench.root / "tmp/won").exists() or not (bench.root / "tmp/won").read_text()


def test_no_descriptor_leaks(bench: Bench) -> None:
    """CVE-2024-21626: whatever was open outside is not open inside, for the command and for guests."""
    _, out, _ = bench.run("ls", "/proc/self/fd")
    assert out.split() == [b"0", b"1", b"2", b"3"]  # 3 is ls's own
    name = bench.started("sleep", "1000")
    _, out, _ = bench.exec(name, "ls", "/proc/self/fd")
    assert out.split() == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("number", range(3, 12))
def test_a_working_directory_through_a_descriptor(bench: Bench, number: int) -> None:
    """CVE-2024-21626: /proc/self/fd/7 as working directory was a way out through a forgotten descriptor."""
    with pytest.raises(MiniDockerError, match="working directory"):
        bench.run(init=attacker("cat ../../../../etc/shadow", cwd=f"/proc/self/fd/{number}"))
        raise AssertionError("it ran")


def test_a_working_directory_that_is_a_link(bench: Bench) -> None:
    """A link of the image leads somewhere in the image, as every path does after the pivot."""
    (bench.root / "way").symlink_to("../../../../../../../etc")
    code, out, _ = bench.run(init=attacker("pwd -P; ls", cwd="/way"))
    assert (code, out.split(b"\n")[0]) == (0, b"/etc")
    assert b"shadow" not in out


def test_the_disk_by_its_numbers(bench: Bench) -> None:
    """A node with the disk's numbers may be made, as archives need it; opened it may not be, with all capabilities."""
    disk = next((line.split() for line in Path("/proc/partitions").read_text().splitlines()[2:]), None)
    if disk is None:
        pytest.skip("this machine has no disk to attack")
    shell = f"mknod /tmp/disk b {disk[0]} {disk[1]} && head -c 1 /tmp/disk"
    code, _, err = bench.run(init=attacker(shell), resources=NO_DEVICES)
    assert (code, "not permitted" in said_by(err)) == (1, True)


@pytest.mark.parametrize("path", ["/dev/mem", "/dev/kmsg", "/dev/port", "/dev/sda", "/dev/vda"])
def test_the_hosts_devices_are_not_there(bench: Bench, path: str) -> None:
    """/dev is the container's own."""
    code, _, err = bench.run(init=attacker(f"cat {path}"), resources=NO_DEVICES)
    assert (code, "no such file" in said_by(err)) == (1, True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/proc/sysrq-trigger", "h"),
        ("/proc/sys/kernel/core_pattern", "|/tmp/evil"),
        ("/proc/sys/kernel/modprobe", "/tmp/evil"),
        ("/proc/sys/vm/panic_on_oom", "1"),
        ("/sys/kernel/uevent_helper", "/tmp/evil"),
        ("/sys/power/state", "mem"),
    ],
)
def test_the_kernels_levers(bench: Bench, path: str, value: str) -> None:
    """Files whose text is an order to the whole machine cannot be written: sysrq, core_pattern, uevent_helper."""
    before = Path(path).read_text() if path.startswith("/proc/sys/") and Path(path).exists() else ""
    code, _, err = bench.run(init=attacker(f"echo '{value}' > {path}"))
    said = said_by(err)
    assert code != 0
    assert any(word in said for word in ("read-only", "denied", "nonexistent", "no such", "not permitted")), said
    if before:
        assert Path(path).read_text() == before


@pytest.mark.parametrize(
    ("shell", "word"),
    [
        ("mount -t tmpfs none /tmp", "denied"),
        ("mount -o remount,rw,bind /proc/sys", "denied"),
        ("umount /proc/kcore", "not permitted"),
        ("mount --bind / /tmp", "denied"),
        ("unshare -m true", "not permitted"),
        ("unshare -U true", "not permitted"),
        ("chroot / sh -c 'nsenter -t 1 -m true'", "not permitted"),
        ("insmod /bin/busybox", "not permitted"),
        ("swapon /tmp", "not permitted"),
        ("reboot -f", "not permitted"),
        ("date -s 2000-01-01", "not permitted"),
        ("hostname evil", "not permitted"),
        ("ip link set lo up", "not permitted"),
        ("dmesg", "not permitted"),
        ("nice -n -10 true; renice -n -10 1", "denied"),
    ],
)
def test_calls_that_the_walls_forbid(bench: Bench, shell: str, word: str) -> None:
    """Mounts, namespaces, modules, swap, reboot, clock, names, network: Docker's capabilities and filter have none."""
    code, out, err = bench.run(init=attacker(shell))
    said = said_by(err + out)
    assert word in said or "not permitted" in said or "denied" in said, (code, said)


def test_nothing_outside_can_be_seen_or_traced(bench: Bench) -> None:
    """In a pid namespace of its own there is no number for a process outside: no ptrace, no kill, no /proc/PID/root."""
    outside = os.getpid()
    code, out, _ = bench.run(init=attacker(f"ls -d /proc/{outside}; kill -0 {outside}; ls -d /proc/[0-9]*"))
    assert code == 0
    assert f"/proc/{outside}\n".encode() not in out
    assert len(out.split()) <= 3


def test_cgroup_release_agent(bench: Bench) -> None:
    """CVE-2022-0492, Felix Wilhelm's escape: notify_on_release and a program that the host's kernel runs."""
    shell = (
        "mkdir /tmp/cg; mount -t cgroup -o memory cgroup /tmp/cg && echo mounted;"
        " for f in $(find / -name release_agent 2>/dev/null); do echo /tmp/evil > $f && echo wrote; done;"
        " unshare -UrC sh -c 'mount -t cgroup -o memory cgroup /tmp/cg && echo mounted'"
    )
    base = spec(process("true"), "x").mounts
    view = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev"))
    _, out, _ = bench.run(init=attacker(shell), mounts=(*base, view))
    assert out == b""


def test_cgroup_files_are_read_only(bench: Bench) -> None:
    """A container that could write its own limits would have none."""
    base = spec(process("true"), "x").mounts
    view = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev"))
    files = "$(find /sys/fs/cgroup -name 'pids.max' -o -name 'cgroup.procs')"
    shell = f"for f in {files}; do echo 1 > $f && echo wrote; done; true"
    code, out, err = bench.run(init=attacker(shell), mounts=(*base, view))
    assert (code, out) == (0, b"")
    assert b"Read-only file system" in err


def test_masked_files_stay_masked(bench: Bench) -> None:
    """What /proc would tell of the machine is covered, and the cover cannot be looked under."""
    _, out, _ = bench.run(init=attacker("head -c 10 /proc/kcore | wc -c; head -c 10 /proc/keys | wc -c"))
    assert out.split() == [b"0", b"0"]


def test_a_guest_of_a_hostile_container(bench: Bench) -> None:
    """exec into a container whose files lie: its passwd is a device, its shell a link to the guest itself."""
    name = bench.up("rm -f /etc/passwd /etc/group; mkfifo /etc/passwd; ln -s /dev/zero /etc/group; echo up; sleep 1000")
    code, out, _ = bench.exec(name, "echo", "entered")
    assert (code, out) == (0, b"entered\n")
    with pytest.raises(MiniDockerError):
        bench.exec(name, "/proc/self/fd/3")


def test_a_hostile_library_path_reaches_no_interpreter(bench: Bench) -> None:
    """CVE-2019-14271: nothing of ours is loaded from the container's files after the pivot."""
    for name in ("encodings", "json", "traceback", "linecache", "socket"):
        (bench.root / f"{name}.py").write_text("open('/tmp/won', 'w').write('won')\n")
    (bench.root / "tmp/x").mkdir()
    init = replace(
        attacker("true"), env=("PATH=/bin", "PYTHONPATH=/", "LD_PRELOAD=/tmp/x.so", "LD_LIBRARY_PATH=/tmp/x")
    )
    bench.run(init=init)
    bench.run(init=replace(init, cwd="/bin"))
    assert not (bench.root / "tmp/won").exists()


def test_a_fork_bomb(bench: Bench) -> None:
    """Under a pids limit it is a firecracker: the machine goes on, and the container can still be ended."""
    name = bench.up(
        "echo up; bomb() { bomb | bomb & }; while :; do bomb; done 2>/dev/null", resources=Resources(pids=40)
    )
    for _ in range(20):
        assert len(bench.driver.processes(name)) <= 40
    bench.driver.delete(name)


def test_a_memory_bomb(bench: Bench) -> None:
    """Under a memory limit the kernel ends it, and nobody else."""
    limited = Resources(memory_bytes=16 << 20, memory_swap_bytes=16 << 20)
    name = bench.create(attacker("hunger=more; while :; do hunger=$hunger$hunger; done"), resources=limited)
    bench.driver.start(name)
    ended = bench.end(name)
    assert (ended.exit_code, ended.oom_killed) == (128 + signal.SIGKILL, True)


def test_output_bombs_do_not_fill_our_memory(bench: Bench) -> None:
    """CVE-less, and seen in the wild: endless output to an attacher that never reads only stops the writer."""
    name = bench.create(attacker("yes"), Stdio())
    channel = bench.driver.streams(name, stdin=False)
    bench.driver.start(name)
    other = bench.create(attacker("echo fine"), Stdio())
    with bench.driver.streams(other, stdin=False) as second:
        bench.driver.start(other)
        assert bench.end(other).exit_code == 0
        assert demultiplex(read_all(second)) == (b"fine\n", b"")
    bench.driver.delete(name)
    channel.close()


def test_even_all_capabilities_do_not_reach_the_hosts_mounts(bench: Bench) -> None:
    """The host's root is not hidden but gone: with every capability there is nothing above "/" to climb to."""
    held = tuple(name for name in all_capabilities() if name != "CAP_SYS_RESOURCE")
    sets = Capabilities(bounding=held, effective=held, permitted=held)
    shell = "cd /; cd ../../../..; pwd; ls; mkdir /tmp/j; chroot /tmp/j true; cat /proc/self/mountinfo"
    _, out, _ = bench.run(init=process("sh", "-c", shell, capabilities=sets))
    listing = out.decode()
    assert "usr" not in listing.split("\n25", 1)[0].split()
    roots = [line.split()[4] for line in listing.splitlines() if " - " in line]
    assert roots.count("/") == 1


def test_joining_the_hosts_network_gives_no_other_namespace(bench: Bench) -> None:
    """What is shared is what was asked to be shared."""
    shared = tuple(Namespace(kind) for kind in ("pid", "mount", "uts", "ipc"))
    _, out, _ = bench.run(
        init=attacker("for n in net mnt uts ipc pid; do readlink /proc/self/ns/$n; done"), namespaces=shared
    )
    inside = out.decode().split()
    outside = [os.readlink(f"/proc/self/ns/{name}") for name in ("net", "mnt", "uts", "ipc", "pid")]
    assert [left == right for left, right in zip(inside, outside, strict=True)] == [True, False, False, False, False]


def test_a_device_may_not_take_the_place_of_a_file(bench: Bench, tmp_path: Path) -> None:
    """The image's /dev is not used for nodes: a link there could have made one on the host."""
    (bench.root / "dev").rmdir()
    (bench.root / "dev").symlink_to(tmp_path)
    before = set(os.listdir(tmp_path))
    try:
        bench.run("true", devices=(Device("/dev/evil", "c", 1, 3),))
    except MiniDockerError:
        pass
    assert {name for name in set(os.listdir(tmp_path)) - before if not name.endswith(".log")} == set()
