"""The starter: the reference with some functions blanked. Signature and docstring stay, the body goes.

Made anew from the code each time: there are no markers in it, no second copy, and so no drift. It works on source text
and knows nothing of labs and folders.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from mini_docker.errors import NotFound
from mini_docker.lab.merge import NOT_WRITTEN, Function, functions


def make_starter(source: str, names: Collection[str]) -> str:
    """*source* with the functions *names* blanked; all else stays as it is, comments included.

    Raises:
        NotFound: one of the names is not a function of it.
    """
    found = _find(source, names)
    lines = source.splitlines()
    # From the end, so that the numbers of lines above stay right.
    for name, node in sorted(found.items(), key=lambda item: -item[1].lineno):
        first = _first_of_body(node)
        lines[first.lineno - 1 : _end(node)] = [
            " " * first.col_offset + f'raise NotImplementedError("{NOT_WRITTEN}{name}")'
        ]
    return "\n".join(lines) + "\n"


def function_texts(source: str, names: Collection[str]) -> Mapping[str, str]:
    """The text of each named function that *source* has, decorators included."""
    lines = source.splitlines()
    return {
        name: "\n".join(lines[_start(node) - 1 : _end(node)]) + "\n"
        for name, node in functions(ast.parse(source))
        if name in names
    }


def _find(source: str, names: Collection[str]) -> dict[str, Function]:
    found = {name: node for name, node in functions(ast.parse(source)) if name in names}
    for name in names:
        if name not in found:
            raise NotFound(f"there is no function {name} in the reference: was it renamed?")
    return found


def _first_of_body(node: Function) -> ast.stmt:
    """The first statement after the docstring."""
    documented = ast.get_docstring(node) is not None
    if documented and len(node.body) == 1:
        raise NotFound(f"the function {node.name} has no body to blank")
    return node.body[1 if documented else 0]


def _start(node: Function) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _end(node: Function) -> int:
    assert node.end_lineno is not None
    return node.end_lineno
