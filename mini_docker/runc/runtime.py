"""The OCI runtime's operations on containers: create, start, kill, delete and what lies between.

Each operation is one process's whole life: it reads the state folder, does its step and writes what the next one
needs. Between `create` and `start` nobody but the parked init is there; it waits at the gate in the state folder.

::

    creating ─▶ created ─start─▶ running ─(ends)─▶ stopped ─delete─▶ (gone)
                                 │   ▲
                              pause resume
                                 ▼   │
                                 paused

A container's status is never stored: it is seen each time from the process, the gate and the freezer.

It knows no flags and prints nothing. Source: OCI runtime specification 1.2, runtime.md.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from mini_docker.dataclasses import replace
from mini_docker.errors import Conflict, MiniDockerError
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.parent import Parent, born_into, joinable_flags
from mini_docker.libcontainer.terms import Entry
from mini_docker.linux.kernel import Kernel
from mini_docker.runc import container_process
from mini_docker.runc.birth import Attendant, let_go
from mini_docker.runc.bundle import grantable, read_bundle
from mini_docker.runc.complaint import utc_now
from mini_docker.runc.delivery import Delivery
from mini_docker.runc.hooks import decode_hooks, run_hooks
from mini_docker.runc.json_node import Node
from mini_docker.runc.oci import decode_config, decode_process
from mini_docker.runc.state import Record
from mini_docker.runc.state_folder import StateFolder, all_folders
from mini_docker.runc.terminal import attend_process
from mini_docker.runc.wishes import OWN_STREAMS, Wishes

KILL_SECONDS = 10.0

NOT_RUNNING = "container not running"
"""Engines know by these words, which are runc's, that there was nobody left to get the signal."""


