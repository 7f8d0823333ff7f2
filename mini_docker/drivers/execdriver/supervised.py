"""What exec drivers share that run their processes through the supervisor.

It turns the contract's calls into the supervisor's verbs and works on cgroups itself, since those
need nobody's hand but the kernel's. A driver says what it makes of a spec: which walls it builds of those that
were wished for. It knows no container's name and no image.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mini_docker.dataclasses import replace
from mini_docker.drivers.execdriver.contract import Exited, Found, Sandbox, Stdio
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.errors import Conflict, MiniDockerError, Unavailable
from mini_docker.libcontainer.cgroups.manager import CgroupManager, parent_of
from mini_docker.libcontainer.config import ContainerSpec, ProcessSpec, Resources, to_json
from mini_docker.libcontainer.seccomp.compiler import compile_profile
from mini_docker.libcontainer.unnamed import CRADLE_PREFIX
from mini_docker.linux.dns_sockets import DnsSockets
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.linux.narrated import narrate_to
from mini_docker.supervisor.blueprint import Blueprint
from mini_docker.supervisor.blueprint import write as write_blueprint
from mini_docker.supervisor.client import Reply, SupervisorClient
from mini_docker.supervisor.protocol import Frame


class SupervisedDriver:
    """Implements all of `ExecDriver` but `name`, `available` and `walls` (contract.py says what each method does).

    *Fixed*: the supervisor's client, the cgroup manager.
    *Guarded by the lock*: which containers it made (and where their cgroups are), awaited streams,
    compiled filters.

    Args:
        run: the run folder.
        cgroups: the limits' hands.
    """

    name: str

    def __init__(self, run: Path, cgroups: CgroupManager) -> None:
        self._cgroups = cgroups
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._parents: set[str] = set()
        self._awaited: dict[tuple[str, str], socket.socket] = {}
        self._filters = SeccompFilters()
        self._exit_listeners: list[Callable[[Exited], None]] = []
        self._oom_listeners: list[Callable[[str], None]] = []
        self._lost_listeners: list[Callable[[Sequence[str]], None]] = []
        self._supervisor = SupervisorClient(run, self._event, self._lost)

    def fit(self, spec: ContainerSpec) -> ContainerSpec:
        """The spec as far as this driver carries it out: walls that it cannot build are left out.

        Raises:
            Unsupported: it cannot do without what it lacks.
        """
        return spec

    def fit_process(self, process: ProcessSpec) -> ProcessSpec:
        """As `fit`, for a further process."""
        return process

    def exited(self, event: Frame) -> Exited:
        """The supervisor's report of an end, in the contract's words."""
        return Exited(
            event["container"], event["execution"], event["exit_code"], event["oom_killed"], event["finished"]
        )

    def create(
        self,
        container: str,
        spec: ContainerSpec,
        make_root: Callable[[], MountedRoot],
        stdio: Stdio,
        narrate: int = -1,
    ) -> Sandbox:
        spec = self.fit(spec)
        with self._lock:
            if container in self._known:
                raise Conflict(f"container {container} exists in the {self.name} driver already")
            self._known[container] = spec.cgroup
            self._parents.add(parent_of(spec.cgroup))
        try:
            cgroups = self._cgroups
            if narrate >= 0:
                cgroups = cgroups.through(narrate_to(LinuxKernel(), narrate, "daemon"))
            blueprint = Blueprint(_without_profile(spec), self._filters.program(spec.process))
            with self._supervisor.talk() as talk:
                # A millisecond each, side by side: the supervisor reads it, and here root and files are made.
                talk.say(
                    "announce", [narrate] if narrate >= 0 else [], container=container,
                    blueprint=write_blueprint(blueprint, talk.known), stdio=_stdio_json(stdio), narrate=narrate >= 0,
                )  # fmt: skip
                root = make_root()
                # An init that was born ahead of need brings its cgroups along; an older supervisor does not say so.
                warnings = talk.hear().frame.get("limited")
                if warnings is None:
                    warnings = cgroups.create(spec.cgroup, spec.resources)
                talk.known = blueprint
                talk.say(
                    "create", [root.descriptor] if root.descriptor >= 0 else [],
                    container=container, has_root=root.descriptor >= 0, root_path=root.path,
                )  # fmt: skip
                reply = talk.hear()
            return _sandbox(reply, tuple(warnings))
        except BaseException:
            with contextlib.suppress(MiniDockerError):
                self._supervisor.ask("delete", container=container)
            self._forget(container)
            raise

    def start(self, container: str) -> None:
        self._supervisor.ask("start", container=container)

    def exec(self, container: str, execution: str, process: ProcessSpec, stdio: Stdio) -> int:
        process = self.fit_process(process)
        ours, theirs = socket.socketpair() if stdio.attached else (None, None)
        try:
            if ours is not None:
                with self._lock:
                    self._awaited[container, execution] = ours
            reply = self._supervisor.ask(
                "exec", [theirs.fileno()] if theirs is not None else [], container=container, execution=execution,
                process=to_json(_without_seccomp(process)), seccomp=self._filter(process), stdio=_stdio_json(stdio),
            )  # fmt: skip
        except BaseException:
            with self._lock:
                self._awaited.pop((container, execution), None)
            if ours is not None:
                ours.close()
            raise
        finally:
            if theirs is not None:
                theirs.close()
        pid: int = reply.frame["pid"]
        return pid

    def signal(self, container: str, number: int, execution: str = "") -> None:
        self._supervisor.ask("signal", container=container, execution=execution, number=number)

    def pause(self, container: str) -> None:
        self._cgroups.freeze(self._cgroup(container))

    def resume(self, container: str) -> None:
        self._cgroups.thaw(self._cgroup(container))

    def resize(self, container: str, rows: int, columns: int, execution: str = "") -> None:
        self._supervisor.ask("resize", container=container, execution=execution, rows=rows, columns=columns)

    def streams(self, container: str, execution: str = "", stdin: bool = True) -> socket.socket:
        with self._lock:
            awaited = self._awaited.pop((container, execution), None)
        if awaited is not None:
            return awaited
        return self._hand_over("attach", container=container, execution=execution, stdin=stdin)

    def log_bell(self, container: str) -> socket.socket:
        return self._hand_over("bell", container=container)

    def processes(self, container: str) -> Sequence[int]:
        return self._cgroups.pids(self._cgroup(container))

    def stats(self, container: str) -> Mapping[str, Any]:
        return self._cgroups.stats(self._cgroup(container))

    def update(self, container: str, resources: Resources) -> tuple[str, ...]:
        return tuple(self._cgroups.update(self._cgroup(container), resources))

    def restore(self) -> Sequence[Found]:
        self._supervisor.connect()
        found = []
        for entry in self._supervisor.ask("list").frame["containers"]:
            with self._lock:
                self._known[entry["container"]] = entry["cgroup"]
                self._parents.add(parent_of(entry["cgroup"]))
            found.append(self._found(entry))
        return found

    def open_netlink(self, container: str) -> Sandbox:
        return _sandbox(self._supervisor.ask("network", container=container), ())

    def open_dns(self, container: str) -> DnsSockets:
        datagrams, streams = self._supervisor.ask("dns", container=container).descriptors
        return DnsSockets(socket.socket(fileno=datagrams), socket.socket(fileno=streams))

    def delete(self, container: str) -> None:
        with self._lock:
            known = container in self._known
        if not known:
            return
        if self._is_frozen(container):
            self.resume(container)  # a frozen process does not even die
        reply = self._supervisor.ask("delete", container=container)
        self._forget(container, deserted=reply.frame.get("deserted", False))

    def clear(self, cgroup: str) -> None:
        self._cgroups.try_delete(cgroup)
        with self._lock:
            self._parents.add(parent_of(cgroup))

    def on_exit(self, listener: Callable[[Exited], None]) -> None:
        self._exit_listeners.append(listener)

    def on_oom(self, listener: Callable[[str], None]) -> None:
        self._oom_listeners.append(listener)

    def on_lost(self, listener: Callable[[Sequence[str]], None]) -> None:
        self._lost_listeners.append(listener)

    def close(self) -> None:
        self._supervisor.close()
        with self._lock:
            parents = set() if self._known else self._parents
        for parent in parents:
            self._cgroups.prune(parent, CRADLE_PREFIX)

    def _filter(self, process: ProcessSpec) -> str:
        return base64.b64encode(self._filters.program(process)).decode()

    def _hand_over(self, verb: str, **fields: Any) -> socket.socket:
        """One end of a socket pair goes to the supervisor, the other to the caller."""
        ours, theirs = socket.socketpair()
        try:
            self._supervisor.ask(verb, [theirs.fileno()], **fields)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def _cgroup(self, container: str) -> str:
        with self._lock:
            cgroup = self._known.get(container)
        if cgroup is None:
            raise Conflict(f"container {container} is not running")
        return cgroup

    def _is_frozen(self, container: str) -> bool:
        return self._cgroups.is_frozen(self._cgroup(container))

    def _forget(self, container: str, deserted: bool = False) -> None:
        """Release what the supervisor does not hold: the cgroup, with whatever may still run in it.

        Args:
            deserted: nobody is left in the cgroup, and the supervisor takes it away.
        """
        with self._lock:
            cgroup = self._known.pop(container, "")
            awaited = [self._awaited.pop(key) for key in list(self._awaited) if key[0] == container]
        for channel in awaited:
            channel.close()
        if cgroup and not deserted and not self._cgroups.try_delete(cgroup):
            # Processes of a container that shares the host's pid namespace outlive its init, and may be
            # having children while we look.
            while pids := self._cgroups.pids(cgroup):
                for pid in pids:
                    _kill(pid)
                if self._cgroups.try_delete(cgroup):
                    break
            self._cgroups.delete(cgroup)

    def _found(self, entry: Frame) -> Found:
        container = entry["container"]
        root = -1
        if entry["root"]:
            (root,) = self._supervisor.ask("root", container=container).descriptors
        return Found(
            container=container,
            pid=entry["pid"],
            started=entry["started"],
            paused=self._is_frozen(container),
            exited=self.exited(entry["exited"]) if entry["exited"] else None,
            root=root,
            executions=entry["executions"],
        )

    def _event(self, event: Frame) -> None:
        if event.get("event") == "exited":
            exited = self.exited(event)
            for listener in self._exit_listeners:
                listener(exited)
        elif event.get("event") == "oom":
            for told in self._oom_listeners:
                told(event["container"])

    def _lost(self) -> None:
        with self._lock:
            lost = list(self._known)
        for container in lost:
            self._forget(container)
        for listener in self._lost_listeners:
            listener(lost)


class SeccompFilters:
    """Compiled filters, kept by what they were compiled from: compiling takes milliseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._programs: dict[tuple[int, tuple[str, ...]], tuple[Mapping[str, Any], bytes]] = {}
        major, minor = os.uname().release.split(".")[:2]
        self._kernel = int(major), int(minor.partition("-")[0])

    def program(self, process: ProcessSpec) -> bytes:
        """The filter of a process; empty when it runs unconfined."""
        profile, capabilities = process.seccomp, process.capabilities.bounding
        if profile is None:
            return b""
        # By identity: the default profile is one object for all containers. The profile itself is
        # kept beside the program, so that its id is not given to another.
        key = id(profile), capabilities
        with self._lock:
            kept = self._programs.get(key)
        if kept is None:
            kept = profile, compile_profile(profile, capabilities, os.uname().machine, self._kernel)
            with self._lock:
                if len(self._programs) >= 64:
                    self._programs.clear()
                self._programs[key] = kept
        return kept[1]


def _without_profile(spec: ContainerSpec) -> ContainerSpec:
    return replace(spec, process=_without_seccomp(spec.process))


def _without_seccomp(process: ProcessSpec) -> ProcessSpec:
    return replace(process, seccomp=None)


def _stdio_json(stdio: Stdio) -> dict[str, Any]:
    return {
        "open_stdin": stdio.open_stdin, "stdin_once": stdio.stdin_once, "log": str(stdio.log) if stdio.log else "",
        "log_limit_bytes": stdio.log_limit_bytes, "log_files": stdio.log_files,
    }  # fmt: skip


def _sandbox(reply: Reply, warnings: tuple[str, ...]) -> Sandbox:
    """
    Raises:
        Unavailable: this process has no descriptors left for those that came along.
    """
    if not reply.frame["network"]:
        return Sandbox(reply.frame["pid"], -1, -1, warnings)
    if len(reply.descriptors) != 2:
        for descriptor in reply.descriptors:
            os.close(descriptor)
        raise Unavailable("the daemon has too many open files to take over a network namespace")
    namespace, netlink = reply.descriptors
    return Sandbox(reply.frame["pid"], namespace, netlink, warnings)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise
