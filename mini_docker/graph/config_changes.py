"""Changes to a run configuration, in the words of a Dockerfile: what ``--change`` of commit and import takes.

Pure: a configuration and instructions in, a new configuration out. It knows only the instructions that touch no
file system.

Source: Dockerfile reference; Docker Engine API 1.41, ImageCommit, parameter ``changes``.
"""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mini_docker.errors import Invalid

Config = dict[str, Any]


def apply_changes(config: Mapping[str, Any], changes: Sequence[str]) -> Config:
    """*config* with each instruction carried out, in order.

    Raises:
        Invalid: not an instruction, not one allowed here, or its arguments are wrong.
    """
    result = dict(config)
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None:
            raise Invalid(f"{word} is not a valid change command")
        rest = rest.strip()
        if not rest:
            raise Invalid(f"{word.upper()} requires at least one argument")
        instruction(result, rest)
    return result


def _env(config: Config, rest: str) -> None:
    # A variable that is set again keeps its place.
    variables = dict(item.partition("=")[::2] for item in config.get("Env") or [])
    variables |= _pairs("ENV", rest)
    config["Env"] = [f"{name}={value}" for name, value in variables.items()]


def _label(config: Config, rest: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs("LABEL", rest))}


def _cmd(config: Config, rest: str) -> None:
    config["Cmd"] = _command(rest)


def _entrypoint(config: Config, rest: str) -> None:
    config["Entrypoint"] = _command(rest)


def _expose(config: Config, rest: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in rest.split():
        port, _, protocol = word.partition("/")
        first, _, last = port.partition("-")
        numbers = [first, last or first]
        if not all(number.isdecimal() and 0 < int(number) < 65536 for number in numbers):
            raise Invalid(f"Invalid containerPort: {word}")
        if (protocol or "tcp") not in ("tcp", "udp", "sctp"):
            raise Invalid(f"Invalid proto: {protocol}")
        for number in range(int(numbers[0]), int(numbers[1]) + 1):
            ports[f"{number}/{protocol or 'tcp'}"] = {}
    config["ExposedPorts"] = ports


def _volume(config: Config, rest: str) -> None:
    paths = _json_list(rest) or rest.split()
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}


def _user(config: Config, rest: str) -> None:
    config["User"] = rest


def _workdir(config: Config, rest: str) -> None:
    config["WorkingDir"] = posixpath.normpath(posixpath.join("/", config.get("WorkingDir") or "/", rest))


def _onbuild(config: Config, rest: str) -> None:
    word = rest.partition(" ")[0].upper()
    if word in ("ONBUILD", "FROM", "MAINTAINER"):
        raise Invalid(f"{word} isn't allowed as an ONBUILD trigger")
    config["OnBuild"] = [*(config.get("OnBuild") or []), rest]


def _stopsignal(config: Config, rest: str) -> None:
    config["StopSignal"] = rest


def _shell(config: Config, rest: str) -> None:
    words = _json_list(rest)
    if not words:
        raise Invalid("SHELL requires the arguments to be in JSON form")
    config["Shell"] = words


_INSTRUCTIONS: Mapping[str, Callable[[Config, str], None]] = {
    "CMD": _cmd, "ENTRYPOINT": _entrypoint, "ENV": _env, "EXPOSE": _expose, "LABEL": _label, "ONBUILD": _onbuild,
    "SHELL": _shell, "STOPSIGNAL": _stopsignal, "USER": _user, "VOLUME": _volume, "WORKDIR": _workdir,
}  # fmt: skip


def _command(rest: str) -> list[str]:
    """The exec form, a JSON list; or the shell form, for a shell to read."""
    words = _json_list(rest)
    return ["/bin/sh", "-c", rest] if words is None else words


def _json_list(rest: str) -> list[str] | None:
    try:
        words = json.loads(rest)
    except ValueError:
        return None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def _pairs(instruction: str, rest: str) -> list[tuple[str, str]]:
    """``A=b C="d e"``, or the old form of one pair, ``A b c``."""
    first = rest.split(None, 1)
    if "=" not in first[0]:
        if len(first) < 2:
            raise Invalid(f"{instruction} must have two arguments")
        return [(first[0], first[1])]
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise Invalid(f"{instruction}: {error} in {rest!r}") from None
    pairs = [(name, value) for name, _, value in (word.partition("=") for word in words)]
    if not all(name and "=" in word for (name, _), word in zip(pairs, words, strict=True)):
        raise Invalid(f"Syntax error - can't find = in {rest!r}. Must be of the form: name=value")
    return pairs
