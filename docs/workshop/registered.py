"""Which jobs the daemon registers, and which handler each has, read from the code without running it.

A handler enters the engine's table in one of two spellings, and both are looked for: ``engine.register("name", handler)``,
and a dictionary ``{"name": handler, …}`` in a function or variable whose name ends in ``handlers``, or in ``STUBS``.
`tests/docs/test_job_table.py` compares the answer with a daemon that was really put together.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Registered:
    """One entry of the engine's table.

    Attributes:
        handler: as the code spells it, without its collaborators: ``network.AllocatePort``.
        module, name: where the handler is defined, as far as it can be found.
    """

    job: str
    handler: str
    module: str
    name: str


def registered_jobs(package: Path) -> list[Registered]:
    """Every job that the daemon registers, by name.

    Args:
        package: the folder of mini_docker.

    Raises:
        ValueError: one job is registered twice.
    """
    files = [
        package / "daemon" / "bootstrap.py",
        package / "daemon" / "daemon.py",
        *sorted((package / "daemon/jobs").glob("*.py")),
    ]
    found: dict[str, Registered] = {}
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        module = ".".join(("mini_docker", *file.relative_to(package).with_suffix("").parts))
        imports = _imports(tree)
        for job, value in _entries(tree):
            entry = _describe(job, value, module, imports, tree)
            if job in found:
                raise ValueError(f"the job {job!r} is registered twice: in {found[job].module} and in {module}")
            found[job] = entry
    return [found[job] for job in sorted(found)]


def _entries(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("engine.register", "self._engine.register"):
            if isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value), node.args[1]
        elif isinstance(node, ast.FunctionDef) and node.name.endswith("handlers"):
            yield from (
                entry for inner in ast.walk(node) if isinstance(inner, ast.Return) for entry in _pairs(inner.value)
            )
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) in ("handlers", "STUBS"):
            yield from _pairs(node.value)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STUBS":
            yield from _pairs(node.value)


def _pairs(value: ast.expr | None) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant):
                yield str(key.value), item


def _imports(tree: ast.Module) -> dict[str, str]:
    """Local name → what it stands for, dotted."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def _describe(job: str, value: ast.expr, module: str, imports: dict[str, str], tree: ast.Module) -> Registered:
    called = value.func if isinstance(value, ast.Call) else value
    spelled = ast.unparse(called)
    spelled = _assigned(tree).get(spelled, spelled)
    head, _, rest = spelled.partition(".")
    full = imports.get(head, f"{module}.{head}") + (f".{rest}" if rest else "")
    where, _, name = full.rpartition(".")
    return Registered(job, spelled, where, name)


def _assigned(tree: ast.Module) -> dict[str, str]:
    """Variables, and attributes of self, that hold a handler → the class that made it."""
    return {
        ast.unparse(node.targets[0]): ast.unparse(node.value.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    }
