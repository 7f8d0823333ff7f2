"""One process from birth to death, as the supervisor sees it: a state machine over the dialogue.

Every wait in it is an event of the loop or a deadline. It knows what init says, not who asked.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Conflict, DeadlineExceeded, MiniDockerError
from mini_docker.libcontainer.dialogue import Failed, Proceed, Ready, Sandboxed, Terminal, hear, say
from mini_docker.libcontainer.parent import Newborn
from mini_docker.linux.kernel import Kernel
from mini_docker.supervisor.loop import READ, Loop
from mini_docker.supervisor.stdio import ProcessStdio

BIRTH_SECONDS = 60.0
"""How long init may take for each step; a machine under load is slow, a hung one is not waited for."""


class Stage:
    """Where a process is in its life."""

    BORN = "born"
    SANDBOXED = "sandboxed"
    PARKED = "parked"
    RUNNING = "running"
    ENDED = "ended"


TRANSITIONS = {
    (Stage.BORN, "sandboxed"): Stage.SANDBOXED,
    (Stage.BORN, "parked"): Stage.PARKED,  # a further process has no sandbox of its own to show
    (Stage.SANDBOXED, "parked"): Stage.PARKED,
    (Stage.PARKED, "executed"): Stage.RUNNING,
    (Stage.BORN, "died"): Stage.ENDED,
    (Stage.SANDBOXED, "died"): Stage.ENDED,
    (Stage.PARKED, "died"): Stage.ENDED,
    (Stage.RUNNING, "died"): Stage.ENDED,
}

Outcome = MiniDockerError | None
"""How a step that was waited for went; None is well."""


@dataclass(slots=True)
class Ending:
    """How a process ended. ``finished`` is wall clock, seconds since the epoch."""

    exit_code: int
    finished: float


class HeldProcess:
    """A process that the supervisor holds.

    *Fixed*: ``pid``, ``pidfd``, ``stdio``.
    *The loop's alone*: stage, ending, warnings, and two descriptors that init sent up, or -1: its network
    ``namespace`` and a ``netlink`` socket in it.

    Args:
        on_sandboxed: called once, when init showed its namespaces or could not.
        on_ended: called once, after the last output is delivered.
    """

    def __init__(
        self, loop: Loop, kernel: Kernel, newborn: Newborn, stdio: ProcessStdio,
        on_sandboxed: Callable[[Outcome], None], on_ended: Callable[[], None],
    ) -> None:  # fmt: skip
        self.pid = newborn.pid
        self.pidfd = newborn.pidfd
        self.stdio = stdio
        self.stage = Stage.BORN
        self.ending: Ending | None = None
        self.warnings: tuple[str, ...] = ()
        self.namespace = -1
        self.netlink = -1
        self._loop = loop
        self._kernel = kernel
        self._dialogue = newborn.dialogue
        self._on_sandboxed: Callable[[Outcome], None] | None = on_sandboxed
        self._on_executed: Callable[[Outcome], None] | None = None
        self._on_ended = on_ended
        self._failure: MiniDockerError | None = None
        self._told_to_proceed = False
        self._released = False
        self._dialogue.setblocking(False)
        loop.watch(self._dialogue.fileno(), READ, self._ready)
        loop.watch(self.pidfd, READ, self._died)
        self._deadline = loop.later(BIRTH_SECONDS, self._too_slow)

    def proceed(self, on_executed: Callable[[Outcome], None]) -> None:
        """Have the command executed as soon as init is parked; *on_executed* is told how it went.

        Init is told at once: the word waits for it in the dialogue, and it need not wait for the word.

        Raises:
            Conflict: it was told already.
        """
        if self._told_to_proceed:
            raise Conflict("the process was started before")
        self._told_to_proceed = True
        self._on_executed = on_executed
        if self._failure is not None or self.stage is Stage.ENDED:
            self._tell_executed(self._failure or Conflict("the container's init is gone"))
        else:
            self._say_proceed()

    def signal(self, number: int) -> None:
        """Send a signal to this process and no other.

        Raises:
            Conflict: it has ended.
        """
        if self.stage is Stage.ENDED:
            raise Conflict("the process has ended")
        self._kernel.pidfd_send_signal(self.pidfd, number)

    def release(self) -> None:
        """End the process if it lives, and let go of all that is held for it. Nobody is told any more."""
        self._hang_up()
        self._deadline.cancel()
        self.stdio.close()
        self.close_netlink()
        self._close_namespace()
        self._on_ended = lambda: None
        if self.stage is Stage.ENDED:
            self.close()
        else:
            # It is reaped when the kernel is done with it; the loop waits for nobody.
            self._released = True
            self._kernel.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Let go of an ended process; attachers are still served what is left for them."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def close_netlink(self) -> None:
        """The netlink socket was handed on; ours is not needed any more."""
        if self.netlink >= 0:
            os.close(self.netlink)
            self.netlink = -1

    def _close_namespace(self) -> None:
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1

    def _move(self, event: str) -> None:
        self.stage = TRANSITIONS[self.stage, event]

    def _ready(self, _events: int) -> None:
        self._hear()

    def _hear(self) -> bool:
        """Take one message; False when none is there."""
        try:
            message, descriptors = hear(self._dialogue)
        except BlockingIOError:
            return False
        match message:
            case Sandboxed():
                if descriptors:
                    self.netlink, self.namespace = descriptors.pop(), descriptors.pop()
                self._move("sandboxed")
                self._tell_sandboxed(None)
            case Terminal():
                self.stdio.set_terminal(descriptors.pop())
            case Ready(warnings):
                self.warnings = warnings
                self._move("parked")
                self._deadline.cancel()
                if self._told_to_proceed:
                    self._allow_for_a_step()
            case Failed():
                self._failure = message.error()
                self._hang_up()
                self._tell_failure(self._failure)
            case _:
                self._end_of_dialogue()
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _say_proceed(self) -> None:
        try:
            say(self._dialogue, Proceed())
        except OSError:
            return  # it is dead: its last word, or its end, is about to be heard
        self._allow_for_a_step()

    def _allow_for_a_step(self) -> None:
        self._deadline.cancel()
        self._deadline = self._loop.later(BIRTH_SECONDS, self._too_slow)

    def _end_of_dialogue(self) -> None:
        """The socket closed: by the exec if init was told to proceed, else by its death."""
        self._hang_up()
        self._deadline.cancel()
        if self.stage is Stage.PARKED and self._told_to_proceed:
            self._move("executed")
            self._tell_executed(None)
        elif self.stage is not Stage.ENDED:
            self._tell_failure(MiniDockerError("the container's init was killed before it could execute the command"))

    def _too_slow(self) -> None:
        self._failure = DeadlineExceeded(f"the container's init did not answer within {BIRTH_SECONDS:.0f} s")
        self._hang_up()
        self._kernel.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self._tell_failure(self._failure)

    def _died(self, _events: int) -> None:
        self._loop.forget(self.pidfd)
        result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        assert result is not None
        code = result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status
        # The last words may still be in the dialogue: an exec that failed says so and dies.
        while self._dialogue.fileno() >= 0 and self._hear():
            pass
        self._move("died")
        self._deadline.cancel()
        self._close_namespace()  # or it would outlive its processes, and its cable and proxies with it
        if self._released:
            self.close()
            return
        self.stdio.finish()
        self.ending = Ending(code, time.time())
        self._on_ended()

    def _hang_up(self) -> None:
        if self._dialogue.fileno() >= 0:
            self._loop.forget(self._dialogue.fileno())
            self._dialogue.close()

    def _tell_failure(self, failure: MiniDockerError) -> None:
        self._failure = failure
        self._tell_sandboxed(failure)
        self._tell_executed(failure)

    def _tell_sandboxed(self, outcome: Outcome) -> None:
        tell, self._on_sandboxed = self._on_sandboxed, None
        if tell is not None:
            tell(outcome)

    def _tell_executed(self, outcome: Outcome) -> None:
        tell, self._on_executed = self._on_executed, None
        if tell is not None:
            tell(outcome)
