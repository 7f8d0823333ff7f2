"""A Session: one conversation about one repository, at whichever of its endpoints answers first.

It speaks the reading half of the distribution API v2: manifests, tags, blobs (`upload.py` has the
writing half). What is named by digest is verified here. It knows no graph and no progress lines.

Source: OCI distribution specification 1.1. The classic ``registry/session.go`` spoke version 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Cancelled, Invalid, MiniDockerError
from mini_docker.registry.conversation import Conversation, Memory
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.digest import DigestMismatch, digest_of, verify
from mini_docker.registry.endpoints import Endpoint
from mini_docker.registry.errors import BrokenOff, RegistryError, Unreachable, for_pull
from mini_docker.registry.listing import listing
from mini_docker.registry.manifest import ACCEPT, LARGEST_MANIFEST, ImageIndex, ImageManifest, parse_manifest
from mini_docker.registry.patience import Cancellation, RetryPolicy
from mini_docker.registry.platform import Platform
from mini_docker.registry.reference import Reference

if TYPE_CHECKING:
    from mini_docker.registry.transport import Response

T = TypeVar("T")

LARGEST_CONFIG = 8 * 1024 * 1024
"""Bytes of an image's config that are borne in memory; real ones have a few thousand."""
DEEPEST_INDEX = 3


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest or index as it came.

    Attributes:
        data: byte for byte.
        media_type: what the registry called it.
        digest: of *data*.
    """

    data: bytes
    media_type: str
    digest: str


@dataclass(frozen=True, slots=True)
class FetchedImage:
    """An image's papers, without its layers.

    Attributes:
        digest: of what the tag names: of the index, where there is one. Users see this one.
        fetched: the manifest for the wanted platform, as it came.
        manifest: the same, read.
        config: the image's config, byte for byte: its digest is the image's id.
        endpoint: the URL of the endpoint that gave them.
    """

    digest: str
    fetched: FetchedManifest
    manifest: ImageManifest
    config: bytes
    endpoint: str


class Session:
    """One conversation, for one thread.

    *Fixed*: ``reference``, ``cancellation``, ``retries``. *Changing*: which endpoints are left to be tried.
    """

    def __init__(
        self,
        memory: Memory,
        reference: Reference,
        credentials: Credentials,
        endpoints: Sequence[Endpoint],
        push: bool,
        cancellation: Cancellation,
        mount_from: str = "",
    ) -> None:
        self.reference = reference
        self.cancellation = cancellation
        self.retries: RetryPolicy = memory.retries
        self._memory = memory
        self._credentials = credentials
        self._endpoints = list(endpoints)
        self._push = push
        actions = "pull,push" if push else "pull"
        self._scopes = [f"repository:{reference.path}:{actions}"]
        if mount_from:
            self._scopes.append(f"repository:{mount_from}:pull")
        self._current: Conversation | None = None

    @property
    def endpoint(self) -> str:
        """The URL of the endpoint that is being talked to; empty before the first request."""
        return self._current.endpoint.url if self._current else ""

    def ping(self) -> str:
        """Find an endpoint that answers.

        Returns:
            its URL.

        Raises:
            Unreachable: none does.
        """
        return self.at_endpoint(lambda conversation: conversation.endpoint.url)

    def at_endpoint(self, work: Callable[[Conversation], T]) -> T:
        """Do *work* at the first endpoint that can.

        A mirror that fails, in whatever way, is left for the next endpoint; an origin only when it never answered.
        Which one was left is remembered for the rest of the session.

        Raises:
            MiniDockerError: what the last endpoint said, in Docker's words.
        """
        while True:
            try:
                conversation = self._conversation()
                return work(conversation)
            except Cancelled:
                raise
            except MiniDockerError as error:
                never_answered = isinstance(error, Unreachable) and self._current is None
                leave = self._endpoints[0].mirror or never_answered
                if not leave or len(self._endpoints) == 1:
                    raise self._translate(error) from error
                self._endpoints.pop(0)
                self._current = None

    def _conversation(self) -> Conversation:
        if self._current is None:
            conversation = Conversation(
                self._memory, self._endpoints[0], self._credentials, tuple(self._scopes), self.cancellation
            )
            conversation.ping()
            self._current = conversation
        return self._current

    def _translate(self, error: MiniDockerError) -> MiniDockerError:
        if not isinstance(error, RegistryError):
            return error
        return error.as_kind() if self._push else for_pull(error, self.reference)

    # ---------------------------------------------------------------- manifests

    def fetch_manifest(self, name: str) -> FetchedManifest:
        """Fetch a manifest or index.

        Args:
            name: a tag or a digest.

        Raises:
            NotFound: in Docker's words. DigestMismatch: the registry gave other content than it named.
        """

        def fetch(conversation: Conversation) -> FetchedManifest:
            path = f"v2/{self.reference.path}/manifests/{name}"
            headers, data = self._content(
                conversation, path, {"Accept": ", ".join(ACCEPT)}, LARGEST_MANIFEST, name if ":" in name else ""
            )
            return FetchedManifest(data, headers.get("Content-Type", ""), name if ":" in name else digest_of(data))

        return self.at_endpoint(fetch)

    def fetch_image(self, platform: Platform) -> FetchedImage:
        """Fetch an image's manifest, through an index where there is one, and its config.

        Raises:
            NotFound: no such image, or none for the platform. Invalid, Unsupported: it is no image for us.
        """
        fetched = self.fetch_manifest(self.reference.digest or self.reference.tag)
        digest = fetched.digest
        for _ in range(DEEPEST_INDEX):
            parsed = parse_manifest(fetched.data, fetched.media_type)
            if not isinstance(parsed, ImageIndex):
                config = self.fetch_blob(parsed.config.digest, LARGEST_CONFIG)
                return FetchedImage(digest, fetched, parsed, config, self.endpoint)
            fetched = self.fetch_manifest(parsed.select(platform).digest)
        raise Invalid(f"invalid manifest list: it lists lists more than {DEEPEST_INDEX} deep")

    # ---------------------------------------------------------------- tags

    def tags(self) -> list[str]:
        """All tags of the repository, over as many pages as the registry makes of them.

        Raises:
            NotFound: no such repository.
        """
        return self.at_endpoint(lambda talk: listing(talk, f"v2/{self.reference.path}/tags/list", "tags"))

    # ---------------------------------------------------------------- blobs

    def fetch_blob(self, digest: str, limit: int) -> bytes:
        """A small blob, whole and verified.

        Args:
            limit: bytes it may have.

        Raises:
            NotFound: no such blob. DigestMismatch: other content came.
        """
        path = f"v2/{self.reference.path}/blobs/{digest}"
        return self.at_endpoint(lambda conversation: self._content(conversation, path, {}, limit, digest)[1])

    def open_blob(self, digest: str, offset: int = 0) -> Response:
        """Ask for a blob from *offset* on. The answer is 206, or 200 from a registry that knows no ranges.

        Raises:
            NotFound: no such blob.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        path = f"v2/{self.reference.path}/blobs/{digest}"
        return self.at_endpoint(lambda conversation: conversation.request("GET", path, headers, accepted=(200, 206)))

    def _content(
        self, conversation: Conversation, path: str, headers: Mapping[str, str], limit: int, digest: str
    ) -> tuple[Mapping[str, str], bytes]:
        """Fetch what fits into memory; what breaks off or is damaged is fetched again."""
        for failures in range(1, self.retries.attempts + 1):
            response = conversation.request("GET", path, headers)
            try:
                with self.cancellation.cutting(response.cut):
                    data = response.read(limit + 1)
                if len(data) > limit:
                    response.close()
                    raise Invalid(f"{path}: larger than the {limit} bytes that are borne here")
                claimed = digest or response.headers.get("Docker-Content-Digest", "")
                if claimed:
                    verify(data, claimed, "manifest" if "/manifests/" in path else "blob")
                return response.headers, data
            except (BrokenOff, DigestMismatch):
                response.close()
                self.cancellation.check()
                if failures == self.retries.attempts:
                    raise
                self.cancellation.sleep(self.retries.pause(failures))
        raise AssertionError("a retry policy has at least one attempt")
