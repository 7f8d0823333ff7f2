"""Search: which repositories does a registry have whose name or description fits a word?

The question survives from the registry's first API, and Docker Hub still answers it. A registry of
version 2 has no search; of such a one the catalog is listed and looked through here.

Source: Docker Registry API v1, "Search"; OCI distribution specification, "Listing repositories" (``_catalog``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid, MiniDockerError, Unavailable
from mini_docker.registry.conversation import Conversation
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.endpoints import Endpoint
from mini_docker.registry.errors import RegistryError, Unreachable
from mini_docker.registry.listing import listing
from mini_docker.registry.patience import Cancellation
from mini_docker.registry.reference import DEFAULT_DOMAIN
from mini_docker.registry.service import RegistryService

DEFAULT_LIMIT = 25
LARGEST_LIMIT = 100
_CATALOG_SCOPE = "registry:catalog:*"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One repository that was found."""

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False
    automated: bool = False

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SearchResult:
        """Read one as the first API sends it; what is missing or odd counts as not said."""
        stars = value.get("star_count")
        return cls(
            str(value.get("name") or ""),
            str(value.get("description") or ""),
            stars if isinstance(stars, int) else 0,
            value.get("is_official") is True,
            value.get("is_automated") is True,
        )

    def to_json(self) -> dict[str, Any]:
        """The result as the Remote API sends it."""
        return {
            "name": self.name, "description": self.description, "star_count": self.stars,
            "is_official": self.official, "is_automated": self.automated,
        }  # fmt: skip


def search(
    service: RegistryService, term: str, limit: int, credentials: Credentials, cancellation: Cancellation
) -> list[SearchResult]:
    """Search a registry.

    Args:
        term: a word; ``host/word`` searches another registry than Docker Hub.
        limit: how many results at most; 0 for Docker's 25.

    Raises:
        Invalid: a bad term or limit. Unavailable: the registry does not answer.
    """
    if "://" in term:
        raise Invalid(f"invalid repository name: repository name ({term}) should not have a scheme")
    if not 0 <= limit <= LARGEST_LIMIT:
        raise Invalid(f"Limit {limit} is outside the range of [1, {LARGEST_LIMIT}]")
    first, slash, rest = term.partition("/")
    elsewhere = slash and ("." in first or ":" in first or first == "localhost")
    domain, word = (first, rest) if elsewhere else (DEFAULT_DOMAIN, term.removeprefix("library/"))
    failure: MiniDockerError = Unavailable(f"no registry to search for {term!r}")
    for endpoint in service.config.for_search(domain):
        try:
            return _Search(service, endpoint, credentials, cancellation).run(word, limit or DEFAULT_LIMIT)
        except Unreachable as error:
            failure = error
        except RegistryError as error:
            raise error.as_kind() from error
    raise failure


class _Search:
    """One search at one endpoint."""

    def __init__(
        self, service: RegistryService, endpoint: Endpoint, credentials: Credentials, cancellation: Cancellation
    ) -> None:
        self._talk = Conversation(service, endpoint, credentials, (_CATALOG_SCOPE,), cancellation)

    def run(self, word: str, limit: int) -> list[SearchResult]:
        """Ask in the old way; where that is unknown, look through the catalog."""
        try:
            answer = self._talk.request("GET", f"v1/search?{urlencode({'q': word, 'n': limit})}")
        except RegistryError as error:
            if error.status != 404:
                raise
            names = listing(self._talk, "v2/_catalog", "repositories")
            return [SearchResult(name) for name in names if word in name][:limit]
        try:
            value = json.loads(answer.read_small())
        except (ValueError, RecursionError):
            value = None
        results = value.get("results") if isinstance(value, Mapping) else None
        if not isinstance(results, list):
            raise Unavailable("the registry's answer to the search is not what the API says")
        return [SearchResult.from_json(result) for result in results if isinstance(result, Mapping)][:limit]
