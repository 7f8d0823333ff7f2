"""The jobs that bring an image to a registry.

    push ─┬─ push_layer  ┐
          ├─ push_layer  ├─   side by side, top layer first; each skips what the registry has
          └─ push_layer  ┘
          then the config, and last the manifest: from then on others can pull it

A layer that came from a registry travels as it came, so its digest stays. One that was made here
is compressed on the way out.

Classic ancestor: ``push`` (``graph/push.go``). The child job is ours.
"""

from __future__ import annotations

import io
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from mini_docker.daemon.jobs.layer_progress import LayerLines, say
from mini_docker.daemon.jobs.packed_layer import packed
from mini_docker.daemon.jobs.pull import AUTH
from mini_docker.dataclasses import dataclass, field, replace
from mini_docker.engine import Env, Job
from mini_docker.errors import Invalid, NotFound
from mini_docker.graph.graph import Graph
from mini_docker.graph.image import Image
from mini_docker.graph.tag_store import TagStore
from mini_docker.media_types import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_GZIP_LAYER,
    OCI_MANIFEST,
)
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.digest import digest_of, short_id
from mini_docker.registry.manifest import Descriptor, ImageManifest
from mini_docker.registry.patience import Cancellation
from mini_docker.registry.reference import Reference
from mini_docker.registry.service import RegistryService
from mini_docker.registry.upload import Blob, Outcome, push_blob, push_manifest
from mini_docker.remote_api import Progress

