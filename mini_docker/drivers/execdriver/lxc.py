"""The lxc exec driver: Debian's LXC builds the walls, by a configuration that we write. Docker's first driver.

Until Docker 0.9 this was the only one. `lxc-execute` runs below the supervisor like any process: its parked
birth gives the container's network, its streams are the container's, its end is the container's end.

It knows LXC's commands, not how LXC does its work. Source: lxc-execute(1), lxc-attach(1), lxc.container.conf(5).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mini_docker.dataclasses import replace
from mini_docker.drivers.availability import AVAILABLE, Availability
from mini_docker.drivers.execdriver.contract import Exited, Sandbox, Stdio, Walls
from mini_docker.drivers.execdriver.lxc_config import PAYLOAD, lxc_config
from mini_docker.drivers.execdriver.lxc_root import ContainerFiles
from mini_docker.drivers.execdriver.supervised import SupervisedDriver
from mini_docker.drivers.graphdriver.contract import MountedRoot
from mini_docker.errors import CannotExecute, Conflict, Unsupported
from mini_docker.libcontainer.capabilities import permitted_capabilities
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.config import Capabilities, ContainerSpec, ProcessSpec
from mini_docker.libcontainer.executable import DEFAULT_PATH
from mini_docker.libcontainer.users import look_up
from mini_docker.supervisor.protocol import Frame

START_SECONDS = 10.0
OOM_NOTE = "oom"


class LxcDriver(SupervisedDriver):
    """Implements `ExecDriver`.

    Args:
        run: the run folder; LXC's configurations are kept below it.
        cgroups: the limits' hands.
    """

    name = "lxc"

    def __init__(self, run: Path, cgroups: CgroupManager) -> None:
        super().__init__(run, cgroups)
        self._folder = run / "lxc"
        self._unified = cgroups.hierarchy.unified if cgroups.hierarchy.is_hybrid else ""
        # Guarded by the lock: why a command cannot be executed, and who was killed.
        self._doomed: dict[str, CannotExecute] = {}
        self._killed: set[str] = set()

    def available(self) -> Availability:
        if os.geteuid() != 0:
            return Availability("LXC's containers with host ids need root")
        missing = [command for command in ("lxc-execute", "lxc-attach") if shutil.which(command) is None]
        return Availability(f"{missing[0]} is not installed: apt-get install lxc") if missing else AVAILABLE

    def walls(self) -> Walls:
        return Walls(
            pid=True, mount=True, uts=True, ipc=True, network=True, cgroup=True, limits=True, capabilities=True
        )

    def create(
        self,
        container: str,
        spec: ContainerSpec,
        make_root: Callable[[], MountedRoot],
        stdio: Stdio,
        narrate: int = -1,
    ) -> Sandbox:
        root = make_root()
        if root.descriptor >= 0:
            raise Unsupported("the lxc driver needs a root file system with a path on the host, as the vfs driver has")
        files = ContainerFiles(root.path)
        identity = look_up(
            spec.process.user, spec.process.additional_groups, files.text("/etc/passwd"), files.text("/etc/group")
        )
        folder = self._folder / container
        text = lxc_config(spec, root.path, identity) + self._note_oom_kills(spec.cgroup, folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config").write_text(text)
        words = ("lxc-execute", *self._which(container), "-f", str(folder / "config"), "--", *spec.process.args)
        network = tuple(namespace for namespace in spec.namespaces if namespace.kind == "network")
        below = ContainerSpec(_host_process(*words), network, cgroup=spec.cgroup, resources=spec.resources)
        try:
            files.check_executable(spec.process)
        except CannotExecute as error:
            with self._lock:
                self._doomed[container] = error
        try:
            return super().create(container, below, lambda: MountedRoot(path="/"), stdio, narrate)
        except Conflict:
            raise
        except BaseException:
            self._forget(container)
            raise

    def start(self, container: str) -> None:
        with self._lock:
            doomed = self._doomed.get(container)
        if doomed is not None:
            # LXC could only say it in its log. The parked process goes, and reports the code in our words.
            super().signal(container, signal.SIGKILL)
            raise doomed
        super().start(container)

    def exec(self, container: str, execution: str, process: ProcessSpec, stdio: Stdio) -> int:
        if process.terminal or process.cwd != "/" or process.user not in ("", "0", "root", "0:0"):
            raise Unsupported("lxc-attach gives a further process no terminal, directory or user of its own")
        ContainerFiles(f"/proc/{self._init(container)}/root").check_executable(process)
        env = [f"--set-var={word}" for word in process.env]
        words = ("lxc-attach", *self._which(container), "--clear-env", *env, "--", *process.args)
        return super().exec(container, execution, _host_process(*words), stdio)

    def signal(self, container: str, number: int, execution: str = "") -> None:
        if execution:
            super().signal(container, number, execution)
            return
        init = self._init(container)
        if number == signal.SIGKILL:
            # With its PID 1 the whole container dies; LXC would report that as an ending of its own kind.
            with self._lock:
                self._killed.add(container)
        # lxc-execute keeps signals to itself; LXC's init hands them on to the command.
        os.kill(init, number)

    def processes(self, container: str) -> Sequence[int]:
        init = self._init(container)
        return [pid for pid in self._cgroups.pids(f"{self._cgroup(container)}/{PAYLOAD}") if pid != init]

    def delete(self, container: str) -> None:
        super().delete(container)
        shutil.rmtree(self._folder / container, ignore_errors=True)

    def close(self) -> None:
        super().close()
        with contextlib.suppress(OSError):  # containers that live on keep their folders
            self._folder.rmdir()

    def _note_oom_kills(self, cgroup: str, folder: Path) -> str:
        """A stop hook: on cgroup v1 kills count in LXC's own group only, which is gone when we hear of the end."""
        memory = self._cgroups.hierarchy.mounts.get("memory")
        if memory is None:
            return ""
        words = ("cp", f"{memory}/{cgroup}/{PAYLOAD}/memory.oom_control", f"{folder}/{OOM_NOTE}")
        return f"lxc.hook.version = 1\nlxc.hook.stop = {shlex.join(words)}\n"

    def _which(self, container: str) -> tuple[str, ...]:
        return ("-n", container, "-P", str(self._folder))

    def _init(self, container: str) -> int:
        """LXC's init of a container that was started: it needs a moment to come up.

        Raises:
            Conflict: the container has ended, or is not started.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for child in _children(self._pid(container)):
                if _hands_signals_on(child):
                    return child
            time.sleep(0.005)  # nobody tells when LXC is done
        raise Conflict(f"container {container} is not running")

    def _pid(self, container: str) -> int:
        for entry in self._supervisor.ask("list").frame["containers"]:
            if entry["container"] == container and entry["pid"] and entry["started"]:
                return int(entry["pid"])
        raise Conflict(f"container {container} is not running")

    def exited(self, event: Frame) -> Exited:
        """The end, with the code of a command that could not be executed, and with what LXC's stop hook noted."""
        exited = super().exited(event)
        if exited.execution:
            return exited
        with self._lock:
            doomed = self._doomed.pop(exited.container, None)
            was_killed = exited.container in self._killed
        if doomed is not None:
            return replace(exited, exit_code=doomed.exit_code)
        if was_killed:
            return replace(exited, exit_code=128 + signal.SIGKILL)
        killed = _noted_oom_kills(self._folder / exited.container / OOM_NOTE) > 0
        return replace(exited, oom_killed=exited.oom_killed or killed)

    def _forget(self, container: str, deserted: bool = False) -> None:
        with self._lock:
            cgroup = self._known.get(container, "")
            self._doomed.pop(container, None)
            self._killed.discard(container)
        super()._forget(container, deserted)
        if cgroup and self._unified:
            # On a hybrid machine LXC makes its groups in the empty v2 tree, too.
            _remove_groups(Path(self._unified, cgroup))
            with contextlib.suppress(OSError):  # while there are others
                Path(self._unified, cgroup).parent.rmdir()


