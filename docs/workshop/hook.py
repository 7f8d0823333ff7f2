"""The book's workshop: MkDocs calls it while it builds, and it puts pieces of the real code into the pages.

A page asks for a piece with a comment on a line of its own, such as ``<!-- excerpt: module:Name -->``. Whatever cannot be
found stops the build. `PIECES` is the list of what can be asked for.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from posixpath import dirname, relpath
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import excerpts  # noqa: E402  the workshop's own modules lie beside this file
import pictures  # noqa: E402
import tables  # noqa: E402
import trace_page  # noqa: E402

_ASKS = re.compile(r"^<!-- ([a-z-]+)(?:: (.*?))? -->$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")

API_BOXES = (
    "engine", "daemon", "builder", "graph", "registry", "drivers", "supervisor", "libcontainer", "archive", "http", "linux",
    "commands", "lab", "doctor", "runc",
)  # fmt: skip


def on_config(config: Any) -> Any:
    """Our package can be imported from now on. (MkDocs puts the path back after it has loaded this file.)"""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Pages that are made, not written: the labs' sheets, and the API reference, a page a box."""
    for folder in sorted((ROOT / "labs").glob("[0-9]*")):
        text = _sheet((folder / "README.md").read_text(encoding="utf-8"), folder)
        files.append(File.generated(config, f"labs/{folder.name}.md", content=text))
    for box in API_BOXES:
        files.append(File.generated(config, f"api/{box}.md", content=_api_page(box)))
    singles = "\n".join(f"::: mini_docker.{name}\n" for name in ("client", "launcher", "remote_api", "errors"))
    files.append(File.generated(config, "api/house.md", content=f"# The house's own modules\n\n{singles}"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Fill in what the page asks for."""

    def fill(match: re.Match[str]) -> str:
        kind, argument = match.group(1), match.group(2) or ""
        if kind not in PIECES:
            return match.group(0)
        try:
            return PIECES[kind](argument, page, files)
        except (excerpts.NameGone, KeyError, ValueError, OSError) as error:
            raise PluginError(f"{page.file.src_uri}: {match.group(0)}: {error}") from error

    return _ASKS.sub(fill, markdown)


def _sheet(text: str, folder: Path) -> str:
    """A lab's sheet as a page: links to other pages of the book stay, all others become words."""

    def turn(match: re.Match[str]) -> str:
        words, target = match.groups()
        if "://" in target:
            return match.group(0)
        path = (folder / target.partition("#")[0]).resolve()
        if path.is_relative_to(ROOT / "docs"):
            return f"[{words}](../{path.relative_to(ROOT / 'docs')})"
        return f"`{path.relative_to(ROOT)}`"

    return _LINK.sub(turn, text)


def _api_page(box: str) -> str:
    lines = [f"# mini_docker.{box}", ""]
    folder = ROOT / "mini_docker" / box
    for path in sorted(folder.rglob("*.py")):
        if path.read_text(encoding="utf-8").strip():
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if not name.endswith(("__main__", "pytest_plugin")):
                lines += [f"::: {name}", ""]
    return "\n".join(lines) if len(lines) > 2 else f"# mini_docker.{box}\n\nThis box is still empty.\n"


def _code(argument: str, page: Any, files: Files) -> str:
    text, place = excerpts.excerpt(ROOT, argument.removesuffix(" bare"), without_docstring=argument.endswith(" bare"))
    return f'```python title="{place}"\n{text}\n```'


def _table(argument: str, page: Any, files: Files) -> str:
    made: dict[str, Callable[[], str]] = {
        "jobs": lambda: tables.jobs(ROOT),
        "classic-jobs": lambda: tables.classic_jobs(ROOT),
        "routes": tables.routes,
        "walls": tables.walls,
        "graph-drivers": lambda: tables.graph_drivers(ROOT),
        "layers": lambda: tables.layers(ROOT),
        "errors": lambda: tables.errors(ROOT),
        "labs": _labs,
    }
    return made[argument]()


def _labs() -> str:
    from mini_docker.lab.lab import all_labs

    rows = [
        (f"[{lab.name[:2]} {lab.title}](labs/{lab.name}.md)", f"{lab.minutes} min", ", ".join(lab.needs) or "nothing",
         ", ".join(f"`{name}`" for blank in lab.blanks for name in blank.functions), len(lab.mutants()))
        for lab in all_labs(ROOT)
    ]  # fmt: skip
    return tables.markdown(("Lab", "Time", "Needs", "You write", "Wrong solutions it must find"), rows)


def _states(argument: str, page: Any, files: Files) -> str:
    module, _, name = argument.partition(":")
    transitions = getattr(importlib.import_module(module), name)
    start = next(iter(transitions))[0]
    return f"{pictures.life_cycle(transitions, start)}\n\n{tables.states(transitions)}"


def _contract(argument: str, page: Any, files: Files) -> str:
    rows = ((f"`{signature}`", says) for signature, says in excerpts.contract_rows(ROOT, argument))
    return tables.markdown(("Call", "What it promises"), rows)


def _modules(argument: str, page: Any, files: Files) -> str:
    rows = ((f"`{name}`", says) for name, says in excerpts.module_rows(ROOT, argument))
    return tables.markdown(("File", "In a sentence"), rows)


def _metaphor(argument: str, page: Any, files: Files) -> str:
    return f"> {excerpts.metaphor(ROOT, argument)}\n>\n> <small>the docstring of `{argument}`</small>"


def _picture(argument: str, page: Any, files: Files) -> str:
    hrefs = {}
    for box in pictures.BOXES:
        target = files.get_file_from_path(box.page)
        if target is None:
            raise KeyError(f"the picture's box {box.title} leads to {box.page}, which is no page")
        hrefs[box.page] = relpath(target.url, dirname(page.url) or ".")
    return pictures.architecture(hrefs)


def _trace(argument: str, page: Any, files: Files) -> str:
    return trace_page.tree(json.loads((ROOT / "docs/traces" / f"{argument}.json").read_text()))


def _narration(argument: str, page: Any, files: Files) -> str:
    return trace_page.narration(json.loads((ROOT / "docs/traces" / f"{argument}.json").read_text()))


PIECES: dict[str, Callable[[str, Any, Files], str]] = {
    "excerpt": _code,  # module:Name, or module:Name bare, for the code without its docstring
    "table": _table,  # jobs, classic-jobs, routes, walls, graph-drivers, layers, errors, labs
    "states": _states,  # module:TRANSITIONS: a diagram and a table
    "contract": _contract,  # module:Protocol: its calls and what they promise
    "modules": _modules,  # package: its files
    "metaphor": _metaphor,  # module: the first paragraph of its docstring
    "picture": _picture,
    "trace": _trace,  # a recorded run, as a tree of jobs
    "narration": _narration,  # its privileged steps, in words
}
"""What a page may ask for."""