class Runtime:
    """The containers below one root folder.

    Args:
        root: the state folder of all of them.
        warn: takes what is not worth failing for, a sentence each.
    """

    def __init__(self, root: str, kernel: Kernel, cgroups: CgroupManager, warn: Callable[[str], None]) -> None:
        self._root = root
        self._kernel = kernel
        self._cgroups = cgroups
        self._warn = warn

    # birth
    def create(self, id_: str, bundle: str, wishes: Wishes) -> None:
        """Make a container whose init waits to be started.

        Args:
            bundle: absolute path.

        Raises:
            Conflict: the id is taken. Invalid: the bundle is wrong. MiniDockerError: it cannot be made.
        """
        self._bear(id_, bundle, replace(wishes, detach=True), parked=True)

    def run(self, id_: str, bundle: str, wishes: Wishes) -> int:
        """Create and start; unless it is to be detached, wait for its end and delete it.

        Returns:
            the command's exit code; 0 when detached.

        Raises:
            As `create`.
        """
        attendant = self._bear(id_, bundle, wishes, parked=False)
        if wishes.detach:
            return 0
        try:
            return attend_process(attendant.newborn.pidfd, attendant.master)
        finally:
            self.delete(id_, force=True)

    def start(self, id_: str) -> None:
        """Let a created container's command run.

        Raises:
            Conflict: it is not in that state. MiniDockerError: the command cannot be executed.
        """
        folder = StateFolder(self._root, id_)
        with folder.locked():
            record = self._in_state(folder, "created")
            try:
                with folder.knock() as dialogue:
                    let_go(dialogue)
            finally:
                folder.close_gate()
            self._run_poststart(record)

    def _bear(self, id_: str, path: str, wishes: Wishes, parked: bool) -> Attendant:
        folder = StateFolder(self._root, id_)
        bundle = read_bundle(path, f"mini-runc-{id_}", self._kernel)
        spec = bundle.config.spec
        wishes.check(spec.process.terminal)
        if self._cgroups.pids(spec.cgroup):
            raise Conflict(f"cgroup {spec.cgroup} has processes already: it is another container's")
        record = Record(id_, 0, 0, path, bundle.rootfs, utc_now(), spec.cgroup, bundle.document)
        folder.make()
        with folder.locked():
            try:
                folder.save(record)
                for warning in (*bundle.config.warnings, *self._cgroups.create(spec.cgroup, spec.resources)):
                    self._warn(warning)
                delivery = Delivery(self._kernel, self._cgroups, folder, record, bundle, wishes, parked, self._warn)
                attendant = delivery.deliver()
            except BaseException:
                self._destroy(folder, record)
                raise
            if not parked:
                self._run_poststart(delivery.record)
        return attendant

    def _run_poststart(self, record: Record) -> None:
        try:
            run_hooks("poststart", decode_hooks(Node(record.config)).poststart, record.state("running"))
        except MiniDockerError as error:
            self._warn(str(error))

    # a further process
    def exec(
        self, id_: str, process: Callable[[dict[str, Any]], Any], wishes: Wishes, ignore_paused: bool = False
    ) -> int:
        """Run a further process in a container.

        Args:
            process: makes the OCI ``process`` object from the container's own.

        Returns:
            its exit code; 0 when detached.

        Raises:
            Conflict: the container does not run, or is paused. MiniDockerError: the process cannot be begun.
        """
        folder = StateFolder(self._root, id_)
        record = self._in_state(folder, "created", "running", *(["paused"] if ignore_paused else []))
        spec = decode_config(record.config, record.cgroup).spec
        warnings: list[str] = []
        node = Node(process(record.config["process"]), "process")
        wished = decode_process(node, grantable(self._kernel, spec), warnings)
        for warning in warnings:
            self._warn(warning)
        wishes.check(wished.terminal)
        terms = wishes.terms(self._kernel, id_, replace(wished, seccomp=spec.process.seccomp))
        pidfd = self._kernel.pidfd_open(record.pid)
        # Looked at once more: from now on the number cannot come to mean another process.
        self._in_state(folder, "created", "running", "paused")
        entry = Entry(record.pid, pidfd, joinable_flags(spec), terms)
        parent = Parent(self._kernel)
        stdio = None if wished.terminal else OWN_STREAMS
        newborn = born_into(
            self._cgroups, record.cgroup, terms,
            lambda terms, cgroup: parent.bear_exec(replace(entry, terms=terms), wished, stdio, cgroup),
        )  # fmt: skip
        os.close(pidfd)
        attendant = Attendant(self._kernel, newborn, wishes, self._warn)
        attendant.attend(proceed=True)
        return 0 if wishes.detach else attend_process(newborn.pidfd, attendant.master)

    # life
    def kill(self, id_: str, number: int, everyone: bool) -> None:
        """Send a signal to init, or to every process.

        Raises:
            Conflict: init does not run.
        """
        folder = StateFolder(self._root, id_)
        record = folder.load()
        if everyone:
            self._kill_everyone(record, number)
        elif not container_process.kill(self._kernel, record.pid, record.born, number):
            raise Conflict(NOT_RUNNING)
        if number == signal.SIGKILL and self._is_frozen(record):
            self._cgroups.thaw(record.cgroup)  # a frozen process does not even die

    def pause(self, id_: str) -> None:
        """Freeze every process. Raises `Conflict` unless it is created or running."""
        self._cgroups.freeze(self._in_state(StateFolder(self._root, id_), "created", "running").cgroup)

    def resume(self, id_: str) -> None:
        """Let them go on. Raises `Conflict` unless it is paused."""
        self._cgroups.thaw(self._in_state(StateFolder(self._root, id_), "paused").cgroup)

    # end
    def delete(self, id_: str, force: bool = False) -> None:
        """Release all that a container took. A parked init is ended; a running one only with *force*.

        Raises:
            NotFound: there is no such container, which *force* does not mind.
            Conflict: it runs.
        """
        folder = StateFolder(self._root, id_)
        if force and not folder.exists():
            return
        with folder.locked():
            record = folder.load()
            status = self._status(folder, record)
            if status in ("running", "paused") and not force:
                raise Conflict(f"cannot delete container {id_} that is not stopped: {status}")
            self._destroy(folder, record)

    def _destroy(self, folder: StateFolder, record: Record) -> None:
        self._kill_everyone(record, signal.SIGKILL)
        if self._is_frozen(record):
            self._cgroups.thaw(record.cgroup)
        if not container_process.wait_until_gone(self._kernel, record.pid, record.born, KILL_SECONDS):
            raise MiniDockerError(f"container {record.id}: init does not end within {KILL_SECONDS:.0f} s of SIGKILL")
        self._cgroups.delete(record.cgroup, KILL_SECONDS)
        for hook in decode_hooks(Node(record.config)).poststop:
            try:
                run_hooks("poststop", [hook], record.state("stopped"))
            except MiniDockerError as error:
                self._warn(str(error))
        folder.remove()

    def _kill_everyone(self, record: Record, number: int) -> None:
        container_process.kill(self._kernel, record.pid, record.born, number)
        for pid in self._cgroups.pids(record.cgroup):
            container_process.kill(self._kernel, pid, container_process.start_time(pid), number)

    # looking
    def state(self, id_: str) -> dict[str, Any]:
        """The container's state: the OCI's fields, and those that engines know from runc."""
        folder = StateFolder(self._root, id_)
        record = folder.load()
        return record.extended_state(self._status(folder, record))

    def states(self) -> list[dict[str, Any]]:
        """The state of every container."""
        return [self.state(folder.id) for folder in all_folders(self._root)]

    def pids(self, id_: str) -> tuple[int, ...]:
        """Every process of the container, as the host sees them."""
        return self._cgroups.pids(StateFolder(self._root, id_).load().cgroup)

    def _in_state(self, folder: StateFolder, *wanted: str) -> Record:
        record = folder.load()
        status = self._status(folder, record)
        if status not in wanted:
            raise Conflict(f"container {folder.id} is {status}, not {' or '.join(wanted)}")
        return record

    def _status(self, folder: StateFolder, record: Record) -> str:
        if not record.pid:
            return "creating"
        if not container_process.is_alive(record.pid, record.born):
            return "stopped"
        if self._is_frozen(record):
            return "paused"
        return "created" if folder.has_gate() else "running"

    def _is_frozen(self, record: Record) -> bool:
        return self._cgroups.features.freezer and self._cgroups.is_frozen(record.cgroup)
