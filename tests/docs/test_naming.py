"""The law of docs/naming.md: it names every public class of mini_docker, and nothing that is not there.

A list of names that is nearly complete misleads whoever looks a name up. So the list is held against the code, both
ways. The code is read with `ast` and not imported: no module has to load for it.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
NAMING = PROJECT / "docs" / "naming.md"

Names = dict[str, set[str]]
"""By folder of the package: ``module.Class``, ``module.function()`` or ``module``."""

_HEADING = re.compile(r"## .*: `(mini_docker[a-z_/]*)`")
_CODE = re.compile(r"`([^`]+)`")


def rows() -> Iterator[tuple[str, list[str]]]:
    """The tables' rows, each with the folder that its section's heading names."""
    folder = ""
    for line in NAMING.read_text().splitlines():
        if heading := _HEADING.fullmatch(line):
            folder = heading[1]
        elif line.startswith("| `"):
            yield folder, [cell.strip() for cell in line.strip("|").split("|")]


def named() -> Names:
    """What the document names."""
    names: Names = {}
    for folder, (first, *_) in rows():
        names.setdefault(folder, set()).add(first.strip("`"))
    return names


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    """Every module: its folder, its name (a package's own is its folder's), and its syntax."""
    for path in sorted((PROJECT / "mini_docker").rglob("*.py")):
        name = path.parent.name if path.stem == "__init__" else path.stem
        yield str(path.parent.relative_to(PROJECT)), name, ast.parse(path.read_text(), str(path))


def classes() -> Names:
    """Every public class, wherever in a module it is defined; one inside a private class is private."""

    def within(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
                yield child.name
            if not (isinstance(child, ast.ClassDef) and child.name.startswith("_")):
                yield from within(child)

    found: Names = {}
    for folder, module, tree in modules():
        found.setdefault(folder, set()).update(f"{module}.{name}" for name in within(tree))
    return found


def modules_and_functions() -> Names:
    """Every module and every function at a module's outermost level."""
    found: Names = {}
    for folder, module, tree in modules():
        functions = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
        found.setdefault(folder, set()).update({module}, (f"{module}.{name}()" for name in functions))
    return found


def missing(wanted: Names, there: Names) -> list[str]:
    """What *there* lacks of *wanted*, as a reader would look for it."""
    return [
        f"{folder}: {name}" for folder in sorted(wanted) for name in sorted(wanted[folder] - there.get(folder, set()))
    ]


def test_every_public_class_is_named() -> None:
    """Who meets a class in the code finds its meaning in the document."""
    absent = missing(classes(), named())
    assert not absent, "public classes that docs/naming.md does not name:\n" + "\n".join(absent)


def test_every_name_exists() -> None:
    """Who meets a name in the document finds it in the code: no class that was renamed lives on here."""
    there = classes()
    for folder, names in modules_and_functions().items():
        there.setdefault(folder, set()).update(names)
    absent = missing(named(), there)
    assert not absent, "docs/naming.md names what does not exist:\n" + "\n".join(absent)


def test_no_name_stands_twice() -> None:
    """One name, one meaning: two rows for one class would sooner or later disagree."""
    count = Counter((folder, first) for folder, (first, *_) in rows())
    twice = [f"{folder}: {name}" for (folder, name), times in count.items() if times > 1]
    assert not twice, "named twice in docs/naming.md:\n" + "\n".join(twice)


def test_every_row_says_a_meaning_and_a_rejected_name() -> None:
    """A row without a meaning, or without a name that was weighed and rejected, is filler."""
    filler = [
        " | ".join(cells)
        for _folder, cells in rows()
        if len(cells) != 3 or not cells[1].endswith((".", "?")) or not _CODE.search(cells[2])
    ]
    assert not filler, "rows of docs/naming.md that are not `name | meaning. | rejected name: why`:\n" + "\n".join(
        filler
    )
