"""Hooks: commands that others want run at six points of a container's life.

====================  =====================================  ===================
kind                  when                                   where
====================  =====================================  ===================
prestart              namespaces made, root not yet entered  the runtime's side
createRuntime         the same moment, after those           the runtime's side
createContainer       the same moment, after those           inside, host's files in sight
startContainer        right before the command               inside, container's files
poststart             the command runs                       the runtime's side
poststop              the container is deleted               the runtime's side
====================  =====================================  ===================

Each gets the container's state as JSON on its standard input. It knows commands and states, not what they do.

Source: OCI runtime specification 1.2, config.md, "POSIX-platform Hooks", and runtime.md, "Lifecycle".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mini_docker.dataclasses import dataclass
from mini_docker.errors import DeadlineExceeded, MiniDockerError
from mini_docker.runc.json_node import Node

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


@dataclass(frozen=True, slots=True)
class Hook:
    """One command.

    Attributes:
        path: of the program, absolute.
        args: its whole argv; empty for just the path.
        env: ``K=V`` words; None inherits the runtime's environment.
        timeout_seconds: when to give up; None never.
    """

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] | None = None
    timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a container, each kind in the order in which they are run."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__dataclass_fields__)


def decode_hooks(root: Node) -> Hooks:
    """The ``hooks`` of a config.json.

    Raises:
        Invalid: one is malformed.
    """
    node = root.get("hooks") or Node({}, "hooks")
    return Hooks(*(tuple(_hook(item) for item in node.items(kind)) for kind in KINDS))


def _hook(node: Node) -> Hook:
    timeout = node.get("timeout")
    env = node.get("env")
    return Hook(
        path=node.need("path").absolute(),
        args=node.texts("args"),
        env=None if env is None else node.texts("env"),
        timeout_seconds=None if timeout is None else timeout.integer(1),
    )


def run_hooks(kind: str, hooks: Iterable[Hook], state: Mapping[str, Any]) -> None:
    """Run the hooks of one kind, one after the other, until one fails.

    Args:
        kind: its name, for the error.
        state: the container's state, as the OCI's ``state`` operation gives it.

    Raises:
        MiniDockerError: one could not be run, or ended other than with 0; the message has its error output.
        DeadlineExceeded: one took longer than its timeout.
    """
    hooks = tuple(hooks)
    if not hooks:
        return
    import subprocess  # few containers have hooks, and every start would pay for this

    said = json.dumps(dict(state)).encode()
    for index, hook in enumerate(hooks):
        name = f"{kind} hook #{index} ({hook.path})"
        try:
            done = subprocess.run(
                [hook.args[0] if hook.args else hook.path, *hook.args[1:]], executable=hook.path, input=said,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=hook.timeout_seconds, check=False,
                env=None if hook.env is None else dict(word.split("=", 1) for word in hook.env if "=" in word),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise DeadlineExceeded(f"{name} took longer than {hook.timeout_seconds} s") from None
        except OSError as error:
            raise MiniDockerError(f"{name} cannot be run: {error.strerror}") from None
        if done.returncode:
            words = done.stdout.decode(errors="replace").strip()
            raise MiniDockerError(f"{name} ended with status {done.returncode}: {words or 'it said nothing'}")


def load_runner() -> None:
    """Load what `run_hooks` needs, for a process that soon will not be able to load anything."""
    import subprocess  # noqa: F401
