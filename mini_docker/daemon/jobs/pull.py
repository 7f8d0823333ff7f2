"""The jobs that bring an image here. They join registry and graph, which don't know each other.

    pull ─┬─ pull_manifest       which layers, and the config: asked of the registry
          ├─ pull_layer  ┐
          ├─ pull_layer  ├─      side by side; each writes one verified layer to its standard output
          └─ pull_layer  ┘
          then, in order, base first: Graph.add_layer … Graph.register, TagStore.set

A layer is unpacked while it still comes in, beside the others where the graph can do that, else as far as the ones
below it are ready. What the pull does not finish leaves nothing: layers are held by a lease until the image is
registered on them.

Classic ancestor: ``pull`` (``graph/pull.go``). The two child jobs are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, cast

from mini_docker.daemon.jobs.events import log_other
from mini_docker.daemon.jobs.layer_downloads import LayerDownload, LayerDownloads, LayerReader
from mini_docker.daemon.jobs.layer_progress import PullProgress, say
from mini_docker.dataclasses import dataclass, field, replace
from mini_docker.engine import Env, Job
from mini_docker.errors import Cancelled, Invalid, MiniDockerError, NotFound, Unsupported
from mini_docker.graph.ahead import LayerAhead
from mini_docker.graph.graph import Graph
from mini_docker.graph.image import Image, ImageConfig
from mini_docker.graph.layer import Layer, chain_ids
from mini_docker.graph.tag_store import TagStore
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.digest import DigestMismatch, digest_of, short_id
from mini_docker.registry.download import download_blob
from mini_docker.registry.manifest import Descriptor, ImageManifest, parse_manifest
from mini_docker.registry.patience import Cancellation
from mini_docker.registry.platform import Platform, host, runnable_on
from mini_docker.registry.reference import Reference
from mini_docker.registry.service import RegistryService
from mini_docker.remote_api import Progress

AUTH = "X-Registry-Auth"
DOWNLOADS_OF_A_LAYER = 3
"""How often a layer that arrives damaged is fetched in all."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What the job's environment asks for.

    Attributes:
        reference: a name alone means all its tags.
        platform: as asked for; empty for this machine's.
        auth: the ``X-Registry-Auth`` header, undecoded: it is handed to the child jobs.
    """

    reference: Reference
    platform: str = ""
    auth: str = field(default="", repr=False)

    @classmethod
    def decode(cls, env: Env) -> PullRequest:
        """Read ``fromImage``, ``tag``, ``platform`` and ``X-Registry-Auth``.

        Raises:
            Invalid: one of them is malformed.
        """
        platform, auth = env.get("platform", ""), env.get(AUTH, "")
        if platform:
            Platform.parse(platform)
        Credentials.decode(auth)
        reference = Reference.of(env.get("fromImage", ""), env.get("tag", ""))
        if reference.repository == "scratch":
            raise Invalid("'scratch' is a reserved name")
        return cls(reference, platform, auth)


@dataclass(frozen=True, slots=True)
class Papers:
    """What ``pull_manifest`` found out, as it passes from the child job to its parent.

    Attributes:
        digest: what users see as the image's digest in the registry.
        config: the image's config, byte for byte.
        endpoint: where they came from; the layers are asked for there first.
    """

    digest: str
    manifest: ImageManifest
    config: bytes
    endpoint: str

    @classmethod
    def decode(cls, data: bytes) -> Papers:
        """The inverse of what the child job writes."""
        env = Env.decode(data)
        manifest = parse_manifest(env["Manifest"].encode(), env["MediaType"])
        assert isinstance(manifest, ImageManifest)
        return cls(env["Digest"], manifest, env["Config"].encode(), env["Endpoint"])


class PullManifest:
    """The job ``pull_manifest REFERENCE``: writes an image's papers to its standard output, as an environment."""

    def __init__(self, registry: RegistryService) -> None:
        self._registry = registry

    def __call__(self, job: Job) -> None:
        """Run it.

        Raises:
            Invalid: not one argument, or the papers are no text. Others as `Session.fetch_image`.
        """
        (reference,) = _arguments(job, 1)
        wanted = job.env.get("platform", "")
        cancellation = Cancellation()
        with job.on_cancel(cancellation.cancel):
            session = self._registry.session(
                Reference.parse(reference), Credentials.decode(job.env.get(AUTH, "")), cancellation=cancellation
            )
            image = session.fetch_image(Platform.parse(wanted) if wanted else host())
        papers = Env({"Digest": image.digest, "Endpoint": image.endpoint, "MediaType": image.manifest.media_type})
        try:
            papers["Manifest"], papers["Config"] = image.fetched.data.decode(), image.config.decode()
        except UnicodeDecodeError as error:
            raise Invalid(f"the image's manifest or config is not UTF-8: {error}") from None
        job.stdout.write(papers.encode())


