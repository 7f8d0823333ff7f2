"""Where cgroups are mounted, read from the texts that machines of each kind show; and what is dropped where."""

from __future__ import annotations

import pytest

from mini_docker.errors import Unsupported
from mini_docker.libcontainer.cgroups.features import CgroupFeatures, drop_unsupported
from mini_docker.libcontainer.cgroups.hierarchy import parse_hierarchy
from mini_docker.libcontainer.cgroups.stats import stats_v1, stats_v2
from mini_docker.libcontainer.config import DeviceRule, Resources

OTHERS = """\
22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
24 22 0:22 / /proc rw,nosuid shared:12 - proc proc rw
"""
V1 = """\
31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup rw,xattr,name=systemd
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:15 master:2 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
35 31 0:31 / /srv/chroot\\040one/memory rw - cgroup cgroup rw,memory
"""
HYBRID = V1 + "36 31 0:40 / /sys/fs/cgroup/unified rw,nosuid shared:11 - cgroup2 cgroup2 rw,nsdelegate\n"
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
OWN_V1 = "9:name=systemd:/user.slice\n4:cpu,cpuacct:/\n2:memory:/user.slice/a:b\n0::/init\n"


def test_v1() -> None:
    """Co-mounted controllers share a directory; a second mount of a tree does not count."""
    found = parse_hierarchy(OTHERS + V1, OWN_V1)
    assert (found.version, found.is_hybrid, found.unified) == (1, False, "")
    assert found.mounts == {
        "name=systemd": "/sys/fs/cgroup/systemd",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory",
    }
    assert found.directories() == (
        "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory",
    )  # fmt: skip
    assert found.own == {
        "name=systemd": "/user.slice", "cpu": "/", "cpuacct": "/", "memory": "/user.slice/a:b", "": "/init",
    }  # fmt: skip


def test_hybrid_is_v1_with_an_empty_v2_beside_it() -> None:
    """The controllers are in v1's trees: limits written to the v2 tree would fail."""
    found = parse_hierarchy(OTHERS + HYBRID, OWN_V1)
    assert (found.version, found.is_hybrid, found.unified) == (1, True, "/sys/fs/cgroup/unified")
    assert "/sys/fs/cgroup/unified" not in found.directories()


def test_v2() -> None:
    """One tree has all."""
    found = parse_hierarchy(OTHERS + V2, "0::/system.slice/x.service\n")
    assert (found.version, found.is_hybrid, found.mounts) == (2, False, {})
    assert found.directories() == ("/sys/fs/cgroup",)
    assert found.own == {"": "/system.slice/x.service"}


def test_spaces_in_mount_points() -> None:
    """mountinfo writes them as octal numbers."""
    found = parse_hierarchy(V1.splitlines()[-1], "")
    assert found.mounts["memory"] == "/srv/chroot one/memory"


def test_no_cgroups() -> None:
    """A clear sentence, not a KeyError later."""
    with pytest.raises(Unsupported, match="no cgroup file system is mounted"):
        parse_hierarchy(OTHERS, "")


def test_what_the_kernel_lacks_is_dropped_with_dockers_words() -> None:
    """Docker starts the container all the same and says what it could not do; its users know these sentences."""
    wished = Resources(memory_bytes=1 << 26, memory_swap_bytes=1 << 27, pids=5, blkio_weight=300, oom_kill_disable=True)
    kept, warnings = drop_unsupported(wished, CgroupFeatures(memory=True, pids=True))
    assert kept == Resources(memory_bytes=1 << 26, pids=5)
    assert warnings == (
        "Your kernel does not support swap limit capabilities or the cgroup is not mounted."
        " Memory limited without swap.",
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
        "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
    )


def test_nothing_at_all_can_be_dropped_and_nothing_wished_warns_nobody() -> None:
    """A machine without any controller still runs containers; one without wishes hears nothing."""
    wished = Resources(memory_bytes=1, memory_swap_bytes=2, cpu_shares=2, cpuset_cpus="0", devices=(DeviceRule(False),))
    kept, warnings = drop_unsupported(wished, CgroupFeatures())
    assert kept == Resources()
    assert len(warnings) == 4  # memory's sentence speaks for swap
    assert drop_unsupported(Resources(), CgroupFeatures()) == (Resources(), ())


