"""Merging: the learner's sheet of glass lies over ours, and Python compiles what is seen from above.

Sources of one module become one: what an upper file defines hides the lower's definition of the same name, and
whatever it leaves out, leaves blank or has unchanged shows through. A class is a folder in this picture: its members
are merged one by one. There are no whiteouts: deleting a function from the upper file shows ours again.

It works on syntax trees and knows nothing of files, processes or labs.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType

from mini_docker.dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef
Key = tuple[str, ...]

NOT_WRITTEN = "not written yet: "
"""What the error of a blank function begins with."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file's text, and what tracebacks shall call it by."""

    text: str
    path: str


@dataclass(frozen=True, slots=True)
class Merged:
    """One module made of several files.

    Attributes:
        code: the compiled module. Each function's code names the file that it was written in, so that a traceback
            quotes the right line.
        mine: qualified name → path, of every function that comes from an upper file.
        blank: qualified names of the functions that an upper file leaves blank.
    """

    code: CodeType
    mine: Mapping[str, str]
    blank: tuple[str, ...]


def merge(reference: Source, layers: Sequence[Source], blanks_fall_through: bool = True, probe: str = "") -> Merged:
    """Lay *layers* over *reference* and compile what is seen.

    Args:
        layers: the topmost first.
        blanks_fall_through: whether the reference's function stands in for one that a layer left blank; otherwise it
            stays blank, and fails when it is called.
        probe: name of a global that every function of a layer calls first, with its own qualified name; empty for no
            such call.

    Raises:
        SyntaxError: one of them is no Python; its ``filename`` says which.
    """
    tree = ast.parse(reference.text, reference.path)
    merger = _Merger(tree, blanks_fall_through)
    for layer in reversed(layers):
        merger.path = layer.path
        tree.body = merger.body(tree.body, ast.parse(layer.text, layer.path).body, "")
    if probe:
        for name, function in functions(tree):
            if name in merger.mine:
                _insert_call(probe, name, function)
    code = compile(tree, reference.path, "exec", dont_inherit=True)
    return Merged(_sign(code, merger.places | merger.mine, ""), merger.mine, tuple(merger.blank))


def functions(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Every function of a module and every method of its classes, as (qualified name, node), in the file's order.

    Functions inside functions belong to the outer one.
    """
    for node in tree.body:
        if isinstance(node, Function):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")


def is_blank(function: Function) -> bool:
    """Whether only the signature and the docstring of *function* are written."""
    rest = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (
        len(rest) == 1
        and isinstance(rest[0], ast.Raise)
        and isinstance(rest[0].exc, ast.Call)
        and ast.unparse(rest[0].exc.func) == "NotImplementedError"
        and any(isinstance(word, ast.Constant) and str(word.value).startswith(NOT_WRITTEN) for word in rest[0].exc.args)
    )


class _Merger:
    """Merges bodies, and notes on the way which file each function is from."""

    def __init__(self, reference: ast.Module, blanks_fall_through: bool) -> None:
        self._blanks_fall_through = blanks_fall_through
        self._reference = dict(_dumped(reference.body, ""))
        self.path = ""
        self.mine: dict[str, str] = {}
        self.places: dict[str, str] = {}  # of what is mine, and of what stays blank
        self.blank: list[str] = []

    def body(self, below: Sequence[ast.stmt], above: Sequence[ast.stmt], prefix: str) -> list[ast.stmt]:
        """One list of statements from two.

        The order is the lower's, as far as it can be: what is only in the upper file stands before the next definition
        that both have, so that a new constant is there when a default argument wants it.
        """
        lower, upper = list(_keyed(below)), list(_keyed(above))
        places = {key: place for place, (key, _) in enumerate(lower)}
        hidden = {key for key, _ in upper}
        result: list[ast.stmt] = []
        new: list[ast.stmt] = []
        done = 0
        for key, statement in upper:
            if key not in places:
                if not _is_prologue(statement):
                    new.append(self._new(statement, prefix))
                continue
            result += [other for name, other in lower[done : places[key]] if name not in hidden]
            done = max(done, places[key] + 1)
            result += [*new, self._seen(key, lower[places[key]][1], statement, prefix)]
            new = []
        return result + [other for name, other in lower[done:] if name not in hidden] + new

    def _seen(self, key: Key, below: ast.stmt, above: ast.stmt, prefix: str) -> ast.stmt:
        """What is seen of a definition that both files have."""
        if isinstance(below, ast.ClassDef) and isinstance(above, ast.ClassDef):
            below.body = self.body(below.body, above.body, f"{prefix}{above.name}.")
            if above.bases or above.keywords or above.decorator_list:
                below.bases, below.keywords, below.decorator_list = above.bases, above.keywords, above.decorator_list
            return below
        unchanged = self._reference.get((prefix, *key)) == ast.dump(above)
        if not isinstance(above, Function):
            return below if unchanged else above
        name = prefix + above.name
        if is_blank(above):
            self.blank.append(name)
            if self._blanks_fall_through or name in self.mine:
                return below
            self.places[name] = self.path
            return above
        if unchanged and name in self.mine:
            return below  # this layer merely quotes the reference, and a layer below it says something of its own
        self.mine[name] = self.path
        return above

    def _new(self, statement: ast.stmt, prefix: str) -> ast.stmt:
        """A definition that only the upper file has."""
        if isinstance(statement, Function):
            self.mine[prefix + statement.name] = self.path
        elif isinstance(statement, ast.ClassDef):
            names = (name for name, _ in functions(statement, f"{prefix}{statement.name}."))
            self.mine.update(dict.fromkeys(names, self.path))
        return statement


def _keyed(body: Sequence[ast.stmt]) -> Iterator[tuple[Key, ast.stmt]]:
    """Each statement with the name by which the files' statements are matched."""
    seen: Counter[Key] = Counter()
    for number, statement in enumerate(body):
        key = ("docstring",) if number == 0 and _is_text(statement) else _key(statement)
        seen[key] += 1
        # A property and its setter, or overloads, share a name: they are told apart by their order.
        yield (*key, str(seen[key])), statement


def _key(statement: ast.stmt) -> Key:
    if isinstance(statement, Function | ast.ClassDef):
        return ("definition", statement.name)
    if isinstance(statement, ast.Assign):
        return ("value", *(ast.unparse(target) for target in statement.targets))
    if isinstance(statement, ast.AnnAssign):
        return ("value", ast.unparse(statement.target))
    return ("text", ast.dump(statement))


def _dumped(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[Key, str]]:
    for key, statement in _keyed(body):
        yield (prefix, *key), ast.dump(statement)
        if isinstance(statement, ast.ClassDef):
            yield from _dumped(statement.body, f"{prefix}{statement.name}.")


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_prologue(statement: ast.stmt) -> bool:
    """What may only stand at a file's very beginning: there the lower file decides."""
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _insert_call(probe: str, name: str, function: Function) -> None:
    call = ast.Expr(ast.Call(ast.Name(probe, ast.Load()), [ast.Constant(name)], []))
    ast.copy_location(call, function.body[0])
    function.body.insert(0 if ast.get_docstring(function) is None else 1, ast.fix_missing_locations(call))


def _sign(code: CodeType, mine: Mapping[str, str], outer: str) -> CodeType:
    """*code* with the right file's name on every function, and on what is inside of it."""
    path = outer or mine.get(code.co_qualname, "")
    constants = tuple(_sign(value, mine, path) if isinstance(value, CodeType) else value for value in code.co_consts)
    return code.replace(co_consts=constants, co_filename=path or code.co_filename)