def _host_process(*words: str) -> ProcessSpec:
    """A command of the host's, with all of our own powers: it builds the walls, we don't."""
    powers = permitted_capabilities(Path("/proc/self/status").read_text())
    sets = Capabilities(bounding=powers, effective=powers, permitted=powers)
    return replace(ProcessSpec(words), env=(f"PATH={DEFAULT_PATH}",), capabilities=sets)


def _noted_oom_kills(note: Path) -> int:
    try:
        lines = [line.split() for line in note.read_text().splitlines()]
    except FileNotFoundError:
        return 0
    return next((int(words[1]) for words in lines if words[0] == "oom_kill"), 0)


def _hands_signals_on(pid: int) -> bool:
    """Whether this is LXC's init, at work: it catches signals to hand them on.

    Before that it is a fork of lxc-execute, which catches none. Killed then, it leaves lxc-execute waiting for ever for
    what it would have said (LXC 5.0.2; seen in one of fifteen kills right after a start, on a busy machine).
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return any(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))


def _children(pid: int) -> list[int]:
    """A process's children, the oldest first; none when it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _remove_groups(group: Path) -> None:
    """Remove a group and those below it, as far as they are empty."""
    if group.is_dir():
        for child in group.iterdir():
            if child.is_dir():
                _remove_groups(child)
        with contextlib.suppress(
            OSError
        ):  # busy: a process of it is not quite gone, and the parent's parent goes later
            group.rmdir()
