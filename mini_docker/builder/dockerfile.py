"""The Dockerfile: a script for making an image, read into a list of instructions. Pure.

It knows the script's grammar and which words there are, not what they do.

Source: Dockerfile reference.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping

from mini_docker.dataclasses import dataclass
from mini_docker.errors import Invalid

WORDS = frozenset({
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "LABEL", "MAINTAINER", "RUN", "SHELL",
    "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
})  # fmt: skip
EXPANDED = frozenset({"ADD", "COPY", "ENV", "EXPOSE", "FROM", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})
"""Instructions in whose arguments variables are replaced; the others leave that to a shell, or have none."""

_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)\s*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\\\$|\$\{(\w+)(?::([-+])([^}]*))?\}|\$(\w+)")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        word: in capitals.
        flags: ``--from=x`` as ``{"from": "x"}``.
        rest: its arguments as they stand there.
        line: number of its first line, from 1.
    """

    word: str
    flags: Mapping[str, str]
    rest: str
    line: int

    def __str__(self) -> str:
        flags = "".join(f"--{name}={value} " for name, value in self.flags.items())
        return f"{self.word} {flags}{self.rest}"

    def json_form(self) -> list[str] | None:
        """The arguments when they are a JSON list of strings (the exec form), else None."""
        if not self.rest.startswith("["):
            return None
        try:
            words = json.loads(self.rest)
        except ValueError:
            return None
        return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None

    def words(self) -> list[str]:
        """The arguments as a list, in either form.

        Raises:
            Invalid: a quote is left open.
        """
        words = self.json_form()
        if words is not None:
            return words
        try:
            return shlex.split(self.rest)
        except ValueError as error:
            raise Invalid(f"dockerfile parse error on line {self.line}: {error}") from None


def parse(text: str) -> list[Instruction]:
    """Read a Dockerfile.

    Raises:
        Invalid: empty, an unknown instruction, or one without arguments; the message names the line.
    """
    instructions = []
    for number, line in _logical_lines(text):
        word, _, rest = line.partition(" ")
        word = word.upper()
        if word not in WORDS:
            raise Invalid(f"dockerfile parse error on line {number}: unknown instruction: {word}")
        flags: dict[str, str] = {}
        rest = rest.strip()
        while match := re.match(r"--([a-z]+)=(\S*)\s*", rest):
            flags[match[1]] = match[2]
            rest = rest[match.end() :]
        if not rest:
            raise Invalid(f"dockerfile parse error on line {number}: {word} requires at least one argument")
        instructions.append(Instruction(word, flags, rest, number))
    if not instructions:
        raise Invalid("the Dockerfile cannot be empty")
    if instructions[0].word not in ("FROM", "ARG"):
        raise Invalid(f"no build stage in current context: line {instructions[0].line} comes before any FROM")
    return instructions


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$name``, ``${name}``, ``${name:-default}`` and ``${name:+other}``; ``\\$`` is a dollar."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "\\$":
            return "$"
        name = match[1] or match[4]
        found = variables.get(name, "")
        if match[2] == "-":
            return found or match[3]
        if match[2] == "+":
            return match[3] if found else ""
        return found

    return _VARIABLE.sub(value, text)


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines joined where they end with the escape character, without comments, each with its number."""
    lines = text.lstrip("\ufeff").splitlines()
    escape = "\\"
    if lines and (found := _ESCAPE.match(lines[0])):
        escape = found[1]
    logical: list[tuple[int, str]] = []
    begun, start = "", 0
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue  # inside a continued line, too, as in Docker
        start = start if begun else number
        if stripped.endswith(escape):
            begun += stripped[:-1]
            continue
        logical.append((start, (begun + stripped).strip()))
        begun = ""
    if begun.strip():
        logical.append((start, begun.strip()))
    return [(number, re.sub(r"^(\S+)\s+", r"\1 ", line)) for number, line in logical]
