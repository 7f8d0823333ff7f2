"""The jobs ``viz`` and ``image_tree``: who was made from whom, drawn. Both write text.

Classic Docker's ``graph/viz.go``; its client drew the tree itself, from ``images``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mini_docker.daemon.image_lookup import ImageLookup
from mini_docker.engine import Job
from mini_docker.graph.family_tree import Person, draw_graphviz, draw_tree, families


class FamilyPicture:
    """Draws all images of this machine.

    Args:
        draw: what makes text of the families.
    """

    def __init__(self, images: ImageLookup, draw: Callable[[Sequence[Person]], str]) -> None:
        self._images = images
        self._draw = draw

    def __call__(self, job: Job) -> None:
        graph, tags = self._images.graph, self._images.tags
        images = graph.images()
        sizes = {image.id: graph.size(image) for image in images}
        names = {image.id: tags.by_id(image.id) for image in images}
        job.stdout.write(self._draw(families(images, sizes, names)).encode())


def viz(images: ImageLookup) -> FamilyPicture:
    """The picture as Graphviz reads it."""
    return FamilyPicture(images, draw_graphviz)


def image_tree(images: ImageLookup) -> FamilyPicture:
    """The picture with lines, for a terminal."""
    return FamilyPicture(images, draw_tree)
