"""A lab: a sheet of exercises, as data read from ``labs/NN_name/lab.toml``.

It knows what a lab is made of and checks that a sheet is whole. It knows nothing of learners and grades.
"""

from __future__ import annotations

import ast
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid, NotFound
from mini_docker.lab.merge import functions

SHEETS_VARIABLE = "MINI_DOCKER_CHECKOUT"
"""Names the checkout whose labs and tests are used, where it cannot be found from where we are."""

PURE, LIVE = "pure", "live"
TIERS = 4


@dataclass(frozen=True, slots=True)
class Blank:
    """Functions of one module that the learner writes, by qualified name."""

    module: str
    functions: tuple[str, ...]

    @property
    def file(self) -> Path:
        """The module's file, below a checkout or a layer."""
        return Path(*self.module.split(".")).with_suffix(".py")


@dataclass(frozen=True, slots=True)
class Check:
    """One question that is put to the learner's code.

    Attributes:
        name: what it finds out, in a few words.
        kind: ``pure`` runs on any system; ``live`` needs root and makes real namespaces, mounts or links.
        tests: pytest's names of the tests, below the checkout; below the lab's folder when they begin with ``./``.
        seconds: how long it may take.
    """

    name: str
    kind: str
    tests: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Hint:
    """Four steps from a nudge to nearly the answer, for one function."""

    function: str
    tiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A quiz question; *answer* is the index of the right choice, *because* the reason."""

    ask: str
    choices: tuple[str, ...]
    answer: int
    because: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong solution: one module's file with a function replaced, and the mistake that it stands for."""

    path: Path
    module: str
    mistake: str


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab.

    Attributes:
        name: of its folder, ``01_engine_and_job``.
        minutes: how long a learner takes, about.
        needs: what the machine must have: ``root``, ``overlay``, ``nftables`` …
    """

    name: str
    folder: Path
    title: str
    minutes: int
    needs: tuple[str, ...]
    blanks: tuple[Blank, ...]
    checks: tuple[Check, ...]
    hints: tuple[Hint, ...]
    quiz: tuple[Question, ...]

    @property
    def readme(self) -> Path:
        """The sheet itself."""
        return self.folder / "README.md"

    @property
    def explanation(self) -> Path:
        """What is told after passing."""
        return self.folder / "EXPLANATION.md"

    def functions(self) -> list[str]:
        """``module:qualified name`` of all that the learner writes."""
        return [f"{blank.module}:{name}" for blank in self.blanks for name in blank.functions]

    def mutants(self) -> list[Mutant]:
        """The wrong solutions in ``mutants/``, by name. The first line of each docstring is the mistake.

        Raises:
            Invalid: one covers no module of this lab, or does not say its mistake.
        """
        return [self._mutant(path) for path in sorted((self.folder / "mutants").glob("*.py"))]

    def _mutant(self, path: Path) -> Mutant:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        mistake = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
        defined = {name for name, _ in functions(tree)}
        for blank in self.blanks:
            if mistake and defined & set(blank.functions):
                return Mutant(path, blank.module, mistake)
        raise Invalid(f"{path}: a mutant has a docstring that names its mistake, and a function of its lab")


def checkout() -> Path:
    """The folder that has ``labs/`` and ``tests/``: the checkout that we run from, are installed from, or stand in.

    Raises:
        NotFound: there is none.
    """
    here = Path(__file__).resolve().parents[2]
    named = os.environ.get(SHEETS_VARIABLE)
    around = [here, Path(sys.prefix).parent, *here.parents, Path.cwd(), *Path.cwd().parents]
    for folder in [Path(named)] if named else around:
        if (folder / "labs").is_dir() and (folder / "tests").is_dir() and (folder / "mini_docker").is_dir():
            return folder.resolve()
    raise NotFound(f"no checkout of mini_docker here: go into it, or name it in {SHEETS_VARIABLE}")


def all_labs(root: Path) -> list[Lab]:
    """The labs of a checkout, by number."""
    return [load(path.parent) for path in sorted((root / "labs").glob("[0-9]*/lab.toml"))]


def find(labs: list[Lab], word: str) -> Lab:
    """The lab that *word* means: its number, its name, or the beginning of its name.

    Raises:
        NotFound: none or several.
    """
    wanted = word.zfill(2) if word.isdigit() else word
    found = [lab for lab in labs if lab.name.startswith(wanted) or lab.name[3:].startswith(wanted)]
    if len(found) != 1:
        raise NotFound(f"no lab {word!r}: one of {', '.join(lab.name for lab in labs)}")
    return found[0]


def load(folder: Path) -> Lab:
    """Read one lab.

    Raises:
        Invalid: the sheet is not whole; the message names the file and what is wrong.
    """
    path = folder / "lab.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        lab = Lab(
            folder.name, folder, data["title"], int(data["minutes"]), tuple(data["needs"]),
            tuple(Blank(item["module"], tuple(item["functions"])) for item in data["blank"]),
            tuple(_check(item) for item in data["check"]),
            tuple(Hint(item["function"], tuple(item["tiers"])) for item in data["hint"]),
            tuple(_question(item) for item in data["quiz"]),
        )  # fmt: skip
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise Invalid(f"{path}: {type(error).__name__}: {error}") from None
    _demand(lab, path)
    return lab


def _check(item: Mapping[str, Any]) -> Check:
    return Check(item["name"], item["kind"], tuple(item["tests"]), float(item["seconds"]))


def _question(item: Mapping[str, Any]) -> Question:
    return Question(item["ask"], tuple(item["choices"]), int(item["answer"]), item["because"])


def _demand(lab: Lab, path: Path) -> None:
    names = {name for blank in lab.blanks for name in blank.functions}
    demands = {
        "a check is pure or live": all(check.kind in (PURE, LIVE) for check in lab.checks),
        "every check has tests": all(check.tests for check in lab.checks),
        f"a hint has {TIERS} tiers": all(len(hint.tiers) == TIERS for hint in lab.hints),
        "every blank function has its hint": {hint.function for hint in lab.hints} == names,
        "an answer is one of the choices": all(0 <= item.answer < len(item.choices) for item in lab.quiz),
    }
    for demand, met in demands.items():
        if not met:
            raise Invalid(f"{path}: {demand}")
