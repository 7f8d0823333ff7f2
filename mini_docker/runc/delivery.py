"""A container's birth as mini-runc arranges it: who waits for whom, and where its hooks run.

::

    mini-runc                                       init
    clone3 ────────────────────────────────────▶
                              ◀── Sandboxed ─────
    prestart, createRuntime hooks   ── a byte ──▶   createContainer hooks
                                                    pivot_root, mounts, …
                              ◀── Ready ─────────   turns to the gate
    (create ends)
    mini-runc start           ── connects ──────▶
                              ── Proceed ───────▶   startContainer hooks, execve
                              ◀── (end of file)
    poststart hooks

It knows the order; the steps themselves are libcontainer's.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from mini_docker.dataclasses import replace
from mini_docker.errors import MiniDockerError
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.libcontainer.parent import Parent, born_into
from mini_docker.libcontainer.terms import Birth
from mini_docker.linux.kernel import Kernel
from mini_docker.runc import container_process
from mini_docker.runc.birth import Attendant
from mini_docker.runc.bundle import Bundle
from mini_docker.runc.hooks import Hooks, load_runner, run_hooks
from mini_docker.runc.state import Record
from mini_docker.runc.state_folder import StateFolder
from mini_docker.runc.wishes import OWN_STREAMS, Wishes


class Delivery:
    """One container's birth.

    Args:
        record: saved with the pid as soon as there is one.
        parked: leave init at the gate; else its command runs at once.
    """

    def __init__(
        self, kernel: Kernel, cgroups: CgroupManager, folder: StateFolder, record: Record, bundle: Bundle,
        wishes: Wishes, parked: bool, warn: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._kernel = kernel
        self._cgroups = cgroups
        self._folder = folder
        self._bundle = bundle
        self._wishes = wishes
        self._parked = parked
        self._warn = warn
        self._hooks = bundle.config.hooks
        self.record = record

    def deliver(self) -> Attendant:
        """Bear the container.

        Raises:
            MiniDockerError: why it could not be; nothing of it lives then.
        """
        spec = self._bundle.spec(self._cgroups.hierarchy)
        terms = self._wishes.terms(self._kernel, self._folder.id, spec.process)
        gate = self._folder.open_gate().detach() if self._parked else -1
        hooks_done, go_on = os.pipe2(os.O_CLOEXEC)
        birth = Birth(
            replace(spec, process=replace(spec.process, seccomp=None)),
            root=-1,
            root_path=self._bundle.rootfs,
            stage=self._bundle.rootfs,  # a folder that root of a user namespace gets to; ours it must not
            terms=terms,
            gate=gate,
        )
        if self._hooks:
            load_runner()
            birth = replace(birth, before_pivot=lambda: _before_pivot(self.record, self._hooks, hooks_done))
        if self._hooks.start_container:
            birth = replace(birth, before_exec=lambda: _before_exec(self.record, self._hooks))
        parent = Parent(self._kernel)
        stdio = None if spec.process.terminal else OWN_STREAMS
        try:
            newborn = born_into(
                self._cgroups, spec.cgroup, terms,
                lambda terms, cgroup: parent.bear(replace(birth, terms=terms), stdio, cgroup, keep=(hooks_done,)),
            )  # fmt: skip
            self.record = replace(self.record, pid=newborn.pid, born=container_process.start_time(newborn.pid))
            self._folder.save(self.record)
            attendant = Attendant(self._kernel, newborn, self._wishes, self._warn, lambda: self._sandboxed(go_on))
            attendant.attend(proceed=not self._parked)
        finally:
            for descriptor in (hooks_done, go_on, gate):
                if descriptor >= 0:
                    os.close(descriptor)
        return attendant

    def _sandboxed(self, go_on: int) -> None:
        state = self.record.state("creating")
        run_hooks("prestart", self._hooks.prestart, state)
        run_hooks("createRuntime", self._hooks.create_runtime, state)
        if self._hooks:
            os.write(go_on, b"\0")


def _before_pivot(record: Record, hooks: Hooks, hooks_done: int) -> None:
    """In init: wait for the runtime's hooks, then run those of the container's side."""
    if not os.read(hooks_done, 1):
        raise MiniDockerError("the runtime's hooks failed")
    run_hooks("createContainer", hooks.create_container, record.state("creating", os.getpid()))


def _before_exec(record: Record, hooks: Hooks) -> None:
    """In init: the last before the command."""
    run_hooks("startContainer", hooks.start_container, record.state("created", os.getpid()))
