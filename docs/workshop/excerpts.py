"""Excerpts: pieces of the real code, looked up by qualified name each time the book is built.

A name that is gone is an error of the build: the book can't quote what is not there.
"""

from __future__ import annotations

import ast
from pathlib import Path

Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class NameGone(Exception):
    """What a page quotes is no longer in the code."""


def module_file(root: Path, module: str) -> Path:
    """The file of a module below the checkout *root*.

    Raises:
        NameGone: there is none.
    """
    path = root / Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise NameGone(f"there is no module {module}")


def metaphor(root: Path, module: str) -> str:
    """The first paragraph of a module's docstring.

    Raises:
        NameGone: no such module, or it says nothing.
    """
    docstring = ast.get_docstring(ast.parse(module_file(root, module).read_text(encoding="utf-8")))
    if not docstring:
        raise NameGone(f"the module {module} has no docstring")
    return " ".join(docstring.split("\n\n")[0].split())


def excerpt(root: Path, name: str, without_docstring: bool = False) -> tuple[str, str]:
    """The text of ``module:Qualified.name``, and where it stands, as ``path:line``.

    Raises:
        NameGone: there is no such function, class or value.
    """
    module, _, qualified = name.partition(":")
    path = module_file(root, module)
    source = path.read_text(encoding="utf-8")
    node: ast.AST = ast.parse(source)
    for part in qualified.split("."):
        node = _member(node, part, name)
    assert isinstance(node, ast.stmt) and node.end_lineno is not None
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    lines = source.splitlines()[first - 1 : node.end_lineno]
    if without_docstring and isinstance(node, Named) and ast.get_docstring(node) is not None:
        docstring = node.body[0]
        assert docstring.end_lineno is not None
        del lines[docstring.lineno - first : docstring.end_lineno - first + 1]
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[indent:] for line in lines), f"{path.relative_to(root)}:{first}"


def _member(node: ast.AST, part: str, name: str) -> ast.stmt:
    for statement in getattr(node, "body", []):
        if isinstance(statement, Named) and statement.name == part:
            return statement
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == part for target in targets):
            return statement
    raise NameGone(f"a page quotes {name}, and there is no such name in the code any more")


def contract_rows(root: Path, name: str) -> list[tuple[str, str]]:
    """Each public method of a class: its signature in short, and its docstring's first sentence."""
    module, _, cls = name.partition(":")
    tree = ast.parse(module_file(root, module).read_text(encoding="utf-8"))
    node = _member(tree, cls, name)
    rows = []
    for member in getattr(node, "body", []):
        if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
            arguments = [
                a.arg for a in (*member.args.posonlyargs, *member.args.args, *member.args.kwonlyargs) if a.arg != "self"
            ]
            says = " ".join((ast.get_docstring(member) or "").split("\n\n")[0].split())
            rows.append((f"{member.name}({', '.join(arguments)})", says))
    return rows


def module_rows(root: Path, package: str) -> list[tuple[str, str]]:
    """Each module of a package, and the first sentence of its docstring."""
    folder = root / Path(*package.split("."))
    files = sorted(folder.glob("*.py")) if folder.is_dir() else [module_file(root, package)]
    rows = []
    for file in files:
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        if docstring and file.name != "__init__.py":
            rows.append((file.name, " ".join(docstring.split("\n\n")[0].split())))
    return rows