class PullLayer:
    """The job ``pull_layer REFERENCE DIGEST SIZE``: writes one layer, as it travels, to its standard output.

    It ends well only if what it wrote is what the digest names.
    """

    def __init__(self, registry: RegistryService) -> None:
        self._registry = registry

    def __call__(self, job: Job) -> None:
        """Run it.

        Raises:
            Invalid: not three arguments. Others as `download_blob`.
        """
        reference, digest, size = _arguments(job, 3)
        cancellation = Cancellation()
        with job.on_cancel(cancellation.cancel):
            session = self._registry.session(
                Reference.parse(reference),
                Credentials.decode(job.env.get(AUTH, "")),
                endpoint=job.env.get("endpoint", ""),
                cancellation=cancellation,
            )
            download_blob(session, digest, int(size), job.stdout.write)


class Pull:
    """The job ``pull``: brings images here and names them; its standard output is the progress stream.

    Environment: ``fromImage``, ``tag`` (or a digest; empty for all tags), ``platform``, ``X-Registry-Auth``.
    """

    def __init__(
        self, graph: Graph, tags: TagStore, registry: RegistryService, downloads: LayerDownloads
    ) -> None:  # fmt: skip
        self._graph = graph
        self._tags = tags
        self._registry = registry
        self._downloads = downloads

    def __call__(self, job: Job) -> None:
        """Run it.

        Raises:
            Invalid: malformed request. NotFound and others: in Docker's words; before the first line
                when the registry refuses at once.
        """
        request = PullRequest.decode(job.env)
        newer, warnings = False, list[str]()
        for reference in self._references(job, request):
            one = _PullOne(job, replace(request, reference=reference), self._graph, self._tags, self._downloads)
            newer |= one.run()
            warnings += one.warnings
            log_other(job, "image", "pull", reference.familiar(), name=reference.repository)
        what = "Downloaded newer image" if newer else "Image is up to date"
        say(job, Progress(f"Status: {what} for {request.reference.familiar()}"))
        for warning in dict.fromkeys(warnings):
            say(job, Progress(f"WARNING: {warning}"))

    def _references(self, job: Job, request: PullRequest) -> list[Reference]:
        reference = request.reference
        if not reference.is_name_only:
            return [reference]
        cancellation = Cancellation()
        with job.on_cancel(cancellation.cancel):
            session = self._registry.session(reference, Credentials.decode(request.auth), cancellation=cancellation)
            return [reference.with_tag(tag) for tag in session.tags()]