UPLOADS_AT_ONCE = 5
"""Docker's default of ``--max-concurrent-uploads``."""


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What the job is asked for.

    Attributes:
        repository: where to.
        tag: which; empty for all that the repository has here.
        auth: the ``X-Registry-Auth`` header, undecoded.
    """

    repository: Reference
    tag: str
    auth: str = field(default="", repr=False)

    @classmethod
    def decode(cls, args: tuple[str, ...], env: Env) -> PushRequest:
        """Read the argument and ``tag`` and ``X-Registry-Auth``.

        Raises:
            Invalid: one of them is malformed.
        """
        if len(args) != 1:
            raise Invalid(f"push takes one argument, the repository, not {len(args)}")
        reference = Reference.parse(args[0])
        if reference.digest:
            raise Invalid("cannot push a digest reference")
        tag = env.get("tag", "") or reference.tag
        if tag:
            reference.with_tag(tag)
        auth = env.get(AUTH, "")
        Credentials.decode(auth)
        return cls(Reference(reference.domain, reference.path), tag, auth)


class PushLayer:
    """The job ``push_layer REFERENCE CHAIN_ID``: brings one layer to the registry; its output is progress lines.

    What it brought it leaves in its environment: ``MediaType``, ``Digest``, ``Size``.
    Environment it reads: ``mount_from``, ``X-Registry-Auth``.

    Args:
        folder: where layers that are compressed on the way wait.
    """

    def __init__(self, graph: Graph, registry: RegistryService, folder: Path) -> None:
        self._graph = graph
        self._registry = registry
        self._folder = folder

    def __call__(self, job: Job) -> None:
        """Run it.

        Raises:
            NotFound: no such layer. Others as `push_blob`.
        """
        reference, chain = job.args
        layer = self._graph.layer(chain)
        mount_from = job.env.get("mount_from", "")
        cancellation = Cancellation()
        with job.on_cancel(cancellation.cancel), packed(self._graph, layer, self._folder) as pack:
            lines = LayerLines(lambda line: say(job, line), short_id(layer.diff_id), pack.size)
            session = self._registry.session(
                Reference.parse(reference),
                Credentials.decode(job.env.get(AUTH, "")),
                push=True,
                mount_from=mount_from,
                cancellation=cancellation,
            )
            blob = Blob(pack.digest, pack.size, pack.open)
            outcome = push_blob(session, blob, mount_from, lambda sent: lines.bar("Pushing", sent))
        words = {
            Outcome.EXISTED: "Layer already exists",
            Outcome.MOUNTED: f"Mounted from {mount_from}",
            Outcome.PUSHED: "Pushed",
        }
        lines.line(words[outcome])
        job.env["MediaType"], job.env["Digest"], job.env["Size"] = pack.media_type, pack.digest, str(pack.size)


class Push:
    """The job ``push REPOSITORY``: its standard output is the progress stream.

    Environment: ``tag`` (empty for all), ``X-Registry-Auth``.
    """

    def __init__(self, graph: Graph, tags: TagStore, registry: RegistryService) -> None:
        self._graph = graph
        self._tags = tags
        self._registry = registry

    def __call__(self, job: Job) -> None:
        """Run it.

        Raises:
            Invalid: malformed request. NotFound: no such tag here. Others as the registry has them.
        """
        request = PushRequest.decode(job.args, job.env)
        say(job, Progress(f"The push refers to repository [{request.repository.name}]"))
        for reference in self._references(request):
            _PushOne(job, request, reference, self._graph, self._tags, self._registry).run()

    def _references(self, request: PushRequest) -> list[Reference]:
        name = request.repository.repository
        here = sorted(known for known in self._tags.all() if known.rpartition(":")[0] == name)
        if not here:
            raise NotFound(f"An image does not exist locally with the tag: {name}")
        if not request.tag:
            return [Reference.parse(known) for known in here]
        if f"{name}:{request.tag}" not in here:
            raise NotFound(f"tag does not exist: {name}:{request.tag}")
        return [request.repository.with_tag(request.tag)]


class _PushOne:
    """One run of a push of one tag."""

    def __init__(
        self,
        job: Job,
        request: PushRequest,
        reference: Reference,
        graph: Graph,
        tags: TagStore,
        registry: RegistryService,
    ) -> None:
        self._job = job
        self._request = request
        self._reference = reference
        self._graph = graph
        self._tags = tags
        self._registry = registry

    def run(self) -> None:
        """Do it."""
        reference = self._reference
        image = self._graph.get(self._tags.get(reference.repository, reference.tag))
        layers = self._push_layers(image)
        manifest = _manifest(image.config_bytes, layers)
        cancellation = Cancellation()
        with self._job.on_cancel(cancellation.cancel):
            session = self._registry.session(
                reference, Credentials.decode(self._request.auth), push=True, cancellation=cancellation
            )
            config = manifest.config
            push_blob(session, Blob(config.digest, config.size, lambda: io.BytesIO(image.config_bytes)))
            data = manifest.encode()
            push_manifest(session, reference.tag, data, manifest.media_type)
        digest = digest_of(data)
        self._tags.set_digest(reference.repository, digest, image.id)
        say(self._job, Progress(f"{reference.tag}: digest: {digest} size: {len(data)}"))
        say(self._job, Progress(aux={"Tag": reference.tag, "Digest": digest, "Size": len(data)}))

    def _push_layers(self, image: Image) -> list[Descriptor]:
        """Push all layers side by side; the descriptors come back base first."""
        jobs = [self._layer_job(chain) for chain in image.layers]
        for chain in reversed(image.layers):
            say(self._job, Progress("Preparing", short_id(self._graph.layer(chain).diff_id)))
        with ThreadPoolExecutor(UPLOADS_AT_ONCE, "push_layer") as pool:
            futures = [pool.submit(job.run) for job in reversed(jobs)]
            done, rest = wait(futures, return_when=FIRST_EXCEPTION)
            if any(future.exception() for future in done):
                for future in rest:
                    future.cancel()
                for job in jobs:
                    job.cancel()
        # The first failure is the reason; the others were cancelled because of it.
        for future in [*done, *rest]:
            if not future.cancelled():
                future.result()
        return [Descriptor(job.env["MediaType"], job.env["Digest"], job.env.get_int("Size")) for job in jobs]

    def _layer_job(self, chain: str) -> Job:
        child = self._job.child("push_layer", str(self._reference), chain)
        child.stdout.add(self._job.stdout)
        if self._request.auth:
            child.env[AUTH] = self._request.auth
        if elsewhere := self._elsewhere(chain):
            child.env["mount_from"] = elsewhere
        return child

    def _elsewhere(self, chain: str) -> str:
        """Another repository of the same registry that has the layer, for an image of it was pulled or pushed there."""
        for name, image_id in self._tags.all_digests().items():
            other = Reference.parse(name)
            if other.domain != self._reference.domain or other.path == self._reference.path:
                continue
            if self._graph.exists(image_id) and chain in self._graph.get(image_id).layers:
                return other.path
        return ""


def _manifest(config: bytes, layers: list[Descriptor]) -> ImageManifest:
    """Docker's own form if it can express the layers, else OCI's: Docker's has no word for zstd."""
    if all(layer.media_type == DOCKER_LAYER for layer in layers):
        return ImageManifest(DOCKER_MANIFEST, Descriptor(DOCKER_CONFIG, digest_of(config), len(config)), tuple(layers))
    oci = tuple(
        replace(layer, media_type=OCI_GZIP_LAYER if layer.media_type == DOCKER_LAYER else layer.media_type)
        for layer in layers
    )
    return ImageManifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, digest_of(config), len(config)), oci)
