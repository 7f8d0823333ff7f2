"""The family tree of images: who was made from whom, drawn with lines for a terminal or as a graph for Graphviz.

Pure: images and their names in, text out. An image descends from its parent where that is known (it was built or
committed here), else from the image whose stack of layers is the tallest that its own begins with.

Source: classic Docker's ``images --tree`` and ``images --viz`` (``graph/viz.go``); Graphviz, "The DOT Language".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mini_docker.dataclasses import dataclass
from mini_docker.graph.digest import hex_of
from mini_docker.graph.image import Image

_SHORT_DIGITS = 12
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class Person:
    """An image in its family.

    Attributes:
        parent: id of the image it descends from; None for the head of a family.
        size: bytes of file content in all its layers.
        names: ``repository:tag``.
    """

    id: str
    parent: str | None
    size: int
    names: tuple[str, ...] = ()

    @property
    def short_id(self) -> str:
        """The first digits of the id, as tables show it."""
        return hex_of(self.id)[:_SHORT_DIGITS]


def families(images: Sequence[Image], sizes: Mapping[str, int], names: Mapping[str, Sequence[str]]) -> list[Person]:
    """Every image with the one it descends from, sorted by id.

    Args:
        sizes, names: by image id; an image without an entry in *names* has none.
    """
    known = {image.id for image in images}
    by_stack = {image.top: image.id for image in sorted(images, key=lambda image: image.id, reverse=True)}

    def parent_of(image: Image) -> str | None:
        if image.parent in known:
            return image.parent
        below = (by_stack[chain] for chain in reversed(image.layers[:-1]) if chain in by_stack)
        return next(below, None)

    people = (Person(image.id, parent_of(image), sizes[image.id], tuple(names.get(image.id, ()))) for image in images)
    return sorted(people, key=lambda person: person.id)


def draw_tree(people: Iterable[Person]) -> str:
    """One line an image, indented below the one it descends from."""
    children: dict[str | None, list[Person]] = {}
    for person in people:
        children.setdefault(person.parent, []).append(person)

    def lines(parent: str | None, indent: str) -> Iterator[str]:
        siblings = children.get(parent, [])
        for number, person in enumerate(siblings, start=1):
            is_last = number == len(siblings)
            tags = f" Tags: {', '.join(person.names)}" if person.names else ""
            yield f"{indent}{'└─' if is_last else '├─'}{person.short_id} Virtual Size: {_human(person.size)}{tags}\n"
            yield from lines(person.id, indent + ("  " if is_last else "│ "))

    return "".join(lines(None, ""))


def draw_graphviz(people: Iterable[Person]) -> str:
    """A digraph in the DOT language: an arrow from each image to what was made from it; boxes are named ones."""
    edges, boxes = [], []
    for person in people:
        if person.parent is None:
            edges.append(f' base -> "{person.short_id}" [style=invis]\n')
        else:
            edges.append(f' "{hex_of(person.parent)[:_SHORT_DIGITS]}" -> "{person.short_id}"\n')
        if person.names:
            label = "\\n".join(_quoted(text) for text in (person.short_id, *person.names))
            style = 'shape=box,fillcolor="paleturquoise",style="filled,rounded"'
            boxes.append(f' "{person.short_id}" [label="{label}",{style}];\n')
    return "digraph docker {\n" + "".join(edges + boxes) + " base [style=invisible]\n}\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _human(size: int) -> str:
    """Four digits and a decimal unit: ``4.097 MB``."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.4g} {_UNITS[unit]}"
