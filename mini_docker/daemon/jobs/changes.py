"""The jobs ``container_changes``, ``export`` and ``commit``: what a container wrote, as a list, a tar, an image.

Classic Docker's ContainerChanges, ContainerExport, ContainerCommit (``daemon/changes.go`` and
its neighbours).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from mini_docker.archive.pack import pack
from mini_docker.daemon.container.config import ContainerConfig
from mini_docker.daemon.container.container import Container
from mini_docker.daemon.container.store import ContainerStore
from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.daemon.jobs.answers import answer, argument, json_body
from mini_docker.daemon.jobs.events import log_event
from mini_docker.dataclasses import dataclass
from mini_docker.drivers.execdriver.contract import ExecDriver
from mini_docker.engine import Job
from mini_docker.errors import Invalid
from mini_docker.graph.commit import commit
from mini_docker.graph.config_changes import apply_changes
from mini_docker.graph.container_layers import ContainerLayers
from mini_docker.linux.id_mapping import NO_MAPPING, IdMapping
from mini_docker.linux.kernel import Kernel
from mini_docker.registry.reference import Reference


class ContainerChanges:
    """Answers ``[{"Path", "Kind"}]``, or null."""

    def __init__(self, containers: ContainerStore, layers: ContainerLayers) -> None:
        self._containers = containers
        self._layers = layers

    def __call__(self, job: Job) -> None:
        container = self._containers.get(argument(job))
        changes = self._layers.changes(container.id)
        answer(job, [{"Path": change.path, "Kind": int(change.kind)} for change in changes] or None)


class Export:
    """Writes a container's whole root file system as a tar."""

    def __init__(
        self, containers: ContainerStore, layers: ContainerLayers, kernel: Kernel, ids: IdMapping = NO_MAPPING
    ) -> None:
        self._containers = containers
        self._layers = layers
        self._kernel = kernel
        self._ids = ids

    def __call__(self, job: Job) -> None:
        container = self._containers.get(argument(job))
        root = self._layers.open(container.id)
        try:
            for piece in pack(root.as_path(), self._kernel, self._ids):
                job.check_cancelled()
                job.stdout.write(piece)
        finally:
            self._layers.close(container.id)
        log_event(job, container, "export")


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """A container, a name for the image (or none), and changes to how it is run.

    Attributes:
        created_by: for the image's history; empty takes the container's command.
    """

    container: str
    repository: str
    tag: str
    author: str
    comment: str
    changes: tuple[str, ...]
    pause: bool
    config: Mapping[str, Any]
    created_by: str

    @classmethod
    def decode(cls, job: Job) -> CommitRequest:
        """Read the job's environment and body.

        Raises:
            Invalid: a bad name, or no container.
        """
        env = job.env
        container = env.get("container", "")
        if not container:
            raise Invalid("commit: a container must be named")
        repository, tag = "", ""
        if env.get("repo", ""):
            reference = Reference.of(env["repo"], env.get("tag", "")).with_default_tag()
            repository, tag = reference.repository, reference.tag
        changes = tuple(line for text in env.get_list("changes") for line in text.splitlines() if line.strip())
        return cls(
            container, repository, tag, env.get("author", ""), env.get("comment", ""), changes,
            env.get_bool("pause", True), json_body(job), env.get("created_by", ""),
        )  # fmt: skip


class Commit:
    """Answers ``{"Id"}``: the image that the container has become."""

    def __init__(
        self, containers: ContainerStore, images: ImageLookup, layers: ContainerLayers, exec_driver: ExecDriver
    ) -> None:
        self._containers = containers
        self._images = images
        self._layers = layers
        self._exec_driver = exec_driver

    def __call__(self, job: Job) -> None:
        request = CommitRequest.decode(job)
        container = self._containers.get(request.container)
        config = _portable(container, request)
        graph = self._images.graph
        with container.lock, ExitStack() as cleanup:
            if request.pause and container.state.running and not container.state.paused:
                self._exec_driver.pause(container.id)  # so that no file changes while it is read
                cleanup.callback(self._exec_driver.resume, container.id)
            base = graph.get(container.image) if container.image else None
            with self._layers.diff(container.id) as changes:
                image = commit(
                    graph, base, changes, config=config, author=request.author, comment=request.comment,
                    created_by=request.created_by or " ".join(container.config.command),
                )  # fmt: skip
        if request.repository:
            job.child("tag", image.id, request.repository, request.tag).run()
        log_event(job, container, "commit", comment=request.comment, imageID=image.id, imageRef=request.repository)
        answer(job, {"Id": image.id})


def _portable(container: Container, request: CommitRequest) -> dict[str, Any]:
    """How the image is run: as the container was, but for what is said in the request."""
    own = container.config
    said = ContainerConfig.from_json(dict(request.config)) if request.config else ContainerConfig()
    config = said.merge(own).to_json()
    if said.entrypoint is None and said.cmd is None:
        config |= {"Entrypoint": list(own.entrypoint or ()) or None, "Cmd": list(own.cmd or ()) or None}
    config["Image"] = container.image
    return dict(apply_changes(json.loads(json.dumps(config)), request.changes))
