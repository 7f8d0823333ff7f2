"""Containers through the API: what a program that drives a daemon waits for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.api import Api
from bench.contract import Bench, Curve
from bench.goal import at_most, faster
from bench.sitting import Sitting
from bench.unit import Unit


@dataclass
class Cycle(Bench):
    """Create, start, wait, remove."""

    network: str = "none"

    def once(self, sitting: Sitting, contender: str) -> float:
        api = sitting.daemon(contender).api()
        try:
            return api.cycle(self.network)
        finally:
            api.close()


@dataclass
class Create(Bench):
    """Create alone."""

    def once(self, sitting: Sitting, contender: str) -> float:
        api = sitting.daemon(contender).api()
        began = time.perf_counter()
        container = api.create("true")
        took = time.perf_counter() - began
        api.remove(container)
        api.close()
        return took


@dataclass
class Sequence(Bench):
    """Many whole lives, one after another: seconds for all."""

    count: int = 50
    quick_count: int = 50

    def once(self, sitting: Sitting, contender: str) -> float:
        api = sitting.daemon(contender).api()
        began = time.perf_counter()
        for _ in range(self.quick_count if sitting.quick else self.count):
            api.cycle("bridge")
        took = time.perf_counter() - began
        api.close()
        return took


@dataclass
class Parallel(Bench):
    """Many whole lives at once, each on a connection of its own: seconds until the last has ended."""

    count: int = 20

    def once(self, sitting: Sitting, contender: str) -> float:
        apis = [sitting.daemon(contender).api() for _ in range(self.count)]
        with ThreadPoolExecutor(self.count) as threads:
            began = time.perf_counter()
            list(threads.map(lambda api: api.cycle("bridge"), apis))
            took = time.perf_counter() - began
        for api in apis:
            api.close()
        return took


@dataclass
class Exec(Bench):
    """A further process in a running container."""

    def prepare(self, sitting: Sitting, contender: str) -> None:
        api = sitting.daemon(contender).api()
        container = api.create("sleep", "1000")
        api.start(container)
        self.state[contender] = api, container

    def once(self, sitting: Sitting, contender: str) -> float:
        api, container = self.state[contender]
        took: float = api.execute(container, "true")
        return took

    def tidy(self, sitting: Sitting, contender: str) -> None:
        if contender in self.state:
            api, container = self.state.pop(contender)
            api.remove(container, force=True)
            api.close()


@dataclass
class List(Bench):
    """The list of many containers."""

    count: int = 100

    def prepare(self, sitting: Sitting, contender: str) -> None:
        api = sitting.daemon(contender).api()
        made: list[str] = []
        self.state[contender] = api, made
        for _ in range(self.count):
            made.append(api.create("true"))

    def once(self, sitting: Sitting, contender: str) -> float:
        api, _ = self.state[contender]
        began = time.perf_counter()
        listed = api.call("GET", "/containers/json", query={"all": 1})
        took = time.perf_counter() - began
        assert len(listed) >= self.count, f"{contender} lists {len(listed)} of {self.count} containers"
        return took

    def tidy(self, sitting: Sitting, contender: str) -> None:
        if contender in self.state:
            api, made = self.state.pop(contender)
            for container in made:
                api.remove(container)
            api.close()


@dataclass
class NetworkSetUp(Bench):
    """What a bridge adds to a start: start to exit on it, less the same with ``none`` right before."""

    def once(self, sitting: Sitting, contender: str) -> float:
        api = sitting.daemon(contender).api()
        without, within = self._start_to_exit(api, "none"), self._start_to_exit(api, "bridge")
        api.close()
        return within - without

    @staticmethod
    def _start_to_exit(api: Api, network: str) -> float:
        container = api.create("true", network=network)
        began = time.perf_counter()
        api.start(container)
        api.wait(container)
        took = time.perf_counter() - began
        api.remove(container)
        return took


@dataclass
class Crowd(Bench):
    """Growth: many running containers, and what the last start costs beside the first ones'.

    One sample is a ratio: the median start of the last tenth over that of the first tenth.
    """

    count: int = 500
    seen: dict[str, Curve] = field(default_factory=dict)

    def once(self, sitting: Sitting, contender: str) -> float:
        api = sitting.daemon(contender).api()
        made: list[str] = []
        took: list[float] = []
        try:
            for _ in range(self.count):
                made.append(api.create("sleep", "10000", network="bridge"))
                began = time.perf_counter()
                api.start(made[-1])
                took.append(time.perf_counter() - began)
        finally:
            for container in made:
                api.remove(container, force=True)
            api.close()
        tenth = max(1, self.count // 10)
        steps = [took[start : start + tenth] for start in range(0, self.count, tenth)]
        curve = [((number + 1) * tenth, sorted(step)[len(step) // 2]) for number, step in enumerate(steps)]
        self.seen[contender] = curve
        return curve[-1][1] / curve[0][1]

    def curves(self) -> Mapping[str, Curve]:
        return self.seen


@dataclass
class Ports(Bench):
    """What a start with a published port costs beside many published ports, over the same beside none.

    In both cases one neighbour runs, who has them all: more would be more cables on the bridge, and that is the
    crowd's bench. Few, many, many, few: so a machine that grows slower or faster meanwhile favours neither.
    """

    count: int = 500
    starts: int = 15

    def once(self, sitting: Sitting, contender: str) -> float:
        api = sitting.daemon(contender).api()
        try:
            took = [self._starts_beside(api, ports) for ports in (0, self.count, self.count, 0)]
        finally:
            api.close()
        return _median(took[1] + took[2]) / _median(took[0] + took[3])

    def _starts_beside(self, api: Api, published: int) -> list[float]:
        """The seconds of some starts with one port each, beside a neighbour that has *published* ports."""
        ports = {f"{port}/tcp": [{"HostPort": str(20_000 + port)}] for port in range(1, published + 1)}
        neighbour = api.create("sleep", "10000", network="bridge", PortBindings=ports)
        try:
            api.start(neighbour)
            return [self._start(api) for _ in range(self.starts)]
        finally:
            api.remove(neighbour, force=True)

    @staticmethod
    def _start(api: Api) -> float:
        container = api.create("sleep", "10000", network="bridge", PortBindings={"80/tcp": [{"HostPort": "19999"}]})
        try:
            began = time.perf_counter()
            api.start(container)
            return time.perf_counter() - began
        finally:
            api.remove(container, force=True)


def _median(times: list[float]) -> float:
    return sorted(times)[len(times) // 2]


def benches() -> list[Bench]:
    """This module's benches, in the order of the report."""
    twenty = faster(20, "issue 4")
    return [
        Cycle("api-none", "create, start, wait, remove by the API, network none", goal=twenty),
        Cycle("api-bridge", "create, start, wait, remove by the API, network bridge", goal=twenty, network="bridge"),
        Cycle("api-host", "create, start, wait, remove by the API, network host", goal=twenty, network="host"),
        Create("create", "create a container by the API", goal=faster(10, "issue 7")),
        Exec("exec-api", "create and start an exec by the API, read its output, ask its exit code",
             goal=faster(2.5, "issue 4")),
        Sequence("sequence-50", "50 whole lives by the API in sequence, network bridge", rounds=3, quick_rounds=1,
                 warm_up=0, count=50, quick_count=20),
        Parallel("parallel-20", "20 whole lives by the API at once, network bridge", rounds=5, quick_rounds=2,
                 warm_up=0),
        List("list-100", "the list of 100 containers by the API", goal=faster(5, "issue 4")),
        NetworkSetUp("network-set-up", "start to exit on the bridge, less the same with network none",
                     goal=at_most(0.003, "issue 8"), rounds=40, quick_rounds=15),
        Crowd("crowd-500", "the last of 500 starts on one bridge over the first", ("mini-docker",),
              at_most(1.5, "issue 8"), rounds=1, warm_up=0, full_only=True, unit=Unit.RATIO),
        Ports("ports-500", "a start with a published port beside 500 published ones over the same alone",
              ("mini-docker",), at_most(1.0, "issue 8"), rounds=9, warm_up=1, full_only=True, unit=Unit.RATIO),
    ]  # fmt: skip
