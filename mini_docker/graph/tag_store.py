"""The TagStore: the labels on the drawings. ``busybox:latest`` is a name; what it names may change.

It maps names and repository digests to image ids, and back. Repositories are strings to it: it parses no
references, and does not ask whether an image exists.

Source: classic Docker's ``graph/tags.go`` (Set, Get, Delete, ByID) and its file ``repositories-<driver>``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from mini_docker.durable import replace_file
from mini_docker.errors import Invalid, NotFound


class TagStore:
    """Image ids by repository and tag, and by repository and digest.

    *Persisted*, on every change before it is acknowledged: a JSON file, replaced whole.
    *Guarded by the lock*: changes. Each makes a new pair of maps and puts it in place of the old one, so that
    readers need no lock, and a failed save changes nothing.

    Args:
        path: of the file, ``repositories-<driver>.json``; made at the first change.

    Raises:
        Invalid: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        # By "repository:tag" or "repository@digest".
        self._ids: Mapping[str, str] = _read(path) if path.exists() else {}
        self._references = _inverse(self._ids)

    # -- tags -------------------------------------------------------------------------------------

    def set(self, repository: str, tag: str, image_id: str) -> str | None:
        """Let ``repository:tag`` name the image.

        Returns:
            the id it named before, if another.
        """
        return self._set(f"{repository}:{tag}", image_id)

    def get(self, repository: str, tag: str) -> str:
        """The id that ``repository:tag`` names.

        Raises:
            NotFound: it names none.
        """
        return self._get(f"{repository}:{tag}")

    def delete(self, repository: str, tag: str) -> str:
        """Take the name away; returns the id it named.

        Raises:
            NotFound: it names none.
        """
        return self._delete(f"{repository}:{tag}")

    def by_id(self, image_id: str) -> list[str]:
        """The ``repository:tag`` names of an image, sorted."""
        return [reference for reference in self._references.get(image_id, ()) if "@" not in reference]

    def all(self) -> dict[str, str]:
        """Image ids by ``repository:tag``."""
        return {reference: image_id for reference, image_id in self._ids.items() if "@" not in reference}

    # -- digests ----------------------------------------------------------------------------------

    def set_digest(self, repository: str, digest: str, image_id: str) -> str | None:
        """Let ``repository@digest``, the digest of a registry's manifest, name the image; as `set`."""
        return self._set(f"{repository}@{digest}", image_id)

    def get_digest(self, repository: str, digest: str) -> str:
        """The id that ``repository@digest`` names; as `get`."""
        return self._get(f"{repository}@{digest}")

    def delete_digest(self, repository: str, digest: str) -> str:
        """Take the name away; as `delete`."""
        return self._delete(f"{repository}@{digest}")

    def digests_by_id(self, image_id: str) -> list[str]:
        """The ``repository@digest`` names of an image, sorted."""
        return [reference for reference in self._references.get(image_id, ()) if "@" in reference]

    def all_digests(self) -> dict[str, str]:
        """Image ids by ``repository@digest``."""
        return {reference: image_id for reference, image_id in self._ids.items() if "@" in reference}

    # -- both -------------------------------------------------------------------------------------

    def _set(self, reference: str, image_id: str) -> str | None:
        with self._lock:
            old = self._ids.get(reference)
            if old == image_id:
                return None
            self._save({**self._ids, reference: image_id})
            return old

    def _get(self, reference: str) -> str:
        try:
            return self._ids[reference]
        except KeyError:
            raise NotFound(f"No such image: {reference}") from None

    def _delete(self, reference: str) -> str:
        with self._lock:
            image_id = self._get(reference)
            self._save({other: named for other, named in self._ids.items() if other != reference})
            return image_id

    def _save(self, ids: dict[str, str]) -> None:
        repositories: dict[str, dict[str, str]] = {}
        for reference in sorted(ids):
            repositories.setdefault(_repository(reference), {})[reference] = ids[reference]
        replace_file(self._path, json.dumps({"Repositories": repositories}).encode())
        self._ids, self._references = ids, _inverse(ids)


def _repository(reference: str) -> str:
    """A tag holds no ``:`` and a repository no ``@``; its registry's port may follow a ``:``."""
    return reference.partition("@")[0] if "@" in reference else reference.rpartition(":")[0]


def _inverse(ids: Mapping[str, str]) -> dict[str, list[str]]:
    references: dict[str, list[str]] = {}
    for reference in sorted(ids):
        references.setdefault(ids[reference], []).append(reference)
    return references


def _read(path: Path) -> dict[str, str]:
    try:
        repositories = json.loads(path.read_bytes())["Repositories"]
        return {str(name): str(named) for names in repositories.values() for name, named in names.items()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Invalid(f"the tag file {path} is damaged ({error!r}): move it away to start without tags") from None
