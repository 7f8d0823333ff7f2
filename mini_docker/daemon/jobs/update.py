"""The job ``update``: other limits and another restart policy for a container, while it runs if need be.

Ours by name; Docker has had it since 1.10 (``daemon/update.go``).
"""

from __future__ import annotations

from typing import Any

from mini_docker.daemon.container import api_json
from mini_docker.daemon.container.devices import block_device_numbers, wished_devices
from mini_docker.daemon.container.host_config import HostConfig
from mini_docker.daemon.container.spec import Surroundings, resources_of
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.jobs.answers import answer, argument, json_body
from mini_docker.daemon.jobs.events import log_event
from mini_docker.dataclasses import fields, replace
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.engine import Job
from mini_docker.errors import Conflict

_CHANGEABLE = (
    "blkio_weight", "cpu_period", "cpu_quota", "cpu_realtime_period", "cpu_realtime_runtime", "cpu_shares",
    "cpuset_cpus", "cpuset_mems", "kernel_memory", "memory", "memory_reservation", "memory_swap", "nano_cpus",
    "pids_limit",
)  # fmt: skip


class Update:
    """Answers ``{"Warnings"}``."""

    def __init__(self, containers: ContainerStore, exec_driver: ExecDriver) -> None:
        self._containers = containers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        container, body = self._containers.get(argument(job)), json_body(job)
        with container.lock:
            host = updated(container.host_config, body)
            if host.restart_policy.restarts and host.auto_remove:
                raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
            warnings: tuple[str, ...] = ()
            if container.state.running:
                world = Surroundings(devices=wished_devices(host), device_numbers=block_device_numbers(host))
                warnings = self._exec_driver.update(container.id, resources_of(host, world))
            container.host_config = host
            self._containers.save_host_config(container)
            log_event(job, container, "update")
        answer(job, {"Warnings": list(warnings) or None})


def updated(host: HostConfig, body: dict[str, Any]) -> HostConfig:
    """*host* with what *body* says; what it does not say, or says as zero, stays.

    Raises:
        Invalid: a wrong field, or limits that contradict each other or what stays.
    """
    wished = api_json.decode(HostConfig, body)
    zero = HostConfig()
    changes: dict[str, Any] = {}
    for field in fields(HostConfig):
        value = getattr(wished, field.name)
        if field.name in _CHANGEABLE and value != getattr(zero, field.name):
            changes[field.name] = value
    if wished.restart_policy.name:
        changes["restart_policy"] = wished.restart_policy
    if "nano_cpus" in changes:
        changes |= {"cpu_period": 0, "cpu_quota": 0}
    merged = replace(host, **changes)
    HostConfig.from_json(api_json.encode(merged))  # for its checks
    return merged
