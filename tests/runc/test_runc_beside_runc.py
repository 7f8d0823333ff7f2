"""mini-runc beside the real thing: what a process sees of itself inside is what it sees under runc."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runc.runc_bench import RuncBench

LOOK = """
cat /proc/self/status; echo @; cat /proc/self/mountinfo; echo @; cat /proc/self/cgroup; echo @
cat /proc/self/limits; echo @; env; echo @; pwd; hostname; umask; cat /proc/self/oom_score_adj; tty; echo @
ls /dev; echo @; ls -ln /dev/null /dev/tty /dev/fd /dev/ptmx | sed 's/ [A-Z][a-z][a-z] .*[0-9] / /'; echo @
ls /proc/self/fd; echo @; cat /proc/sys/net/ipv4/ip_forward 2>&1; ls -n /proc/1/ns | wc -l
"""
STATUS = ("Umask", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
          "Seccomp", "SigBlk", "SigIgn")  # fmt: skip


def default(config: dict[str, Any]) -> None:
    """Nothing changed."""


def user(config: dict[str, Any]) -> None:
    """Another user with groups, capabilities that it keeps, and a umask."""
    config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [10, 2000], "umask": 0o077}
    config["process"]["capabilities"] = {
        name: ["CAP_KILL", "CAP_NET_BIND_SERVICE"]
        for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
    }


def limits(config: dict[str, Any]) -> None:
    """Limits, an OOM score, new privileges allowed, a read-only root and a working directory."""
    config["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    config["process"].update(oomScoreAdj=500, noNewPrivileges=False, cwd="/tmp")
    config["root"]["readonly"] = True


def seccomp(config: dict[str, Any]) -> None:
    """A filter in the OCI's form."""
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}],
    }


def shared_names(config: dict[str, Any]) -> None:
    """The host's network and UTS namespaces."""
    config.pop("hostname")
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "mount")]


def mounts(config: dict[str, Any]) -> None:
    """Volumes with all manner of options."""
    for number, options in enumerate(
        (
            ["bind", "ro"],
            ["rbind", "nosuid", "nodev"],
            ["bind", "noexec", "noatime"],
            ["rbind", "rprivate", "ro", "nosuid"],
        )
    ):
        config["mounts"].append(
            {"destination": f"/tmp/v{number}", "type": "bind", "source": "/usr/share", "options": options}
        )
    config["mounts"].append(
        {"destination": "/tmp/t", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "mode=700", "nodev", "ro"]}
    )


def sysctls(config: dict[str, Any]) -> None:
    """A variable of the network namespace."""
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}


CASES: list[Callable[[dict[str, Any]], None]] = [default, user, limits, seccomp, shared_names, mounts, sysctls]


@pytest.fixture
def runc(tmp_path: Path, busybox_root: Path) -> Iterator[RuncBench]:
    """The real runc."""
    command = shutil.which("runc")
    if command is None:
        pytest.skip("runc is not installed")
    (tmp_path / "real").mkdir()
    bench = RuncBench(command, tmp_path / "real", busybox_root)
    yield bench
    bench.close()


def view(output: bytes) -> dict[str, Any]:
    """What the process saw, in a form that can be compared."""
    status, mountinfo, cgroup, *rest = output.decode().split("@\n")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    seen: dict[str, Any] = {name: fields[name].split() for name in STATUS if name in fields}
    seen["mounts"] = sorted(mount_line(line) for line in mountinfo.splitlines())
    # Without the line of an empty v2 tree beside v1's: runc makes a group there, too, in which nothing is counted.
    seen["cgroup"] = sorted(
        re.sub(r"runc-\w+", "runc-ID", line.split(":", 1)[1])
        for line in cgroup.splitlines()
        if not (line.startswith("0::") and len(cgroup.splitlines()) > 1)
    )
    names = ("limits", "env", "process", "dev", "nodes", "descriptors", "more")
    seen |= dict(zip(names, (part.splitlines() for part in rest), strict=True))
    seen["env"] = sorted(word for word in seen["env"] if not word.startswith("SHLVL="))
    return seen


def mount_line(line: str) -> tuple[str, ...]:
    """Where, what, with which attributes and which ties: without what differs from one run to the next."""
    before, _, after = line.partition(" - ")
    _, _, _, root, point, attributes, *ties = before.split()
    fstype, source, _ = after.split(" ", 2)
    words = set(attributes.split(","))
    if point == "/sys/fs/cgroup":
        words -= {"ro", "rw"}  # on cgroup v1 runc leaves the little tmpfs that holds the groups writable, we do not
    tie = "".join(sorted(word.partition(":")[0] for word in ties))
    root = re.sub(r"runc-\w+", "runc-ID", root)
    return point, fstype, "" if fstype == "cgroup" else source, root, ",".join(sorted(words)), tie


@pytest.mark.root
@pytest.mark.parametrize("change", CASES)
def test_a_process_sees_the_same(
    mini_runc: RuncBench, runc: RuncBench, change: Callable[[dict[str, Any]], None]
) -> None:
    """Identity, capabilities, mounts with their attributes, cgroups, limits, environment, devices, descriptors."""
    views = []
    for bench in (mini_runc, runc):
        config = bench.config("sh", "-c", LOOK)
        config["ociVersion"] = "1.0.2"
        change(config)
        done = bench.run(config)
        assert done.returncode == 0, done.stderr.decode()
        views.append(view(done.stdout))
    ours, theirs = views
    different = {part: differences(ours[part], theirs[part]) for part in ours if ours[part] != theirs[part]}
    assert not different, json.dumps(different, indent=1)


def differences(ours: list[Any], theirs: list[Any]) -> dict[str, list[Any]]:
    """What only one of them saw."""
    return {
        "ours": [item for item in ours if item not in theirs],
        "runc": [item for item in theirs if item not in ours],
    }
