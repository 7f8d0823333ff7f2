"""The unpackers' office: it has the van come when several layers are to be unpacked, and sends it home afterwards.

The daemon's end of `unpacker_process`. It knows what an order is, and nothing of what a layer is for.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from mini_docker.errors import MiniDockerError
from mini_docker.graph.unpacking import Unpacked, UnpackOrder, decode_report
from mini_docker.launcher import command, environment

_PIECE_BYTES = 1 << 18


class Unpackers:
    """Carries out orders in processes of their own, from any thread.

    *Guarded by the lock*: the process, and how many want it.

    Args:
        argv: makes the command line of the process, whose last word is the control socket's descriptor.
    """

    def __init__(self, argv: Callable[[str], list[str]] = lambda control: command("unpacker", control)) -> None:
        self._argv = argv
        self._lock = threading.Lock()
        self._wanted = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the process for the length of the block; no memory is spent on it at other times."""
        with self._lock:
            self._wanted += 1
            if self._control is None:
                self._start()
        try:
            yield
        finally:
            with self._lock:
                self._wanted -= 1
                if not self._wanted:
                    self._stop()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                self._argv(str(theirs.fileno())), env=environment(), pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def _stop(self) -> None:
        assert self._control is not None and self._process is not None
        self._control.close()  # which it takes for the end
        self._process.wait()
        self._control = self._process = None

    def unpack(self, order: UnpackOrder, stream: BinaryIO, root: int) -> Unpacked:
        """Have a layer unpacked into the directory *root*. Only while `at_work`.

        Args:
            stream: the layer, compressed or not. A file, of which nothing was read yet, is read by the process
                itself; what another stream gives is handed on through a pipe.
            root: a descriptor; nobody writes there any more when this returns or raises, unless the daemon dies.

        Raises:
            Invalid, Unsupported: as `archive.unpack`. MiniDockerError: the process died.
            What the stream raises.
        """
        answer, report = socket.socketpair()
        with answer:
            with report:
                pipe = self._send(order, stream, root, report)
            try:
                if pipe is not None:
                    with open(pipe, "wb", buffering=0) as target:
                        _hand_on(stream, target)
            finally:
                said = _read_all(answer)  # it ends when the child does
        return decode_report(said)

    def _send(self, order: UnpackOrder, stream: BinaryIO, root: int, report: socket.socket) -> int | None:
        """Give the order; returns the end of the pipe that the stream goes into, if there must be one."""
        control = self._control
        assert control is not None
        source, pipe = _descriptor_of(stream), None
        if source is None:
            source, pipe = os.pipe()
        try:
            socket.send_fds(control, [order.encode()], [source, root, report.fileno()])
        except BrokenPipeError:
            if pipe is not None:
                os.close(pipe)
            raise MiniDockerError("the process that unpacks layers died") from None
        finally:
            if pipe is not None:
                os.close(source)
        return pipe


def _descriptor_of(stream: BinaryIO) -> int | None:
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None


def _hand_on(stream: BinaryIO, target: io.FileIO | BinaryIO) -> None:
    # The reader is gone when it gave up; its report says why.
    with suppress(BrokenPipeError):
        while piece := stream.read(_PIECE_BYTES):
            rest = memoryview(piece)
            while rest:
                rest = rest[target.write(rest) :]


def _read_all(answer: socket.socket) -> bytes:
    pieces = []
    while piece := answer.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)