class _PullOne:
    """One run of a pull of one reference."""

    def __init__(self, job: Job, request: PullRequest, graph: Graph, tags: TagStore, downloads: LayerDownloads) -> None:
        self._job = job
        self._reference = request.reference
        self._request = request
        self._graph = graph
        self._tags = tags
        self._downloads = downloads
        self.warnings: list[str] = []

    def run(self) -> bool:
        """Do it; returns whether anything is new."""
        reference = self._reference
        papers = self._papers()
        self._check_platform(papers)
        self._say(Progress(f"Pulling from {reference.path}", str(reference) if reference.digest else reference.tag))
        image_id = digest_of(papers.config)
        if self._graph.exists(image_id):
            newer = self._name(image_id, papers.digest)
        else:
            with self._graph.lease() as lease:
                image = self._assemble(papers, lease.chains)
                newer = self._name(image.id, papers.digest)
        self._say(Progress(f"Digest: {papers.digest}"))
        return newer

    def _papers(self) -> Papers:
        child = self._child("pull_manifest", str(self._reference))
        child.env["platform"] = self._request.platform
        return Papers.decode(child.output())

    def _check_platform(self, papers: Papers) -> None:
        """An image that is for one machine only is pulled whatever was asked for; but the user is told."""
        if self._request.platform:
            wanted, actual = Platform.parse(self._request.platform), Platform.of_config(papers.config)
            if actual not in runnable_on(wanted):
                self.warnings.append(
                    f"image with reference {self._reference.repository} was found but does not match the specified "
                    f"platform: wanted {wanted}, actual: {actual}"
                )

    def _name(self, image_id: str, digest: str) -> bool:
        """Let the reference mean the image; returns whether it meant something else before.

        A digest names one content for ever: a tag beside it is not moved.
        """
        reference = self._reference
        repository = reference.repository
        try:
            before = (
                self._tags.get_digest(repository, reference.digest)
                if reference.digest
                else self._tags.get(repository, reference.tag)
            )
        except NotFound:
            before = ""
        self._tags.set_digest(repository, digest, image_id)
        if not reference.digest:
            self._tags.set(repository, reference.tag, image_id)
        return before != image_id

    def _assemble(self, papers: Papers, kept: set[str]) -> Image:
        """Stack the layers that are missing and register the image on them.

        Args:
            kept: chain ids that must not be dropped meanwhile.
        """
        config = ImageConfig.decode(papers.config)
        layers = papers.manifest.layers
        if config.os not in ("", "linux"):
            raise Unsupported(f'image operating system "{config.os}" cannot be used on this platform')
        if len(config.diff_ids) != len(layers):
            raise Invalid("layers from manifest don't match image configuration")
        chains = chain_ids(config.diff_ids)
        kept.update(chains)  # first keep, then look: so none is dropped in between
        present = self._graph.count_present(chains)
        for layer in layers[:present]:
            self._progress(layer).exists()
        with ExitStack() as stack:
            missing = [_Wanted(layer, self._progress(layer)) for layer in layers[present:]]
            for wanted in missing:
                wanted.progress.announced()
            for wanted in missing:
                wanted.download = self._fetch(wanted, papers.endpoint, stack)
            sizes = [wanted.layer.size for wanted in missing]
            compressed = not all(wanted.layer.media_type.endswith(".tar") for wanted in missing)
            ahead = stack.enter_context(self._graph.ahead(sizes, compressed=compressed))
            if ahead is not None:
                for index, wanted in enumerate(missing, start=present):
                    wanted.turn = stack.enter_context(ExitStack())
                    if wanted.turn.enter_context(self._downloads.unpacking_ahead(chains[index])):
                        reader = stack.enter_context(self._reader(wanted))
                        wanted.ahead = ahead.begin(reader, is_base=index == 0)
            for index, wanted in enumerate(missing, start=present):
                parent = chains[index - 1] if index else None
                # Who waits for a turn holds only turns of layers above it: so two pulls never wait for each other.
                with wanted.turn if wanted.ahead else self._downloads.unpacking(self._job, chains[index]):
                    self._add(parent, wanted, config.diff_ids[index], papers.endpoint, stack)
            return self._graph.register(papers.config)

    def _fetch(self, wanted: _Wanted, endpoint: str, stack: ExitStack) -> LayerDownload:
        """Begin to download a layer, or join another pull that does."""
        layer = wanted.layer

        def make_job() -> Job:
            child = self._child("pull_layer", str(self._reference), layer.digest, str(layer.size))
            child.env["endpoint"] = endpoint
            return child

        return stack.enter_context(self._downloads.fetching(layer.digest, layer.size, make_job, wanted.progress))

    def _add(self, parent: str | None, wanted: _Wanted, diff_id: str, endpoint: str, stack: ExitStack) -> Layer:
        """Unpack one layer; one that arrives damaged is fetched again."""
        layer = wanted.layer
        for left in reversed(range(DOWNLOADS_OF_A_LAYER)):
            download = wanted.download
            assert download is not None
            try:
                with self._reader(wanted) as reader:
                    added = self._graph.add_layer(
                        parent,
                        reader,
                        expected_diff_id=diff_id,
                        expected_digest=layer.digest,
                        media_type=layer.media_type,
                        file=download.path,
                        ahead=wanted.ahead,
                    )
                wanted.progress.extracted(layer.size)
                wanted.progress.pulled()
                return added
            except MiniDockerError as error:
                # Unpacking may stumble over damage before the download's end proves it: its verdict counts.
                verdict = download.wait()
                self._job.check_cancelled()
                # Cancelled, though we were not: the pull whose download we shared went away.
                if not left or not isinstance(verdict, (DigestMismatch, Cancelled)):
                    if verdict is None:
                        raise
                    raise verdict from error
                wanted.progress.restarted()
                wanted.download, wanted.ahead = self._fetch(wanted, endpoint, stack), None
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _reader(self, wanted: _Wanted) -> Iterator[BinaryIO]:
        """Reads the layer from its start; whoever still reads when the block ends is told to stop."""
        assert wanted.download is not None
        reader = LayerReader(wanted.download, self._watched(wanted.progress))
        try:
            yield cast(BinaryIO, reader)
        finally:
            reader.give_up()

    def _watched(self, progress: PullProgress) -> Callable[[int], None]:
        def on_read(done: int) -> None:
            self._job.check_cancelled()
            progress.extracted(done)

        return on_read

    def _progress(self, layer: Descriptor) -> PullProgress:
        return PullProgress(self._say, short_id(layer.digest), layer.size)

    def _child(self, name: str, *args: str) -> Job:
        child = self._job.child(name, *args)
        if self._request.auth:
            child.env[AUTH] = self._request.auth
        return child

    def _say(self, line: Progress) -> None:
        say(self._job, line)


@dataclass(slots=True)
class _Wanted:
    """A layer that is missing here, on its way."""

    layer: Descriptor
    progress: PullProgress
    download: LayerDownload | None = None
    ahead: LayerAhead | None = None
    turn: ExitStack = field(default_factory=ExitStack)


def _arguments(job: Job, count: int) -> tuple[str, ...]:
    if len(job.args) != count:
        raise Invalid(f"{job.name} takes {count} arguments, not {len(job.args)}")
    return job.args
