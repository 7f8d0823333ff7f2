"""The dialogue between the two halves of a container's birth: parent and init.

They sit at the ends of a socket pair and say typed messages in a fixed order:

    parent                                       init
    clone3 ──────────────────────────────────▶   (born in its new namespaces; joins its cgroups)
    id maps                ── Mapped ───────▶
                          ◀── Sandboxed ─────    its network namespace, a netlink socket in it [descriptors]
    (network is joined                           picks up mounts, pivot_root, attaches them,
     meanwhile)                                  masks, terminal
                          ◀── Terminal ──────    the terminal's master [its descriptor], if it has one
                          ◀── Ready ─────────    parked
    start wanted           ── Proceed ──────▶    (may be said before it is parked)
                                                 privileges dropped, execve: the socket closes by itself
                          ◀── (end of file) ─    = the command runs

An init may also be born ahead of need (`unnamed`). It shows its namespaces as soon as it is prepared, waits for its
name, makes its plans while its house is made, and then goes on as above:

                          ◀── Sandboxed ─────
    its container is       ── Named ────────▶    who it is: its spec
    asked for
    its root is made       ── Housed ───────▶    its root, its streams [descriptors]

One that died before it was housed is replaced by a birth on demand, which tells the reason if there still is one.

With a gate (`Birth.gate`) there are two parents: init says Ready to the one that bore it, then waits at the gate, and
the dialogue goes on with whoever connects there: he says Proceed and hears the end of file, or Failed.

At any point init may say Failed instead, and ends. An end of file in place of Ready means that
init was killed; in place of Mapped or Proceed, that the parent was: init then ends too.

This module knows the words and their wire form, not what they are about.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from mini_docker.dataclasses import dataclass
from mini_docker.errors import CannotExecute, MiniDockerError, error_of_kind
from mini_docker.linux.descriptors import receive

MAX_MESSAGE_BYTES = 65536
MAX_DESCRIPTORS = 4


@dataclass(frozen=True, slots=True)
class Mapped:
    """Parent: the id maps of your user namespace, if you have one, are written."""


@dataclass(frozen=True, slots=True)
class Named:
    """Parent, to an init that was born ahead of need: this is who you are.

    Attributes:
        birth: a `Birth`, but for its root, as `unnamed` writes it.
    """

    birth: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Housed:
    """Parent, to one that is named: your cgroups are made, and here are your root and your streams, if you get some.

    Attributes:
        root_path: see `Birth`.
        has_root, has_stdio: which descriptors came along: a root, three streams.
    """

    root_path: str
    has_root: bool
    has_stdio: bool


@dataclass(frozen=True, slots=True)
class Sandboxed:
    """Init: my namespaces are complete; here are my network's, and a netlink socket opened in it, if it is mine."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """Init: here is the master of the terminal that I opened on the container's own devpts."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Init: all is made, I wait for your word to execute the command.

    Attributes:
        warnings: what this kernel could not do, a sentence each.
    """

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proceed:
    """Parent: execute it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Init: I can't, and end.

    Attributes:
        message: why, in one sentence.
        exit_code: 126 or 127 when it was the command that could not be executed; else 0.
        kind: name of the error's class.
    """

    message: str
    exit_code: int = 0
    kind: str = "MiniDockerError"

    def error(self) -> MiniDockerError:
        """The failure as an error to raise in the parent."""
        if self.exit_code:
            return CannotExecute(self.message, self.exit_code)
        return error_of_kind(self.kind, self.message)


Message = Mapped | Named | Housed | Sandboxed | Terminal | Ready | Proceed | Failed
_MESSAGES: dict[str, Any] = {
    cls.__name__: cls for cls in (Mapped, Named, Housed, Sandboxed, Terminal, Ready, Proceed, Failed)
}


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a new dialogue; message borders are kept, descriptors can travel along."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def say(end: socket.socket, message: Message, *descriptors: int) -> None:
    """Say *message*, handing copies of *descriptors* over.

    Raises:
        OSError: the other half is gone.
        ValueError: the message is longer than the dialogue carries.
    """
    fields = {name: getattr(message, name) for name in type(message).__slots__}
    data = json.dumps([type(message).__name__, fields], separators=(",", ":")).encode()
    if len(data) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message of {len(data)} bytes is more than the dialogue carries")
    socket.send_fds(end, [data], list(descriptors))


def hear(end: socket.socket) -> tuple[Message | None, list[int]]:
    """The next message and the descriptors that came with it; None at the end of the dialogue.

    Raises:
        BlockingIOError: the socket does not block and nothing has been said yet.
    """
    try:
        data, descriptors = receive(end, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS)
    except ConnectionResetError:
        # The other one has ended and did not hear our last word, which the kernel tells first, and once. What it said
        # itself is still there.
        data, descriptors = receive(end, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS)
    if not data:
        return None, []
    name, fields = json.loads(data)
    if "warnings" in fields:
        fields["warnings"] = tuple(fields["warnings"])
    return _MESSAGES[name](**fields), descriptors
