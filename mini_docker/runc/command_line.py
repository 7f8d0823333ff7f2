"""The command line's words: which flags there are, which take a value, and what is left.

The flags and their short forms are runc's, since engines call runc. ``--flag value``, ``--flag=value`` and one
dash instead of two are all understood. It knows words, not what they bring about.
"""

from __future__ import annotations

from collections.abc import Mapping

from mini_docker.dataclasses import dataclass, field
from mini_docker.errors import Invalid

TEXT, SWITCH, TEXTS = "text", "switch", "texts"

GLOBAL = {
    "root": TEXT, "log": TEXT, "log-format": TEXT, "debug": SWITCH, "systemd-cgroup": SWITCH, "rootless": TEXT,
    "criu": TEXT, "version": SWITCH, "help": SWITCH,
}  # fmt: skip
_BIRTH = {
    "bundle": TEXT, "console-socket": TEXT, "pid-file": TEXT, "preserve-fds": TEXT, "no-pivot": SWITCH,
    "no-new-keyring": SWITCH, "no-subreaper": SWITCH, "keep": SWITCH,
}  # fmt: skip
COMMANDS: dict[str, dict[str, str]] = {
    "create": _BIRTH,
    "run": {**_BIRTH, "detach": SWITCH},
    "start": {},
    "state": {},
    "kill": {"all": SWITCH},
    "delete": {"force": SWITCH},
    "pause": {},
    "resume": {},
    "ps": {"format": TEXT},
    "list": {"format": TEXT, "quiet": SWITCH},
    "spec": {"bundle": TEXT, "rootless": SWITCH},
    "exec": {
        "process": TEXT, "detach": SWITCH, "tty": SWITCH, "user": TEXT, "cwd": TEXT, "env": TEXTS,
        "additional-gids": TEXTS, "cap": TEXTS, "no-new-privs": SWITCH, "apparmor": TEXT, "process-label": TEXT,
        "console-socket": TEXT, "pid-file": TEXT, "preserve-fds": TEXT, "ignore-paused": SWITCH,
    },
}  # fmt: skip
"""Command → its flags, each with what it takes."""

SHORT = {
    "b": "bundle", "d": "detach", "f": "force", "a": "all", "q": "quiet", "p": "process", "t": "tty", "u": "user",
    "e": "env", "g": "additional-gids", "c": "cap", "v": "version", "h": "help",
}  # fmt: skip
_TRUE, _FALSE = ("true", "1", "t"), ("false", "0", "f", "auto")


@dataclass(slots=True)
class Flags:
    """The flags that were given, by their long names.

    Attributes:
        values: of flags that take one; those that may be repeated keep all of them, in order.
        switches: names of those that are on.
    """

    values: dict[str, list[str]] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)

    def text(self, name: str, default: str = "") -> str:
        """The last value given."""
        return self.values.get(name, [default])[-1]

    def texts(self, name: str) -> list[str]:
        """Every value given."""
        return self.values.get(name, [])

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        return name in self.switches

    def count(self, name: str) -> int:
        """A value that is a number of things; 0 where it is absent."""
        text = self.text(name, "0")
        if not text.isascii() or not text.isdigit():
            raise Invalid(f"--{name} {text!r} is not a number")
        return int(text)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was asked for.

    Attributes:
        command: one of `COMMANDS`; empty when there is none.
        arguments: the words after the flags.
    """

    flags: Flags
    command: str
    command_flags: Flags
    arguments: list[str]


def parse(words: list[str]) -> CommandLine:
    """Sort the words.

    Raises:
        Invalid: an unknown command or flag, or a flag without its value.
    """
    flags, rest = _take_flags(words, GLOBAL, {"f": ""})
    if not rest:
        return CommandLine(flags, "", Flags(), [])
    command, *rest = rest
    if command not in COMMANDS:
        raise Invalid(f"there is no command {command!r}: {', '.join(sorted(COMMANDS))}")
    # -f is --force where there is that, else --format.
    aliases = {"f": "format"} if "format" in COMMANDS[command] else {}
    command_flags, arguments = _take_flags(rest, COMMANDS[command], aliases)
    return CommandLine(flags, command, command_flags, arguments)


def _take_flags(words: list[str], known: Mapping[str, str], aliases: Mapping[str, str]) -> tuple[Flags, list[str]]:
    """The flags at the beginning of *words*, and what follows them."""
    flags = Flags()
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return flags, words[position + 1 :]
        if not word.startswith("-") or word == "-":
            break
        name, equals, value = word.lstrip("-").partition("=")
        name = aliases.get(name) or SHORT.get(name, name)
        kind = known.get(name)
        if kind is None:
            raise Invalid(f"flag provided but not defined: {word}")
        position += 1
        if kind == SWITCH:
            if equals and value not in _TRUE + _FALSE:
                raise Invalid(f"--{name} is on or off, not {value!r}")
            if not equals or value in _TRUE:
                flags.switches.add(name)
            continue
        if not equals:
            if position == len(words):
                raise Invalid(f"flag needs an argument: {word}")
            value = words[position]
            position += 1
        flags.values.setdefault(name, []).append(value)
    return flags, words[position:]
