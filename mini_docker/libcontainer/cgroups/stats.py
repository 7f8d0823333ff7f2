"""The meters' faces: cgroup files' texts → the numbers of the Remote API's stats.

Pure: a *reader* is given, which returns the text of a file in the container's cgroup, or an empty one
where there is none. It knows nothing of mount points, and nothing of networks (the network driver
adds theirs) or of the previous reading (the stats job keeps it).

Source: Docker's ``api/types/stats.go``; the kernel's cgroup-v1 and cgroup-v2 documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mini_docker.libcontainer.cgroups.plan import flat

Reader = Callable[[str], str]
"""Control file name → its text; empty where this kernel has no such file."""

_NS_PER_TICK = 10_000_000  # USER_HZ is 100 on every architecture that we know
_NS_PER_US = 1000


def stats_v1(read: Reader, proc_stat: str, meminfo: str) -> dict[str, Any]:
    """Stats from v1's files.

    Args:
        proc_stat, meminfo: texts of /proc/stat and /proc/meminfo: the host's side of the picture.
    """
    throttling, ticks = flat(read("cpu.stat")), flat(read("cpuacct.stat"))
    per_cpu = [int(word) for word in read("cpuacct.usage_percpu").split()]
    limit = read("memory.limit_in_bytes")
    return {
        "cpu_stats": {
            "cpu_usage": {
                "total_usage": _number(read("cpuacct.usage")),
                "percpu_usage": per_cpu,
                "usage_in_kernelmode": ticks.get("system", 0) * _NS_PER_TICK,
                "usage_in_usermode": ticks.get("user", 0) * _NS_PER_TICK,
            },
            **_host_cpu(proc_stat),
            "throttling_data": {
                "periods": throttling.get("nr_periods", 0),
                "throttled_periods": throttling.get("nr_throttled", 0),
                "throttled_time": throttling.get("throttled_time", 0),
            },
        },
        "memory_stats": {
            "usage": _number(read("memory.usage_in_bytes")),
            "max_usage": _number(read("memory.max_usage_in_bytes")),
            "stats": flat(read("memory.stat")),
            "failcnt": _number(read("memory.failcnt")),
            "limit": _memory_limit(limit, meminfo),
        },
        "pids_stats": _pids(read),
        "blkio_stats": {
            # BFQ's own account where that scheduler runs, else the throttling layer's, which is always kept.
            "io_service_bytes_recursive": _first(
                _blkio(read(f"blkio.{layer}io_service_bytes_recursive")) for layer in ("bfq.", "throttle.", "")
            ),
            "io_serviced_recursive": _first(
                _blkio(read(f"blkio.{layer}io_serviced_recursive")) for layer in ("bfq.", "throttle.", "")
            ),
            **{name: _blkio(read(f"blkio.{name}")) for name in _OTHER_BLKIO},
        },
    }


def stats_v2(read: Reader, proc_stat: str, meminfo: str) -> dict[str, Any]:
    """Stats from v2's files; arguments as `stats_v1`."""
    cpu, memory = flat(read("cpu.stat")), flat(read("memory.stat"))
    io = read("io.stat")
    return {
        "cpu_stats": {
            "cpu_usage": {
                "total_usage": cpu.get("usage_usec", 0) * _NS_PER_US,
                "usage_in_kernelmode": cpu.get("system_usec", 0) * _NS_PER_US,
                "usage_in_usermode": cpu.get("user_usec", 0) * _NS_PER_US,
            },
            **_host_cpu(proc_stat),
            "throttling_data": {
                "periods": cpu.get("nr_periods", 0),
                "throttled_periods": cpu.get("nr_throttled", 0),
                "throttled_time": cpu.get("throttled_usec", 0) * _NS_PER_US,
            },
        },
        "memory_stats": {
            "usage": _number(read("memory.current")),
            "stats": memory,
            "failcnt": flat(read("memory.events")).get("max", 0),
            "limit": _memory_limit(read("memory.max"), meminfo),
        },
        "pids_stats": _pids(read),
        "blkio_stats": {
            "io_service_bytes_recursive": _io(io, {"rbytes": "read", "wbytes": "write"}),
            "io_serviced_recursive": _io(io, {"rios": "read", "wios": "write"}),
            **dict.fromkeys(_OTHER_BLKIO),
        },
    }


_OTHER_BLKIO = (
    "io_queue_recursive", "io_service_time_recursive", "io_wait_time_recursive", "io_merged_recursive",
    "io_time_recursive", "sectors_recursive",
)  # fmt: skip


def _number(text: str) -> int:
    word = text.strip()
    return int(word) if word.isdecimal() else 0


def _host_cpu(proc_stat: str) -> dict[str, int]:
    """The host's whole CPU time in nanoseconds (idle time included, guest time is in user time already) and CPUs."""
    lines = proc_stat.splitlines()
    total = sum(int(word) for word in lines[0].split()[1:9]) if lines else 0
    return {
        "system_cpu_usage": total * _NS_PER_TICK,
        "online_cpus": sum(1 for line in lines if line.startswith("cpu") and line[3:4].isdecimal()),
    }


def _memory_limit(text: str, meminfo: str) -> int:
    """The limit, or all of the host's memory where there is none or a greater one, as ``docker stats`` shows."""
    total = next((int(line.split()[1]) * 1024 for line in meminfo.splitlines() if line.startswith("MemTotal:")), 0)
    limit = _number(text)
    return min(limit, total) if limit and total else limit or total


def _pids(read: Reader) -> dict[str, int]:
    stats = {"current": _number(read("pids.current"))}
    limit = _number(read("pids.max"))
    return stats | ({"limit": limit} if limit else {})


def _blkio(text: str) -> list[dict[str, Any]]:
    """v1: lines such as ``8:0 Read 4096``; the last, ``Total 4096``, sums up and is left out."""
    entries = []
    for line in text.splitlines():
        words = line.replace(":", " ").split()
        if len(words) == 4 and words[0].isdecimal():
            entries.append({"major": int(words[0]), "minor": int(words[1]), "op": words[2], "value": int(words[3])})
        elif len(words) == 3 and words[0].isdecimal():
            entries.append({"major": int(words[0]), "minor": int(words[1]), "op": "", "value": int(words[2])})
    return entries


def _io(text: str, operations: dict[str, str]) -> list[dict[str, Any]]:
    """v2: lines such as ``8:0 rbytes=4096 wbytes=0 rios=1 …``."""
    entries = []
    for line in text.splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key in operations:
                entries.append({"major": int(major), "minor": int(minor), "op": operations[key], "value": int(value)})
    return entries


def _first(candidates: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return next((candidate for candidate in candidates if candidate), [])
