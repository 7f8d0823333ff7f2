"""The picture: how many times faster, as bars on a logarithmic scale, in SVG. Pure.

A bar begins at 1: to the right we are faster, to the left slower. The thin line over a bar is the 10th to the 90th
percentile, the tick the goal. Colours follow the reader's light or dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from bench.goal import Kind
from bench.result import Result
from bench.spread import Spread

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 860, 240, 76, 26, 56, 30
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .quiet { fill: #59636e; font-size: 12px }
  .title { font-size: 16px; font-weight: 600 }
  .grid { stroke: #d1d9e0 } .one { stroke: #59636e }
  .bar { fill: #2f6fde } .slower { fill: #c4541a } .spread { stroke: #1f2328; stroke-width: 1.5 }
  .goal { stroke: #b3261e; stroke-width: 2.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } .one { stroke: #9198a1 }
    .bar { fill: #6ea1ff } .slower { fill: #f0883e } .spread { stroke: #f0f6fc } .goal { stroke: #ff7b72 }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: a label, the ratio's spread, and the goal as a ratio of the same kind, if there is one."""

    label: str
    ratio: Spread
    goal: float | None


def bars(results: Sequence[Result]) -> list[Bar]:
    """A bar for each peer of each result that has a ratio; a goal stands with the peer that it names."""
    found = []
    for result in results:
        for peer in result.peers:
            ratio = result.ratio(peer)
            if ratio is None or ratio.p10 <= 0:
                continue
            goal = None
            if result.goal is not None and result.goal.peer == peer:
                limit = result.goal.limit
                goal = 1 / limit if result.goal.kind is Kind.WITHIN else limit
            found.append(Bar(f"{result.name} · {peer}", ratio, goal))
    return found


def draw(results: Sequence[Result]) -> str:
    """The results' ratios as an SVG document."""
    drawn = bars(results)
    lowest, highest = _decades(drawn)
    height = TOP + ROW * len(drawn) + BOTTOM

    def x(value: float) -> float:
        share = (math.log10(value) - lowest) / (highest - lowest)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img">',
        "<title>How many times faster mini-docker is than its peers</title>",
        f"<style>{STYLE}</style>",
        '<text class="title" x="12" y="24">How many times faster mini-docker is</text>',
        '<text class="quiet" x="12" y="43">Median of pairs, logarithmic. Line: 10th to 90th percentile. '
        "Tick: goal.</text>",
    ]
    bottom = height - BOTTOM + 4
    for exponent in range(lowest, highest + 1):
        value = 10.0**exponent
        kind = "one" if exponent == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{x(value)}" x2="{x(value)}" y1="{TOP - 4}" y2="{bottom}"/>')
        parts.append(f'<text class="quiet" x="{x(value)}" y="{bottom + 16}" text-anchor="middle">{value:g}×</text>')
    for number, bar in enumerate(drawn):
        parts += _bar(bar, TOP + ROW * number, x)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(bar: Bar, top: int, x: Callable[[float], float]) -> list[str]:
    middle = top + ROW / 2
    start, end = sorted((x(1.0), x(bar.ratio.median)))
    kind = "bar" if bar.ratio.median >= 1 else "slower"
    parts = [
        f'<text x="{LEFT - 10}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect class="{kind}" x="{start}" y="{top + 5}" width="{max(1.0, round(end - start, 1))}" height="{ROW - 10}" '
        'rx="2"/>',
        f'<line class="spread" x1="{x(bar.ratio.p10)}" x2="{x(bar.ratio.p90)}" y1="{middle}" y2="{middle}"/>',
    ]
    if bar.goal is not None:
        at = x(bar.goal)
        parts.append(f'<line class="goal" x1="{at}" x2="{at}" y1="{top + 2}" y2="{top + ROW - 2}"/>')
    parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{middle + 4}">{bar.ratio.median:.3g}×</text>')
    return parts


def _decades(drawn: Sequence[Bar]) -> tuple[int, int]:
    """The powers of ten that hold every bar, its spread and its goal."""
    values = [1.0, 10.0]
    for bar in drawn:
        values += [bar.ratio.p10, bar.ratio.p90, bar.ratio.median, *([bar.goal] if bar.goal else [])]
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
