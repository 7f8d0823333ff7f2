"""The book's workshop: excerpts are the real code, and a name that is gone stops the build."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "workshop"))

import excerpts  # noqa: E402  the book's workshop is no package of ours
import trace_page  # noqa: E402

PAGES = sorted((ROOT / "docs").rglob("*.md"))
ASKS = re.compile(r"^<!-- (excerpt|contract|modules|metaphor|states): (.*?)( bare)? -->$", re.MULTILINE)


def test_an_excerpt_is_the_code_as_it_stands() -> None:
    """Indentation taken off, nothing else changed; and it says where it is from."""
    text, place = excerpts.excerpt(ROOT, "mini_docker.engine.engine:Engine.register")
    path, _, line = place.partition(":")
    source = (ROOT / path).read_text().splitlines()
    assert text.splitlines()[0] == source[int(line) - 1].strip()
    assert text.startswith('def register(self, name: str, handler: Handler) -> None:\n    """Enter *handler*')


def test_bare_code_has_no_docstring() -> None:
    """Where the page says it in its own words."""
    text, _ = excerpts.excerpt(ROOT, "mini_docker.engine.engine:Engine.register", without_docstring=True)
    assert '"""' not in text and "with self._lock:" in text


@pytest.mark.parametrize("gone", ["mini_docker.engine.engine:Engine.no_such", "mini_docker.no_such:x"])
def test_a_name_that_is_gone_stops_the_build(gone: str) -> None:
    """The book cannot quote what is not there."""
    with pytest.raises(excerpts.NameGone, match="no"):
        excerpts.excerpt(ROOT, gone)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT / "docs")))
def test_what_a_page_asks_for_is_in_the_code(page: Path) -> None:
    """The same check as the build's, without MkDocs: whoever renames a function learns it from the tests."""
    look_up = {
        "excerpt": excerpts.excerpt, "contract": excerpts.contract_rows, "modules": excerpts.module_rows,
        "metaphor": excerpts.metaphor, "states": excerpts.excerpt,
    }  # fmt: skip
    for kind, argument, _ in ASKS.findall(page.read_text(encoding="utf-8")):
        assert look_up[kind](ROOT, argument)


def test_a_trace_is_drawn_as_a_tree() -> None:
    """Children stand under their parent, in order, whatever ran before."""
    jobs = [
        {"Id": 7, "Parent": 3, "Name": "start", "Args": ["x"], "Duration": 0.01},
        {"Id": 8, "Parent": 7, "Name": "log", "Args": [], "Duration": 0.001},
        {"Id": 9, "Parent": 0, "Name": "serveapi", "Args": [], "Duration": None},
    ]
    lines = trace_page.tree({"command": "run", "jobs": jobs}).splitlines()
    assert [line.strip() for line in lines[1:-1]] == ["10.00 ms  start(x)", "1.00 ms  └─ log()", "runs on  serveapi()"]
