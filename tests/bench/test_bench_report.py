"""Results as a table, JSON and a picture."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bench.goal import Goal, faster, within
from bench.picture import bars, draw
from bench.result import Result
from bench.table import as_text
from bench.unit import Unit

NUMBERS = st.floats(1e-5, 1e5)


def result(ours: float, theirs: float, goal: Goal | None = None, peer: str = "dockerd") -> Result:
    """A result of three equal samples each."""
    return Result("api-none", "", Unit.SECONDS, goal, {"mini-docker": [ours] * 3, peer: [theirs] * 3})


def test_the_table_says_ratio_goal_and_verdict() -> None:
    """What a reader looks for stands in the rows of one bench."""
    text = as_text([result(0.01, 0.25, faster(20, "issue 4"))])
    ours, theirs = text.splitlines()[2:]
    assert "10.0 ms" in ours and "≥ 20× faster" in ours and ours.endswith("yes")
    assert "250 ms" in theirs and "25.00×" in theirs


def test_no_results_are_an_empty_table() -> None:
    """A sitting whose benches were all absent still reports."""
    assert as_text([]).startswith("bench")


def test_json_keeps_every_sample() -> None:
    """So that a result can be judged again, in another way."""
    document = json.loads(json.dumps(result(0.01, 0.25, within(1.2, "dockerd", "issue 4")).to_json()))
    assert document["contenders"]["dockerd"]["samples"] == [0.25, 0.25, 0.25]
    assert document["ratios"]["dockerd"]["median"] == 25
    assert document["goal"]["reached"] is True


def test_differences_around_zero_have_no_ratio() -> None:
    """A ratio with something negative says nothing, and must not be drawn."""
    odd = Result("network-set-up", "", Unit.SECONDS, None, {"mini-docker": [-1.0, 2.0], "dockerd": [1.0, 1.0]})
    assert odd.ratio("dockerd") is None
    assert bars([odd]) == []


def test_a_goal_stands_on_the_scale_of_its_bar() -> None:
    """ "At most 1.25 times what crun takes" is a speed of 0.8 on a scale of how many times faster."""
    assert bars([result(1.0, 1.0, within(1.25, "crun", ""), peer="crun")])[0].goal == 0.8
    assert bars([result(1.0, 30.0, faster(20, ""))])[0].goal == 20


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8))
def test_the_picture_is_svg_with_everything_inside(pairs: list[tuple[float, float]]) -> None:
    """However extreme the ratios: well-formed, and no bar leaves the drawing."""
    root = ElementTree.fromstring(draw([result(ours, theirs) for ours, theirs in pairs]))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    rectangles = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(rectangles) == len(pairs)
    for rectangle in rectangles:
        x, y = float(rectangle.attrib["x"]), float(rectangle.attrib["y"])
        assert x >= 0 and x + float(rectangle.attrib["width"]) <= width
        assert y >= 0 and y + float(rectangle.attrib["height"]) <= height


def test_names_are_escaped() -> None:
    """A picture is a document."""
    odd = Result("<a&b>", "", Unit.SECONDS, None, {"mini-docker": [1.0], "dockerd": [2.0]})
    ElementTree.fromstring(draw([odd]))
