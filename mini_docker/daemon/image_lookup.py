"""The ImageLookup: the librarian who understands what a user calls an image.

A word may be an image's id, the beginning of one, or a reference: this joins `Reference` (how names are
written), `TagStore` (what they name) and `Graph` (what there is), which know nothing of each other.
"""

from __future__ import annotations

import re

from mini_docker.errors import Invalid, NotFound
from mini_docker.graph.graph import Graph
from mini_docker.graph.image import Image
from mini_docker.graph.tag_store import TagStore
from mini_docker.registry.reference import Reference

_ID = re.compile(r"(sha256:)?[0-9a-f]{64}\Z")
_SHORT_ID = re.compile(r"(sha256:)?[0-9a-f]{1,64}\Z")


class ImageLookup:
    """Finds images by what users call them. Stateless but for its two books."""

    def __init__(self, graph: Graph, tags: TagStore) -> None:
        self.graph = graph
        self.tags = tags

    def find(self, word: str) -> Image:
        """The image that *word* means: a whole id, then a name, then the beginning of an id.

        Raises:
            NotFound: none, in the words that make a client pull: ``No such image: busybox:latest``.
            Invalid: *word* cannot be a name, or is the beginning of several ids.
        """
        if _ID.match(word):
            return self.graph.find(word)
        reference = self.reference(word)
        if reference is not None:
            image_id = self._named(reference)
            if image_id is not None:
                return self.graph.get(image_id)
        if _SHORT_ID.match(word):
            try:
                return self.graph.find(word)
            except NotFound:
                pass  # say it by name, below
        if reference is None:
            raise Invalid("invalid reference format")
        raise NotFound(f"No such image: {reference.familiar()}")

    def reference(self, word: str) -> Reference | None:
        """*word* as a reference with its tag; None when it is none."""
        try:
            return Reference.parse(word).with_default_tag()
        except Invalid:
            return None

    def _named(self, reference: Reference) -> str | None:
        try:
            if reference.digest:
                return self.tags.get_digest(reference.repository, reference.digest)
            return self.tags.get(reference.repository, reference.tag)
        except NotFound:
            return None

    def names(self, image: Image) -> list[str]:
        """The names and digests that mean the image, sorted."""
        return self.tags.by_id(image.id) + self.tags.digests_by_id(image.id)
