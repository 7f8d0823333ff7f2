"""The job ``stats``: what a container uses of the machine, once or every second."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.container.timestamps import NEVER, format_time
from mini_docker.daemon.jobs.answers import argument
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.engine import Job
from mini_docker.errors import MiniDockerError

SECONDS_BETWEEN = 1.0

_COUNTERS = (
    ("rx_bytes", 0), ("rx_packets", 1), ("rx_errors", 2), ("rx_dropped", 3),
    ("tx_bytes", 8), ("tx_packets", 9), ("tx_errors", 10), ("tx_dropped", 11),
)  # fmt: skip
"""A counter's name in the Remote API, and its column in /proc/net/dev."""


class Stats:
    """Writes a JSON object a sample. Env: stream (true), one-shot.

    A client computes CPU use from two samples, so a single answer takes two, a second apart, unless
    ``one-shot`` says that it does not care.
    """

    def __init__(self, containers: ContainerStore, exec_driver: ExecDriver) -> None:
        self._containers = containers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        container = self._containers.get(argument(job))
        stream, one_shot = job.env.get_bool("stream", True), job.env.get_bool("one-shot")
        job.service = stream
        gone = threading.Event()
        before: dict[str, Any] = {}
        with job.on_cancel(gone.set):
            if stream:
                job.stdout.flush()
            elif not one_shot:
                before = self._sample(container)
                gone.wait(SECONDS_BETWEEN)
            while not gone.is_set():
                sample = self._sample(container)
                job.stdout.write(json.dumps(with_previous(sample, before)).encode() + b"\n")
                if not stream or self._containers.find(container.id) is None:
                    return
                before = sample
                gone.wait(SECONDS_BETWEEN)

    def _sample(self, container: Container) -> dict[str, Any]:
        """What it uses now; zeros when it does not run."""
        sample: dict[str, Any] = {
            "read": format_time(time.time_ns()),
            "pids_stats": {}, "blkio_stats": {}, "num_procs": 0, "storage_stats": {},
            "cpu_stats": _NO_CPU, "memory_stats": {},
        }  # fmt: skip
        if container.state.running:
            try:
                sample |= self._exec_driver.stats(container.id)
                networks = _networks(container.state.pid) if "host" not in container.attachments else {}
                if networks:
                    sample["networks"] = networks
            except MiniDockerError:
                pass  # it has just ended
        return sample | {"name": f"/{container.name}", "id": container.id}


_NO_CPU: dict[str, Any] = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}


def with_previous(sample: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """*sample* with what the sample before it said of the CPU."""
    return sample | {
        "preread": before.get("read", NEVER),
        "precpu_stats": before.get("cpu_stats", _NO_CPU),
    }


def _networks(pid: int) -> dict[str, dict[str, int]]:
    """Counters of each interface in the network namespace of *pid*."""
    try:
        text = Path(f"/proc/{pid}/net/dev").read_text()
    except OSError:
        return {}
    return parse_net_dev(text)


def parse_net_dev(text: str) -> dict[str, dict[str, int]]:
    """The counters in a /proc/net/dev, by interface; the loopback's own are nobody's business. Source: proc(5)."""
    networks = {}
    for line in text.splitlines()[2:]:
        name, _, counters = line.partition(":")
        fields = counters.split()
        if name.strip() != "lo" and len(fields) >= 12:
            networks[name.strip()] = {key: int(fields[column]) for key, column in _COUNTERS}
    return networks
