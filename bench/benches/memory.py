"""Memory: what a daemon weighs with nothing to do, and what each container adds.

Resident memory, from /proc, as `bench.processes` counts it: a page of a file that several helpers map counts once.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.contract import Bench
from bench.daemons import Daemon
from bench.goal import at_most
from bench.processes import Weight, held_bytes
from bench.sitting import Sitting
from bench.unit import Unit

CROWD = 10


@dataclass
class Weighing(Bench):
    """Memory hardly varies from time to time, and every sample takes a daemon of its own."""

    rounds: int = 3
    quick_rounds: int = 1
    warm_up: int = 0
    unit: Unit = Unit.BYTES


@dataclass
class Idle(Weighing):
    """A fresh daemon after one container's life: the daemon and all of its helpers.

    Attributes:
        word: only processes with this word in their command line.
    """

    word: str = ""

    def once(self, sitting: Sitting, contender: str) -> float:
        with sitting.fresh_daemon(contender) as daemon:
            api = daemon.api()
            api.cycle()
            api.close()
            return float(held_bytes(helper for helper in daemon.helpers() if self._counts(helper)))

    def _counts(self, helper: Weight) -> bool:
        return not self.word or self.word in helper.command.split()


@dataclass
class PerContainer(Weighing):
    """What each of ten sleeping containers adds beside its own process.

    Attributes:
        processes: count helper processes instead of bytes.
    """

    processes: bool = False

    def once(self, sitting: Sitting, contender: str) -> float:
        with sitting.fresh_daemon(contender) as daemon:
            api = daemon.api()
            api.cycle("bridge")
            before = self._weigh(daemon)
            made = [api.create("sleep", "1000", network="bridge") for _ in range(CROWD)]
            for container in made:
                api.start(container)
            after = self._weigh(daemon)
            for container in made:
                api.remove(container, force=True)
            api.close()
            return (after - before) / CROWD

    def _weigh(self, daemon: Daemon) -> float:
        helpers = daemon.helpers()
        return float(len(helpers) if self.processes else held_bytes(helpers))


def benches() -> list[Bench]:
    """This module's benches, in the order of the report."""
    return [
        Idle("memory-idle", "resident memory of an idle daemon with all its helpers", goal=at_most(45e6, "issue 4")),
        Idle("memory-supervisor", "resident memory of our supervisor", ("mini-docker",), at_most(20e6, "issue 6"),
             word="supervisor"),
        PerContainer("memory-container", "resident memory that a sleeping container adds, without its own process"),
        PerContainer("helpers-container", "helper processes that a sleeping container adds",
                     goal=at_most(0, "issue 4"), unit=Unit.COUNT, processes=True),
    ]  # fmt: skip
