"""Pictures of the book, drawn here: Docker's architecture by hand, life cycles by Graphviz from their tables.

All of them take their colours from the page, so that they can be read in the light and in the dark.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Box:
    """One box of the architecture picture, in the picture's own units.

    Attributes:
        page: the page that it leads to, below docs.
        says: a few words below its title.
        frame: it holds other boxes, and has its title at the top.
    """

    title: str
    page: str
    says: str
    x: int
    y: int
    width: int
    height: int
    frame: bool = False


BOXES = (
    Box("Docker Client", "boxes/client.md", "commands → requests", 20, 20, 250, 62),
    Box("Registry, far away", "boxes/registry.md", "Docker Hub, or your own", 730, 20, 250, 62),
    Box("Docker Daemon", "boxes/daemon.md", "", 20, 120, 960, 450, frame=True),
    Box("Docker Server", "boxes/server.md", "one route, one job", 45, 165, 230, 66),
    Box("Engine", "boxes/engine.md", "a table: name → handler", 385, 165, 230, 66),
    Box("Job", "jobs.md", "shaped like a unix process", 385, 262, 230, 66),
    Box("Registry", "boxes/registry.md", "pull, push, search", 725, 165, 230, 66),
    Box("Graph", "boxes/graph.md", "images, stroke upon stroke", 725, 262, 230, 66),
    Box("Drivers", "picture.md", "", 45, 360, 910, 185, frame=True),
    Box("networkdriver", "boxes/networkdriver.md", "bridge, addresses, ports, NAT", 70, 405, 265, 66),
    Box("execdriver", "boxes/execdriver.md", "native, chroot, …", 368, 405, 265, 66),
    Box("graphdriver", "boxes/graphdriver.md", "overlay, btrfs, vfs, …", 666, 405, 265, 66),
    Box("archive", "boxes/archive.md", "tar, whiteouts, changes", 666, 488, 265, 44),
    Box("supervisor", "boxes/supervisor.md", "holds containers; the daemon may go", 345, 606, 310, 62),
    Box("libcontainer", "boxes/libcontainer.md", "namespaces, cgroups, mounts", 345, 706, 310, 62),
    Box("Docker Container", "run.md", "PID 1 of a world of its own", 345, 806, 310, 62),
    Box("linux", "boxes/linux.md", "Kernel, Netlink, Firewall", 20, 706, 265, 62),
    Box("http", "boxes/http.md", "one connection loop for all", 715, 706, 265, 62),
)
"""The picture's boxes. Their places follow the figure of the source article; it is drawn anew."""

Point = tuple[int, int]

ARROWS: tuple[tuple[Point, Point, str, Point, str], ...] = (
    ((145, 82), (145, 165), "HTTP", (155, 106), "start"),
    ((275, 198), (385, 198), "route → job", (330, 189), "middle"),
    ((500, 231), (500, 262), "", (0, 0), ""),
    ((615, 285), (725, 198), "pull", (655, 236), "end"),
    ((615, 295), (725, 295), "images", (680, 289), "middle"),
    ((850, 165), (855, 82), "HTTP", (864, 106), "start"),
    ((430, 328), (230, 405), "allocate_interface", (340, 352), "end"),
    ((500, 328), (500, 405), "start", (510, 350), "start"),
    ((835, 328), (815, 405), "layers", (840, 350), "start"),
    ((500, 471), (500, 606), "create, start, exec", (510, 593), "start"),
    ((500, 668), (500, 706), "clone", (510, 692), "start"),
    ((500, 768), (500, 806), "execve", (510, 792), "start"),
    ((345, 737), (285, 737), "", (0, 0), ""),
)
"""From, to, what is said, where that stands, and how it is anchored there."""


def architecture(hrefs: Mapping[str, str]) -> str:
    """The picture as inline SVG.

    Args:
        hrefs: page → link to it from the page that shows the picture.
    """
    parts = [
        '<figure class="architecture"><svg viewBox="0 0 1000 890" role="img" aria-label="Docker\'s architecture">',
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z"/></marker></defs>',
    ]
    parts += [_box(box, hrefs[box.page]) for box in BOXES if box.frame]
    parts += [_arrow(*arrow) for arrow in ARROWS]
    parts += [_box(box, hrefs[box.page]) for box in BOXES if not box.frame]
    return "".join([*parts, "</svg></figure>"])


def _box(box: Box, href: str) -> str:
    middle = box.x + box.width // 2
    rectangle = f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="9"/>'
    if box.frame:
        text = f'<text class="title" x="{box.x + 18}" y="{box.y + 30}">{escape(box.title)}</text>'
    elif box.height < 50:
        text = (
            f'<text x="{middle}" y="{box.y + 28}"><tspan class="title">{escape(box.title)}</tspan>'
            f'<tspan class="says">  {escape(box.says)}</tspan></text>'
        )
    else:
        text = (
            f'<text class="title" x="{middle}" y="{box.y + 28}">{escape(box.title)}</text>'
            f'<text class="says" x="{middle}" y="{box.y + 49}">{escape(box.says)}</text>'
        )
    kind = "frame" if box.frame else "box"
    return f'<a href="{escape(href)}" class="{kind}">{rectangle}{text}</a>'


def _arrow(start: Point, end: Point, label: str, at: Point, anchor: str) -> str:
    line = f'<line x1="{start[0]}" y1="{start[1]}" x2="{end[0]}" y2="{end[1]}" marker-end="url(#tip)"/>'
    words = f'<text class="arrow" x="{at[0]}" y="{at[1]}" style="text-anchor:{anchor}">{escape(label)}</text>'
    return line + words if label else line


def life_cycle(transitions: Mapping[tuple[str, str], str], start: str) -> str:
    """A life cycle's table as a diagram: stations are states, roads are moves.

    Args:
        transitions: (state, move) → state.
        start: the first state.
    """
    lines = ["digraph { rankdir=LR; node [shape=box style=rounded fontname=sans]; edge [fontname=sans fontsize=11];"]
    lines.append(f'born [shape=point]; born -> "{start}";')
    roads: dict[tuple[str, str], list[str]] = {}
    for (state, move), to in transitions.items():
        roads.setdefault((state, to), []).append(move)
    lines += [f'"{state}" -> "{to}" [label="{", ".join(moves)}"];' for (state, to), moves in roads.items()]
    return graphviz("\n".join([*lines, "}"]))


def graphviz(source: str) -> str:
    """Graphviz's picture as inline SVG in the page's own colours.

    Raises:
        FileNotFoundError: Graphviz is not installed.
    """
    svg = subprocess.run(["dot", "-Tsvg"], input=source, capture_output=True, text=True, check=True).stdout
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<title>.*?</title>", "", svg, flags=re.DOTALL)
    svg = svg.replace('"black"', '"currentColor"').replace('fill="white"', 'fill="none"').replace('stroke="white"', "")
    # Text without a colour of its own is black: it shall be the page's.
    svg = svg.replace("<text ", '<text fill="currentColor" ')
    return f'<figure class="drawn">{" ".join(svg.split())}</figure>'
