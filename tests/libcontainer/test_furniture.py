"""Furniture: which kinds of containers can have it, what remains to be done, and that it is walled off."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_docker.dataclasses import replace
from mini_docker.libcontainer import furniture, rootfs_plan
from mini_docker.libcontainer.config import ContainerSpec, Device, Mount, Namespace, ProcessSpec
from mini_docker.libcontainer.furniture import Furniture
from mini_docker.linux.recording import RecordingKernel

ROOT = Path(__file__).resolve().parents[2]
CRADLE = "mini-docker/waiting-1"
SPEC = ContainerSpec(
    ProcessSpec(("true",)),
    (Namespace("mount"), Namespace("pid")),
    cgroup="mini-docker/abc",
    mounts=(
        Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "mode=755")),
        Mount("/dev/shm", "tmpfs", "shm", ("mode=1777",)),
        Mount("/sys", "sysfs", "sysfs", ("ro",)),
        Mount("/sys/fs/cgroup", "tmpfs", "tmpfs", ("ro", "mode=755")),
        Mount("/sys/fs/cgroup/cpu", "bind", "/sys/fs/cgroup/cpu/mini-docker/abc", ("bind", "ro")),
        Mount("/etc/hosts", "bind", "/var/lib/mini-docker/containers/abc/hosts", ("rbind", "rprivate")),
    ),
    devices=(Device("/dev/null", "c", 1, 3),),
    masked_paths=("/proc/kcore", "/sys/firmware", "/opt/secret"),
    readonly_paths=("/proc/sys", "/opt/fixed"),
)


def made(spec: ContainerSpec) -> Furniture:
    """What `assemble` would give, without a kernel."""
    return Furniture(rootfs_plan.split(rootfs_plan.plan(furniture.seen_in(spec, CRADLE)))[0], CRADLE, {})


paths = st.sampled_from(("/proc", "/process", "/dev/shm", "/devices", "/sys/fs", "/", "/etc/hosts", "/data/proc"))


@given(st.lists(paths, unique=True), st.lists(paths, unique=True), st.lists(paths, unique=True))
def test_a_plan_is_split_without_a_loss(targets: list[str], masked: list[str], readonly: list[str]) -> None:
    """Each of its steps is in one of the halves, in its order; a name that begins alike is another place."""
    mounts = tuple(Mount(target, "tmpfs", "tmpfs") for target in targets)
    spec = replace(SPEC, mounts=mounts, masked_paths=tuple(masked), readonly_paths=tuple(readonly), devices=())
    plan = rootfs_plan.plan(spec)
    inside, outside = rootfs_plan.split(plan)
    furnished = {"/proc", "/dev/shm", "/sys/fs"}
    for whole, *halves in (
        ([step.target for step in plan.mounts], [s.target for s in inside.mounts], [s.target for s in outside.mounts]),
        (list(plan.masked), list(inside.masked), list(outside.masked)),
        (list(plan.readonly), list(inside.readonly), list(outside.readonly)),
    ):
        assert halves == [[p for p in whole if p in furnished], [p for p in whole if p not in furnished]]


def test_another_container_of_its_kind_gets_it() -> None:
    """Other names, other files: what remains are those."""
    hosts = Mount("/etc/hosts", "bind", "/var/lib/mini-docker/containers/xyz/hosts", ("rbind", "rprivate"))
    other = replace(
        SPEC, cgroup="mini-docker/xyz", hostname="xyz",
        mounts=(*SPEC.mounts[:5], replace(SPEC.mounts[5], source="/sys/fs/cgroup/cpu/mini-docker/xyz"), hosts),
    )  # fmt: skip
    rest = made(SPEC).rest_for(other)
    assert rest is not None
    assert [step.target for step in rest.mounts] == ["/etc/hosts"]
    assert (rest.masked, rest.readonly, rest.sealed) == (("/opt/secret",), ("/opt/fixed",), ())
    whole = rootfs_plan.plan(other)
    assert set(whole.mounts) == {*rest.mounts, *rootfs_plan.split(whole)[0].mounts}


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, mounts=(*SPEC.mounts, Mount("/sys/kernel/debug", "bind", "/sys/kernel/debug", ("rbind",)))),
        replace(SPEC, mounts=(*SPEC.mounts, Mount("/dev/disk", "tmpfs", "tmpfs"))),
        replace(SPEC, mounts=(*SPEC.mounts[:5], replace(SPEC.mounts[5], source="/sys/fs/cgroup/cpu/else"))),
        replace(SPEC, masked_paths=()),
        replace(SPEC, readonly_paths=("/proc/sys", "/proc/bus")),
        replace(SPEC, devices=()),
        replace(SPEC, sysctls={"net.ipv4.ip_forward": "1"}),
    ],
    ids=["a volume in /sys", "a tmpfs in /dev", "another's cgroup", "no masks", "more masks", "no devices", "sysctls"],
)
def test_who_is_different_gets_his_own(other: ContainerSpec) -> None:
    """What is not exactly alike is made anew, all of it."""
    assert made(SPEC).rest_for(other) is None
    assert furniture.what_remains(made(SPEC), other) == (rootfs_plan.plan(other), {})


@pytest.mark.parametrize(
    "model",
    [
        replace(SPEC, mounts=(*SPEC.mounts, Mount("/dev/log", "bind", "/dev/log", ("bind",)))),
        replace(SPEC, mounts=(SPEC.mounts[0], replace(SPEC.mounts[1], options=("ro",)), *SPEC.mounts[2:])),
        replace(SPEC, mounts=SPEC.mounts[1:]),
        replace(SPEC, mounts=(*SPEC.mounts[:3], Mount("/sys", "bind", "/sys", ("rbind",)))),
        replace(SPEC, namespaces=()),
        replace(SPEC, sysctls={"net.ipv4.ip_forward": "1"}),
    ],
    ids=["the host's", "a sealed /dev", "no /proc", "the host's /sys", "no mount namespace", "sysctls"],
)
def test_what_is_not_alike_for_all_is_not_assembled(model: ContainerSpec) -> None:
    """A host's path may be something else when the container comes; and nothing is tried."""
    kernel = RecordingKernel()
    assert furniture.assemble(kernel.door(), model, CRADLE) is None
    assert kernel.calls == []


