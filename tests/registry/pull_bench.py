"""A daemon in small for tests of pull: engine, graph on the fake driver, tags, registry, downloads; without root."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mini_docker.daemon.jobs.layer_downloads import LayerDownloads
from mini_docker.daemon.jobs.pull import Pull, PullLayer, PullManifest
from mini_docker.daemon.jobs.push import Push, PushLayer
from mini_docker.engine import Engine, Job
from mini_docker.graph.graph import Graph
from mini_docker.graph.tag_store import TagStore
from mini_docker.graph.unpackers import Unpackers
from mini_docker.registry.endpoints import RegistryConfig
from mini_docker.registry.patience import RetryPolicy, Timeouts
from mini_docker.registry.service import RegistryService
from tests.graph.fake_driver import FakeDriver

HASTY = RetryPolicy(attempts=4, first=0.01, longest=0.05)


class PullBench:
    """The parts, and a way to run the job."""

    def __init__(
        self, root: Path, config: RegistryConfig | None = None, driver: Any = None, read_seconds: float = 5.0,
        unpackers: Unpackers | None = None,
    ) -> None:  # fmt: skip
        self.root = root
        self.engine = Engine()
        self.driver = driver or FakeDriver(root / "fake")
        self.graph = Graph(root / "graph", self.driver, unpackers)
        self.tags = TagStore(root / "repositories.json")
        self.registry = RegistryService(config, HASTY, Timeouts(connect=2.0, read=read_seconds))
        self.downloads = LayerDownloads(root / "graph" / "tmp")
        self.events: list[tuple[str, ...]] = []
        self.engine.register("pull", Pull(self.graph, self.tags, self.registry, self.downloads))
        self.engine.register("pull_manifest", PullManifest(self.registry))
        self.engine.register("pull_layer", PullLayer(self.registry))
        self.engine.register("push", Push(self.graph, self.tags, self.registry))
        self.engine.register("push_layer", PushLayer(self.graph, self.registry, root / "graph" / "tmp"))
        self.engine.register("log", lambda job: self.events.append((job.env["type"], *job.args)))

    def job(self, image: str, tag: str = "", **env: str) -> Job:
        job = self.engine.job("pull")
        job.env["fromImage"] = image
        job.env["tag"] = tag
        for name, value in env.items():
            job.env[name.replace("_", "-") if name.startswith("X_") else name] = value
        return job

    def pull(self, image: str, tag: str = "", **env: str) -> list[dict[str, Any]]:
        """Run a pull to its end; returns its lines."""
        return [json.loads(line) for line in self.job(image, tag, **env).output().splitlines()]

    def push(self, repository: str, tag: str = "", **env: str) -> list[dict[str, Any]]:
        """Run a push to its end; returns its lines."""
        job = self.engine.job("push", repository)
        job.env["tag"] = tag
        for name, value in env.items():
            job.env[name.replace("_", "-")] = value
        return [json.loads(line) for line in job.output().splitlines()]

    def leftovers(self) -> list[str]:
        """Files that wait, and layers of no image: there must be none when nothing runs."""
        kept = {"sha256-" + chain.removeprefix("sha256:") for image in self.graph.images() for chain in image.layers}
        waiting = [str(path) for path in (self.root / "graph" / "tmp").iterdir()]
        return waiting + [name for name in self.driver.layers() if name not in kept]


def said(lines: list[dict[str, Any]], layer: str = "") -> list[str]:
    """The words of the lines about one layer (or about the whole), repeats of a bar taken together."""
    words: list[str] = []
    for line in lines:
        if line.get("id", "") == layer and (not words or words[-1] != line["status"]):
            words.append(line["status"])
    return words
