"""A birth, attended: the dialogue with a newborn, waited for word by word.

The supervisor holds the same dialogue from an event loop; a command that has nothing else to do just listens.
It knows the dialogue's words, not what a container is.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from mini_docker.errors import MiniDockerError
from mini_docker.libcontainer.dialogue import Failed, Message, Proceed, Ready, Sandboxed, Terminal, hear, say
from mini_docker.libcontainer.parent import Newborn, bury
from mini_docker.linux.kernel import Kernel
from mini_docker.runc.terminal import send_master
from mini_docker.runc.wishes import Wishes


class Attendant:
    """Attends one birth.

    Args:
        newborn: from now on ours to bury if it goes wrong.
        wishes: what becomes of its terminal and where its pid is written.
        warn: takes init's warnings.
        on_sandboxed: called when its namespaces are made.

    Attributes:
        master: descriptor of its terminal, held here; -1 when it has none or that was sent away.
    """

    def __init__(
        self, kernel: Kernel, newborn: Newborn, wishes: Wishes, warn: Callable[[str], None],
        on_sandboxed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.newborn = newborn
        self.master = -1
        self._kernel = kernel
        self._wishes = wishes
        self._warn = warn
        self._on_sandboxed = on_sandboxed

    def attend(self, proceed: bool) -> None:
        """Listen until the newborn is parked and, if it shall *proceed*, until its command runs.

        Raises:
            MiniDockerError: what it failed at, or that it was killed; it is buried then.
        """
        try:
            self._listen()
            self._wishes.write_pid_file(self.newborn.pid)
            if proceed:
                let_go(self.newborn.dialogue)
        except BaseException:
            bury(self._kernel, self.newborn)
            raise
        self.newborn.dialogue.close()

    def _listen(self) -> None:
        while True:
            message, descriptors = hear(self.newborn.dialogue)
            try:
                match message:
                    case Sandboxed():
                        self._on_sandboxed()
                    case Terminal():
                        self._take_terminal(descriptors.pop())
                    case Ready(warnings):
                        for warning in warnings:
                            self._warn(warning)
                        return
                    case _:
                        raise _failure(message)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _take_terminal(self, master: int) -> None:
        if not self._wishes.console_socket:
            self.master = master
            return
        try:
            send_master(self._wishes.console_socket, master)
        finally:
            os.close(master)


def let_go(dialogue: socket.socket) -> None:
    """Have the parked init execute its command, and wait until it runs.

    Raises:
        MiniDockerError: it cannot be executed, or init is gone.
    """
    try:
        say(dialogue, Proceed())
    except OSError:
        raise _failure(None) from None
    message, _ = hear(dialogue)
    if message is not None:
        raise _failure(message)


def _failure(message: Message | None) -> MiniDockerError:
    if isinstance(message, Failed):
        return message.error()
    if message is None:
        return MiniDockerError("the container's init was killed before it could execute the command")
    return MiniDockerError(f"the container's init said {message} at the wrong time")
