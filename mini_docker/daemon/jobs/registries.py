"""The jobs that only ask registries: ``auth``, ``search`` and ``distribution_inspect``. They touch no graph.

Classic ancestors: ``auth`` and ``search`` (``registry/service.go``); ``distribution_inspect`` is ours.
"""

from __future__ import annotations

from mini_docker.daemon.filters import Filters
from mini_docker.daemon.jobs.answers import answer, argument, json_body
from mini_docker.daemon.jobs.pull import AUTH
from mini_docker.engine import Job
from mini_docker.errors import Invalid
from mini_docker.registry.credentials import Credentials
from mini_docker.registry.login import login
from mini_docker.registry.manifest import ImageIndex, parse_manifest
from mini_docker.registry.patience import Cancellation
from mini_docker.registry.platform import Platform
from mini_docker.registry.reference import Reference
from mini_docker.registry.search import SearchResult, search
from mini_docker.registry.service import RegistryService
from mini_docker.registry.session import LARGEST_CONFIG


class Auth:
    """``auth``: standard input has the credentials; says whether their registry accepts them."""

    def __init__(self, registry: RegistryService) -> None:
        self._registry = registry

    def __call__(self, job: Job) -> None:
        """Run it.

        Raises:
            Invalid: malformed credentials. Unauthorized: refused. Unavailable: no registry there.
        """
        credentials = Credentials.from_json(json_body(job))
        cancellation = Cancellation()
        with job.on_cancel(cancellation.cancel):
            identity = login(self._registry, credentials, cancellation)
        answer(job, {"IdentityToken": identity, "Status": "Login Succeeded"})


class Search:
    """``search``: writes what a registry has to offer. Env: ``term``, ``limit``, ``filters``, ``X-Registry-Auth``."""

    def __init__(self, registry: RegistryService) -> None:
        self._registry = registry

    def __call__(self, job: Job) -> None:
        """Run it.

        Raises:
            Invalid: a bad term, limit or filter. Unavailable: the registry does not answer.
        """
        filters = Filters.parse(job.env.get("filters", ""), ("is-official", "is-automated", "stars"))
        credentials = Credentials.decode(job.env.get(AUTH, ""))
        cancellation = Cancellation()
        with job.on_cancel(cancellation.cancel):
            found = search(self._registry, job.env.get("term", ""), job.env.get_int("limit"), credentials, cancellation)
        answer(job, [result.to_json() for result in found if _passes(result, filters)])


class DistributionInspect:
    """``distribution_inspect IMAGE``: what the registry has under a name, without pulling it."""

    def __init__(self, registry: RegistryService) -> None:
        self._registry = registry

    def __call__(self, job: Job) -> None:
        """Run it.

        Raises:
            Invalid: malformed name. NotFound, Unauthorized: as the registry has it.
        """
        reference = Reference.parse(argument(job, 0, "an image")).with_default_tag()
        cancellation = Cancellation()
        with job.on_cancel(cancellation.cancel):
            credentials = Credentials.decode(job.env.get(AUTH, ""))
            session = self._registry.session(reference, credentials, cancellation=cancellation)
            fetched = session.fetch_manifest(reference.digest or reference.tag)
            parsed = parse_manifest(fetched.data, fetched.media_type)
            if isinstance(parsed, ImageIndex):
                platforms = [entry.platform for entry in parsed.manifests if entry.platform]
            else:
                platforms = [Platform.of_config(session.fetch_blob(parsed.config.digest, LARGEST_CONFIG))]
        descriptor = {"mediaType": parsed.media_type, "digest": fetched.digest, "size": len(fetched.data)}
        answer(job, {"Descriptor": descriptor, "Platforms": [platform.to_json() for platform in platforms]})


def _passes(result: SearchResult, filters: Filters) -> bool:
    stars = filters.get("stars")
    if not all(word.isdigit() for word in stars):
        raise Invalid(f"Invalid filter 'stars={','.join(stars)}'")
    return (
        filters.exact("is-official", str(result.official).lower())
        and filters.exact("is-automated", str(result.automated).lower())
        and all(result.stars >= int(word) for word in stars)
    )
