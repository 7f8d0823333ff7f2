"""A narration on its way from the two halves of a container's birth, and from its network, to whoever wants to hear it.

The exec driver is given the writing end of a pipe, and the network drivers' doors speak into it while this thread
uses them; what comes out of the other goes to the job's standard output, a JSON line for each sentence. It knows
sentences, not what they are about.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mini_docker.engine import Job
from mini_docker.linux.narrated_network import Audience

SILENCE = -1
"""What a driver is given when nobody listens."""


@contextmanager
def narration(job: Job, wanted: bool, network: Audience) -> Iterator[int]:
    """While the block runs, what is written to the descriptor that it gets is told; `SILENCE` when not *wanted*.

    So is what this thread, in child jobs too, asks of the doors that have *network* as their audience. The block
    ends when the last holder of the writing end has closed it: init does so at its exec.
    """
    if not wanted:
        yield SILENCE
        return
    readable, writable = os.pipe2(os.O_CLOEXEC)
    teller = threading.Thread(target=_tell, args=(job, readable), name="narration", daemon=True)
    teller.start()
    try:
        with network.listening(writable, "daemon"):
            yield writable
    finally:
        os.close(writable)
        teller.join()


def _tell(job: Job, readable: int) -> None:
    with open(readable, encoding="utf-8", errors="replace") as sentences:
        for sentence in sentences:
            try:
                job.stdout.write(json.dumps({"stream": sentence}).encode() + b"\n")
            except (OSError, ValueError):
                return  # nobody listens any more, which is no reason not to start the container