PROC_STAT = "cpu  10 0 20 60 5 0 5 0 7 0\ncpu0 5 0 10 30 2 0 3 0 0 0\ncpu1 5 0 10 30 3 0 2 0 7 0\nintr 5\n"
MEMINFO = "MemTotal:        1024 kB\nMemFree:  1 kB\n"


def test_v1_stats() -> None:
    """The Remote API's shape and units: nanoseconds, bytes, and the host's memory where no limit is."""
    files = {
        "cpuacct.usage": "3000000\n",
        "cpuacct.usage_percpu": "1000000 2000000 \n",
        "cpuacct.stat": "user 7\nsystem 2\n",
        "cpu.stat": "nr_periods 4\nnr_throttled 3\nthrottled_time 99\n",
        "memory.usage_in_bytes": "4096\n",
        "memory.max_usage_in_bytes": "8192\n",
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.failcnt": "2\n",
        "memory.stat": "cache 1\nrss 2\ntotal_inactive_file 3\n",
        "pids.current": "6\n",
        "pids.max": "max\n",
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 512\n8:0 Write 0\nTotal 512\n",
    }
    stats = stats_v1(lambda file: files.get(file, ""), PROC_STAT, MEMINFO)
    assert stats["cpu_stats"] == {
        "cpu_usage": {
            "total_usage": 3000000,
            "percpu_usage": [1000000, 2000000],
            "usage_in_kernelmode": 20_000_000,
            "usage_in_usermode": 70_000_000,
        },
        "system_cpu_usage": 1_000_000_000,
        "online_cpus": 2,
        "throttling_data": {"periods": 4, "throttled_periods": 3, "throttled_time": 99},
    }
    assert stats["memory_stats"]["limit"] == 1024 * 1024
    assert stats["memory_stats"]["stats"]["total_inactive_file"] == 3
    assert (stats["memory_stats"]["max_usage"], stats["memory_stats"]["failcnt"]) == (8192, 2)
    assert stats["pids_stats"] == {"current": 6}
    assert stats["blkio_stats"]["io_service_bytes_recursive"] == [
        {"major": 8, "minor": 0, "op": "Read", "value": 512},
        {"major": 8, "minor": 0, "op": "Write", "value": 0},
    ]


def test_v2_stats() -> None:
    """The same numbers from the other dialect, in microseconds there."""
    files = {
        "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 3\nthrottled_usec 9\n",
        "memory.current": "4096\n",
        "memory.max": "65536\n",
        "memory.stat": "anon 1\ninactive_file 3\n",
        "memory.events": "low 0\nhigh 0\nmax 5\noom 1\noom_kill 1\n",
        "pids.current": "6\n",
        "pids.max": "64\n",
        "io.stat": "8:0 rbytes=512 wbytes=4 rios=1 wios=2 dbytes=0 dios=0\n",
    }
    stats = stats_v2(lambda file: files.get(file, ""), PROC_STAT, MEMINFO)
    assert stats["cpu_stats"]["cpu_usage"] == {
        "total_usage": 30_000, "usage_in_kernelmode": 10_000, "usage_in_usermode": 20_000,
    }  # fmt: skip
    assert stats["cpu_stats"]["throttling_data"]["throttled_time"] == 9000
    assert (stats["memory_stats"]["usage"], stats["memory_stats"]["limit"]) == (4096, 65536)
    assert stats["memory_stats"]["failcnt"] == 5
    assert stats["pids_stats"] == {"current": 6, "limit": 64}
    assert stats["blkio_stats"]["io_serviced_recursive"] == [
        {"major": 8, "minor": 0, "op": "read", "value": 1},
        {"major": 8, "minor": 0, "op": "write", "value": 2},
    ]


def test_stats_of_a_cgroup_that_is_gone() -> None:
    """A container may end while its stats are read: zeros, not a crash."""
    for stats in (stats_v1, stats_v2):
        assert stats(lambda file: "", PROC_STAT, MEMINFO)["memory_stats"]["usage"] == 0
