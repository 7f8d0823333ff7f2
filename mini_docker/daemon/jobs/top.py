"""The job ``top``: the processes of a container, as the host's ps shows them.

Classic Docker's ContainerTop (``daemon/top.go``).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection
from typing import Any

from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.jobs.answers import answer, argument
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.engine import Job
from mini_docker.errors import Invalid, Unsupported

_ALLOWED = re.compile(r"[A-Za-z0-9 ,_.%:=+-]*\Z")


class Top:
    """Answers ``{"Titles", "Processes"}``. Env: ps_args."""

    def __init__(self, containers: ContainerStore, exec_driver: ExecDriver) -> None:
        self._containers = containers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        container = self._containers.get(argument(job))
        words = job.env.get("ps_args", "") or "-ef"
        if not _ALLOWED.match(words):
            raise Invalid(f"ps_args: {words!r}: only words for ps(1) are allowed")
        container.require_running()
        pids = set(self._exec_driver.processes(container.id))
        try:
            result = subprocess.run(["ps", *words.split()], capture_output=True, text=True, check=False, timeout=10)
        except FileNotFoundError:
            raise Unsupported("top shows what ps(1) says, and the host has none: install the package procps") from None
        if result.returncode:
            raise Invalid(f"ps: {result.stderr.strip() or 'failed'}")
        answer(job, parse_ps(result.stdout, pids))


def parse_ps(output: str, pids: Collection[int]) -> dict[str, Any]:
    """The lines of ps's *output* that are of *pids*, as columns.

    Raises:
        Invalid: the columns chosen hold no PID.
    """
    lines = output.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Invalid("Couldn't find PID field in ps output")
    column = titles.index("PID")
    processes = []
    for line in lines[1:]:
        # The last column, a command, may hold blanks.
        fields = line.split(None, len(titles) - 1)
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids:
            processes.append(fields)
    return {"Titles": titles, "Processes": processes}
