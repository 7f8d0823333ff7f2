"""Merging: what the upper file defines hides the lower's, and everything else shows through."""

from __future__ import annotations

import ast
import traceback
from typing import Any

import pytest

from mini_docker.lab.merge import Source, functions, is_blank, merge
from mini_docker.lab.starter import function_texts, make_starter

BELOW = '''"""A module."""

from __future__ import annotations

import math
from dataclasses import dataclass

LIMIT = 10


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape."""

    side: int

    def area(self) -> int:
        """Its area."""
        return self.side**2

    @property
    def name(self) -> str:
        """Its name."""
        return "square"

    def limited(self) -> int:
        """At most LIMIT."""
        return min(self.area(), LIMIT)


def double(number: int) -> int:
    """Twice."""
    return 2 * number
'''


def run(*uppers: str, blanks_fall_through: bool = True) -> dict[str, Any]:
    """The merged module's globals; the first upper is the topmost."""
    layers = [Source(text, f"upper{number}.py") for number, text in enumerate(uppers)]
    names: dict[str, Any] = {"__name__": "merged"}
    import sys
    import types

    module = types.ModuleType("merged")
    names = module.__dict__
    sys.modules["merged"] = module  # dataclass looks its module up
    try:
        exec(merge(Source(BELOW, "below.py"), layers, blanks_fall_through).code, names)
    finally:
        del sys.modules["merged"]
    return names


def test_a_function_of_the_upper_file_hides_ours_and_all_else_shows() -> None:
    """One method is enough: the class keeps its decorator, its fields and its other methods."""
    names = run("class Shape:\n    def area(self):\n        return 7\n")
    shape = names["Shape"](3)
    assert (shape.area(), shape.limited(), shape.name, names["double"](4)) == (7, 7, "square", 8)
    assert not hasattr(shape, "__dict__")  # still a slotted dataclass


def test_values_are_hidden_too_and_new_ones_are_there_in_time() -> None:
    """A new constant stands before what needs it, even as a default argument."""
    names = run("LIMIT = 5\nFACTOR = 3\n\ndef double(number, factor=FACTOR):\n    return factor * number\n")
    assert (names["Shape"](9).limited(), names["double"](2)) == (5, 6)


def test_what_is_left_blank_is_ours_or_fails_by_name() -> None:
    """In a whole Docker our function stands in; when it is graded, a blank is a blank."""
    blank = make_starter(BELOW, ["Shape.area", "double"])
    assert run(blank)["double"](4) == 8
    with pytest.raises(NotImplementedError, match=r"not written yet: Shape\.area"):
        run(blank, blanks_fall_through=False)["Shape"](3).area()


def test_nothing_is_whited_out() -> None:
    """A function that the upper file deletes is ours again."""
    assert run("LIMIT = 1\n")["double"](2) == 4


def test_layers_are_stacked_and_a_mere_quotation_of_ours_hides_nothing() -> None:
    """Two labs of one module: each file is the whole module, and only what it changed counts."""
    one = BELOW.replace("2 * number", "20 * number")
    other = BELOW.replace("self.side**2", "self.side * 100")
    for stack in ((one, other), (other, one)):
        names = run(*stack)
        assert (names["double"](1), names["Shape"](1).area()) == (20, 100)
    assert run(BELOW.replace("2 *", "5 *"), one)["double"](1) == 5  # the topmost wins


def test_a_traceback_quotes_the_file_that_the_line_is_from() -> None:
    """The learner sees the learner's own line."""
    names = run("\n\n\ndef double(number):\n    return [][number]\n")
    try:
        names["double"](1)
    except IndexError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        assert (frame.filename, frame.lineno, frame.name) == ("upper0.py", 5, "double")
    else:
        pytest.fail("it has no element")
    assert names["Shape"].area.__code__.co_filename == "below.py"


def test_decorators_and_bases_of_the_upper_file_count_when_it_has_any() -> None:
    """A learner may change the class itself."""
    names = run("@dataclass\nclass Shape:\n    pass\n")
    assert hasattr(names["Shape"](3), "__dict__")


def test_whose_function_it_is_is_known() -> None:
    """What is merely quoted counts as the learner's when no other layer says anything: our own solution passes."""
    merged = merge(Source(BELOW, "below.py"), [Source(BELOW, "mine.py")])
    assert set(merged.mine) == {"Shape.area", "Shape.name", "Shape.limited", "double"}
    blank = make_starter(BELOW, ["double"])
    merged = merge(Source(BELOW, "below.py"), [Source(blank, "mine.py")])
    assert merged.blank == ("double",) and "double" not in merged.mine


def test_a_probe_is_called_by_the_learners_functions_alone() -> None:
    """The sheet of signatures must not say that ours were the learner's."""
    source = "def double(number):\n    '''Twice.'''\n    return number\n"
    merged = merge(Source(BELOW, "below.py"), [Source(source, "mine.py")], probe="signed")
    called: list[str] = []
    names: dict[str, Any] = {"__name__": __name__, "signed": called.append}
    exec(merged.code, names)
    names["double"](1)
    names["Shape"](1).area()
    assert called == ["double"]
    assert names["double"].__doc__ == "Twice."


def test_a_starter_keeps_signature_docstring_and_comments_and_loses_the_body() -> None:
    """It is the reference but for the bodies: no markers, no second copy."""
    starter = make_starter(BELOW, ["Shape.area"])
    assert '        """Its area."""\n        raise NotImplementedError("not written yet: Shape.area")\n' in starter
    assert len(starter.splitlines()) == len(BELOW.splitlines())
    found = dict(functions(ast.parse(starter)))
    assert [name for name, node in found.items() if is_blank(node)] == ["Shape.area"]
    assert function_texts(BELOW, ["double"])["double"].startswith("def double")


def test_a_function_that_is_gone_stops_the_starter() -> None:
    """A lab that names it must be mended at once."""
    from mini_docker.errors import NotFound

    with pytest.raises(NotFound, match="no_such"):
        make_starter(BELOW, ["no_such"])
