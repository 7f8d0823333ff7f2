"""The unpacker: the removal men's van. It waits before the house with the engine warm, and has a man for every layer.

A process with one thread and all it needs imported, that forks a child for each order:

    daemon                              unpacker                     child
    order, [source, root, report] ──▶   fork                    ──▶  unpack, fingerprint
                                                                     report ──▶ the daemon
    (control socket closes)       ──▶   exit                    ──▶  killed, if one still works

Python runs one thread at a time; processes it runs on every core. It ends with the daemon, however that ends, and
its children with it: nobody writes to a layer of which the next daemon knows nothing.

It knows nothing of drivers, stacks and images.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence

from mini_docker.graph.unpacking import UnpackOrder, carry_out, encode_failure
from mini_docker.linux.constants import PR_SET_PDEATHSIG
from mini_docker.linux.descriptors import receive
from mini_docker.linux.linux_kernel import LinuxKernel

ORDER_BYTES = 1 << 16
"""The most an order takes."""
_DESCRIPTORS = 3


def main(args: Sequence[str]) -> int:
    """Serve until the control socket, whose descriptor is the argument, closes."""
    control = socket.socket(fileno=int(args[0]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    kernel = LinuxKernel()
    gc.freeze()  # what is imported stays shared between the processes
    me = os.getpid()
    while True:
        data, descriptors = receive(control, ORDER_BYTES, _DESCRIPTORS)
        if not data:
            return 0
        if os.fork() == 0:
            kernel.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == me:  # else it died before the line above
                control.close()
                _work(data, descriptors, kernel)
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def _work(data: bytes, descriptors: Sequence[int], kernel: LinuxKernel) -> None:
    source, root, report = descriptors
    try:
        said = carry_out(UnpackOrder.decode(data), source, root, kernel).encode()
    except Exception as error:
        said = encode_failure(error)
    with socket.socket(fileno=report) as answer:
        answer.sendall(said)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
