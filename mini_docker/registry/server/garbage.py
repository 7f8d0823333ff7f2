"""The garbage collection: walk from what has a name to what it names, and sweep out the rest.

    tags ─▶ manifests ─▶ their blobs       kept
    everything else in the hall            removed, if it is older than a day: a push may be under way

It needs no stop of the server: what is pushed meanwhile is young, and so is kept. One damaged record costs its
repository the sweep, and no other.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid
from mini_docker.registry.server.errors import Refused
from mini_docker.registry.server.manifests import names_in
from mini_docker.registry.server.storage import BLOBS, Storage
from mini_docker.registry.server.uploads import Uploads

log = logging.getLogger(__name__)

YOUNG_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Swept:
    """What was removed.

    Attributes:
        size: bytes that were freed.
        dry: nothing was: this is what would be.
    """

    manifests: int
    blobs: int
    uploads: int
    size: int
    dry: bool = False


def collect(
    storage: Storage, young_seconds: float = YOUNG_SECONDS, delete_untagged: bool = False, dry: bool = False
) -> Swept:
    """Sweep.

    Args:
        young_seconds: what was written this recently stays in any case.
        delete_untagged: also remove manifests that no tag leads to.
        dry: only count.
    """
    deadline = time.time() - young_seconds
    manifests, keep = 0, set[str]()
    for repository in storage.catalog():
        try:
            named = _named(storage, repository) if delete_untagged else set(storage.manifests(repository))
            doomed = {
                digest
                for digest in storage.manifests(repository)
                if digest not in named and _age_before(storage, digest, deadline)
            }
            kept = set(storage.manifests(repository)) - doomed
            blobs = {blob for digest in kept for blob in _blobs_of(storage, repository, digest)}
        except (Refused, Invalid, OSError) as error:
            # What a damaged record named cannot be told any more: all that the repository lists stays.
            log.warning("repository %s has a damaged record and is left as it is: %s", repository, error)
            keep |= {*storage.manifests(repository), *storage.listed_blobs(repository)}
            continue
        for digest in doomed:
            manifests += 1
            if not dry:
                with suppress(Refused):
                    storage.delete_manifest(repository, digest)
        keep |= kept | blobs
        _unlist(storage, repository, blobs, deadline, dry)
    removed, size = _sweep(storage, keep, deadline, dry)
    return Swept(manifests, removed, 0 if dry else Uploads(storage).expire(), size, dry)


def _named(storage: Storage, repository: str) -> set[str]:
    """The manifests that a tag leads to: directly, through an index, or as what refers to one of those."""
    queue = [storage.tag(repository, tag) for tag in storage.tags(repository)]
    named: set[str] = set()
    while queue:
        digest = queue.pop()
        if digest in named or not storage.has_manifest(repository, digest):
            continue
        named.add(digest)
        queue += names_in(storage.manifest(repository, digest)[1])[1]
        queue += storage.referrers(repository, digest)
    return named


def _blobs_of(storage: Storage, repository: str, digest: str) -> list[str]:
    return names_in(storage.manifest(repository, digest)[1])[0]


def _unlist(storage: Storage, repository: str, blobs: set[str], deadline: float, dry: bool) -> None:
    """Take off the repository's list what none of its manifests names."""
    folder = storage.repositories / repository / BLOBS
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if entry.name not in blobs and entry.stat().st_mtime < deadline and not dry:
            entry.unlink(missing_ok=True)


def _sweep(storage: Storage, keep: set[str], deadline: float, dry: bool) -> tuple[int, int]:
    count = size = 0
    for file in sorted(storage.blobs.glob("*/*/*")):
        digest = f"{file.parent.parent.name}:{file.name}"
        status = file.stat()
        if digest in keep or status.st_mtime >= deadline:
            continue
        count, size = count + 1, size + status.st_size
        if not dry:
            file.unlink(missing_ok=True)
    return count, size


def _age_before(storage: Storage, digest: str, deadline: float) -> bool:
    return storage.blob_path(digest).stat().st_mtime < deadline