LIVE = """
import errno, json, os, sys
from mini_docker.dataclasses import replace
from mini_docker.libcontainer import furniture
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.linux_kernel import LinuxKernel
from tests.libcontainer.test_furniture import SPEC

class Older(LinuxKernel):
    def move_mount(self, descriptor, directory, path):
        raise SyscallError("move_mount", (), errno.EINVAL)

kernel = LinuxKernel()
kernel.unshare(c.CLONE_NEWNS)
kernel.mount("", "/", flags=c.MS_PRIVATE | c.MS_REC)
host = sys.argv[1] + "/host"
os.mkdir(host)
kernel.mount("tmpfs", host, "tmpfs")
kernel.mount("", host, flags=c.MS_SHARED)  # as systemd has it
os.makedirs(host + "/x")
spec = replace(SPEC, mounts=(*SPEC.mounts[:5], replace(SPEC.mounts[5], source=host + "/" + SPEC.cgroup)))
before = os.listdir("/proc/self/fd")
found = {"older": furniture.assemble(Older(), spec, "x"), "left": os.listdir("/proc/self/fd") != before}
made = furniture.assemble(kernel, spec, "x")
if made is not None:
    root = sys.argv[1]
    for place, tree in made.trees.items():
        os.mkdir(root + place)
        kernel.move_mount(tree, c.AT_FDCWD, root + place)
    made.close()
    def refusal(path):
        try:
            os.close(os.open(root + path, os.O_CREAT | os.O_WRONLY))
        except OSError as error:
            return errno.errorcode[error.errno]
    found["kcore"] = os.path.getsize(root + "/proc/kcore") if os.path.exists(root + "/proc/kcore") else 0
    found["firmware"] = os.listdir(root + "/sys/firmware")
    found["refusals"] = [refusal(path) for path in ("/proc/sys/kernel/domainname", "/sys/x", "/dev/shm/x", "/dev/x")]
    found["null"] = os.path.exists(root + "/dev/null")
    with open("/proc/self/mountinfo") as lines:
        inside = [line for line in lines if root + "/sys/fs/cgroup/cpu " in line]
    found["ties"] = [word for line in inside for word in line.split(" - ")[0].split()[6:]]
print(json.dumps(found))
"""


@pytest.mark.root
def test_what_is_assembled_is_walled_off(tmp_path: Path) -> None:
    """Masks, seals and all; where the kernel cannot do it, nothing is left of the try."""
    command = [sys.executable, "-c", LIVE, str(tmp_path)]
    out = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert out.returncode == 0, out.stderr
    found = json.loads(out.stdout)
    assert (found.pop("older"), found.pop("left")) == (None, False)
    if not found:
        pytest.skip("this kernel attaches nothing to a detached mount (Linux 6.15)")
    ties = [word for word in found["ties"] if word.startswith("master:")]
    assert len(ties) == 1  # what is mounted in there is not seen on the host: it is a slave, and no peer
    assert found == {"kcore": 0, "firmware": [], "refusals": ["EROFS", "EROFS", None, None], "null": True, "ties": ties}
