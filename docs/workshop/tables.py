"""Tables of the book, made from the code each time it is built."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import job_table
from registered import Registered, registered_jobs


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += [
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def jobs(root: Path) -> str:
    """Every job by group: name, what it does, classic ancestor, handler.

    Raises:
        KeyError: the table and the code disagree (`tests/docs/test_job_table.py` says how).
    """
    handlers = {entry.job: entry for entry in registered_jobs(root / "mini_docker")}
    routed = {route.job for route in importlib.import_module("mini_docker.daemon.server.routes").ROUTES}
    text = ""
    for title, lines in job_table.GROUPS.items():
        rows = []
        for line in lines:
            entry = handlers.pop(line.name)
            ancestor = "*ours*" if line.ancestor == job_table.OURS else f"`{line.ancestor}`"
            dagger = "" if line.name in routed else " †"
            rows.append(
                (
                    f"`{line.name}`{dagger}",
                    line.does,
                    ancestor,
                    _handler(entry),
                )
            )
        text += f"### {title}\n\n" + markdown(("Job", "What it does", "Classic ancestor", "Handler"), rows) + "\n"
    if handlers:
        raise KeyError(f"jobs that the table of docs/workshop/job_table.py lacks: {sorted(handlers)}")
    return text


def _handler(entry: Registered) -> str:
    file = entry.module.removeprefix("mini_docker.daemon.").replace(".", "/")
    return f"`{entry.name}` in `{file}.py`"


def classic_jobs(root: Path) -> str:
    """The fifty jobs of Docker 1.2, and where each is here."""
    here = {entry.job: entry for entry in registered_jobs(root / "mini_docker")}
    rows = []
    for owner, names in job_table.CLASSIC.items():
        for name in names:
            where = _handler(here[name]) if name in here else job_table.WENT[name]
            rows.append((f"`{name}`", owner, "here" if name in here else "not a job", where))
    return markdown(("Job of Docker 1.2", "Registered by", "Now", "Where"), rows)


def routes() -> str:
    """The route table of the server."""
    module = importlib.import_module("mini_docker.daemon.server.routes")
    rows = [
        (route.method, f"`{route.pattern}`" + (f" with `{route.requires}`" if route.requires else ""), f"`{route.job}`",
         route.status, route.kind.name.lower())
        for route in module.ROUTES
    ]  # fmt: skip
    return markdown(("Method", "Path", "Job", "Success", "How the output travels"), rows)


def walls() -> str:
    """Which isolation each exec driver gives."""
    contract = importlib.import_module("mini_docker.drivers.execdriver.contract")
    bootstrap = importlib.import_module("mini_docker.daemon.bootstrap")
    names = list(bootstrap.EXEC_DRIVERS)
    # A driver's walls do not depend on the machine: they can be asked of one that was never set up.
    given = {name: _walls_of(bootstrap.EXEC_DRIVERS[name]) for name in names}
    rows = [
        (wall, *("yes" if getattr(given[name], wall) else "–" for name in names))
        for wall in contract.Walls.__dataclass_fields__
    ]
    return markdown(("Wall", *(f"`{name}`" for name in names)), rows)


def _walls_of(driver: type) -> object:
    return driver.walls(object.__new__(driver))  # type: ignore[attr-defined]


def graph_drivers(root: Path) -> str:
    """The graph drivers, with the first sentence of each."""
    bootstrap = importlib.import_module("mini_docker.daemon.bootstrap")
    rows = []
    for name, driver in bootstrap.GRAPH_DRIVERS.items():
        docstring = importlib.import_module(driver.__module__).__doc__ or ""
        rows.append((f"`{name}`", f"`{driver.__name__}`", " ".join(docstring.split("\n\n")[0].split())))
    return markdown(("Driver", "Class", "In a sentence"), rows)


def states(transitions: Mapping[tuple[str, str], str]) -> str:
    """A life cycle's table."""
    return markdown(("State", "Move", "Next"), ((f"`{a}`", move, f"`{b}`") for (a, move), b in transitions.items()))


def layers(root: Path) -> str:
    """The order in which imports may run, from the linter's own contract."""
    import tomllib

    contract = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    rows = []
    for number, layer in enumerate(contract["layers"], 1):
        names = " · ".join(
            f"`{name.strip().removeprefix('mini_docker.')}`" for name in layer.replace(":", "|").split("|")
        )
        rows.append((number, names))
    return markdown(("From the roof", "May import what stands below"), rows)


def errors(root: Path) -> str:
    """The kinds of errors."""
    tree = ast.parse((root / "mini_docker/errors.py").read_text())
    rows = [
        (f"`{node.name}`", " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split()))
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]
    return markdown(("Kind", "Meaning"), rows)
