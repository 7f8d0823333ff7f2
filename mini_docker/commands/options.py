"""A command's flags as a table: parsing and ``--help`` are both read off it, so they cannot disagree.

The rules are those that Docker's users have in their fingers (``-it``, ``-p80:80``, ``--name=x``). It
knows nothing of what a command does. Written by hand since argparse costs 12 ms to import and reads
``-it`` and ``-- `` otherwise.
"""

from __future__ import annotations

from mini_docker import units
from mini_docker.errors import Invalid

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from mini_docker.client import Client

PROGRAM = "mini-docker"

USAGE_STATUS = 125
"""Exit code after a wrong flag, for every command, as Docker's client has it."""


class Kind:
    """What sort of value a flag takes.

    Args:
        name: the word that stands for the value in ``--help``; empty for a switch.
        convert: turns the word given into the value; raises ValueError or Invalid with a sentence.
        default: the value when the flag is not given.
        repeated: the flag may be given often, and its value is a list.
    """

    __slots__ = ("convert", "default", "name", "repeated")

    def __init__(self, name: str, convert: Callable[[str], Any], default: Any, repeated: bool = False) -> None:
        self.name = name
        self.convert = convert
        self.default = default
        self.repeated = repeated


def parse_bool(text: str) -> bool:
    """A truth as Go's ParseBool reads it.

    Raises:
        ValueError: it is none.
    """
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f'"{text}" is neither true nor false')


def parse_int(text: str) -> int:
    """A whole number, in decimal.

    Raises:
        ValueError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a whole number') from None


SWITCH = Kind("", parse_bool, False)
STRING = Kind("string", str, "")
LIST = Kind("list", str, (), repeated=True)
INT = Kind("int", parse_int, 0)
BYTES = Kind("bytes", units.parse_size, 0)
MEMORY_SWAP = Kind("bytes", lambda text: -1 if text == "-1" else units.parse_size(text), 0)
CPUS = Kind("decimal", units.parse_nano_cpus, 0)


class Flag:
    """One row of a command's table.

    Args:
        long: the name after ``--``.
        short: the letter after ``-``, or empty.
        kind: what sort of value it takes.
        help: the line in ``--help``.
        default: instead of the kind's.
    """

    __slots__ = ("default", "help", "kind", "long", "short")

    def __init__(self, long: str, short: str, kind: Kind, help: str, default: Any = None) -> None:
        self.long = long
        self.short = short
        self.kind = kind
        self.help = help
        self.default = kind.default if default is None else default

    def __str__(self) -> str:
        return f"-{self.short}, --{self.long}" if self.short else f"--{self.long}"


class Command:
    """One command of ours: what it is called with, and the function that does it.

    Args:
        name: as typed, ``network ls``.
        usage: what follows the name in ``Usage:``.
        summary: one line.
        run: does it; its result is the exit code.
        flags: the table.
        arguments: the fewest and the most words after the flags; None means any number.
        stop_at_argument: flags end at the first other word, since the rest is someone else's command line.
    """

    __slots__ = ("arguments", "flags", "name", "run", "stop_at_argument", "summary", "usage")

    def __init__(
        self,
        name: str,
        usage: str,
        summary: str,
        run: Callable[[Client, Options], int],
        flags: Sequence[Flag] = (),
        arguments: tuple[int, int | None] = (0, 0),
        stop_at_argument: bool = False,
    ) -> None:
        self.name = name
        self.usage = usage
        self.summary = summary
        self.run = run
        self.flags = flags
        self.arguments = arguments
        self.stop_at_argument = stop_at_argument

    def help(self) -> str:
        """The text of ``--help``."""
        text = f"{self._usage_line()}\n\n{self.summary}\n"
        if self.flags:
            text += f"\nOptions:\n{flags_help(self.flags)}"
        return text

    def _usage_line(self) -> str:
        return f"Usage:  {PROGRAM} {self.name} {self.usage}".rstrip()

    def parse(self, words: Sequence[str]) -> Options | None:
        """What *words* (those after the command's name) ask for; None when they ask for help.

        Raises:
            UsageError: they are not understood.
        """
        try:
            options = parse_flags(self.flags, words, self.stop_at_argument)
        except ValueError as error:
            raise UsageError(str(error), self._usage_line(), self.name, USAGE_STATUS) from None
        if options is not None:
            self._check_count(len(options.args))
        return options

    def _check_count(self, count: int) -> None:
        fewest, most = self.arguments
        if fewest <= count and (most is None or count <= most):
            return
        if most == 0:
            needs = "accepts no arguments"
        else:
            number, amount = (fewest, "at least ") if count < fewest else (most or 0, "at most ")
            needs = f"requires {'' if fewest == most else amount}{number} argument{'' if number == 1 else 's'}"
        sentence = f"{PROGRAM}: '{PROGRAM} {self.name}' {needs}"
        raise UsageError(sentence, self._usage_line(), self.name, 1)


class UsageError(Invalid):
    """The command line is not understood.

    Args:
        sentence: what is wrong.
        usage: the ``Usage:`` line.
        command: whose help to point at.
        exit_code: 125 for a flag, 1 for the number of arguments.
    """

    def __init__(self, sentence: str, usage: str, command: str, exit_code: int) -> None:
        asked = f"{PROGRAM} {command}".rstrip()
        super().__init__(f"{sentence}\n\n{usage}\n\nRun '{asked} --help' for more information")
        self.exit_code = exit_code


class Options:
    """What a command line said: ``options["name"]`` is a flag's value, ``args`` the other words.

    Attributes:
        args: the words that are not flags, in order.
        given: the long names of the flags that were really given.
    """

    __slots__ = ("_values", "args", "given")

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._values: dict[str, Any] = {
            flag.long: list(flag.default) if flag.kind.repeated else flag.default for flag in flags
        }
        self.args: list[str] = []
        self.given: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def take(self, flag: Flag, word: str) -> None:
        """Note that *flag* was given with *word*.

        Raises:
            ValueError: *word* is not of the flag's kind.
        """
        try:
            value = flag.kind.convert(word)
        except (ValueError, Invalid) as error:
            raise ValueError(f'invalid argument "{word}" for "{flag}" flag: {error}') from None
        if flag.kind.repeated:
            if flag.long not in self.given:
                self._values[flag.long] = []
            self._values[flag.long].append(value)
        else:
            self._values[flag.long] = value
        self.given.add(flag.long)


def parse_flags(flags: Sequence[Flag], words: Sequence[str], stop_at_argument: bool) -> Options | None:
    """Read *words* by the table *flags*; None when ``--help`` is among them.

    Raises:
        ValueError: a flag is unknown, lacks its value or has a bad one; the message is the user's.
    """
    by_long = {flag.long: flag for flag in flags}
    by_short = {flag.short: flag for flag in flags if flag.short}
    options = Options(flags)
    rest = list(reversed(words))

    def value_of(flag: Flag, complaint: str) -> str:
        if not rest:
            raise ValueError(f"flag needs an argument: {complaint}")
        return rest.pop()

    while rest:
        word = rest.pop()
        if word == "--":
            options.args += reversed(rest)
            break
        if not word.startswith("-") or word == "-":
            options.args.append(word)
            if stop_at_argument:
                options.args += reversed(rest)
                break
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not name:
                raise ValueError(f"bad flag syntax: {word}")
            flag = by_long.get(name)
            if flag is None:
                if name == "help":
                    return None
                raise ValueError(f"unknown flag: --{name}")
            if not equals:
                value = value_of(flag, word) if flag.kind.name else "true"
            options.take(flag, value)
        else:
            letters = word[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                flag = by_short.get(letter)
                if flag is None:
                    if letter == "h":
                        return None
                    raise ValueError(f"unknown shorthand flag: '{letter}' in {word}")
                if letters.startswith("="):
                    options.take(flag, letters[1:])
                    break
                if flag.kind.name:
                    options.take(flag, letters or value_of(flag, f"'{letter}' in {word}"))
                    break
                options.take(flag, "true")
    return options


def flags_help(flags: Sequence[Flag]) -> str:
    """The table as ``--help`` shows it: one flag a line, sorted."""
    rows = []
    for flag in sorted(flags, key=lambda flag: flag.long):
        left = f"  -{flag.short}, " if flag.short else "      "
        default = ""
        if flag.default and not flag.kind.repeated:
            shown = f'"{flag.default}"' if isinstance(flag.default, str) else str(flag.default).lower()
            default = f" (default {shown})"
        rows.append((f"{left}--{flag.long} {flag.kind.name}".rstrip(), flag.help + default))
    width = max(len(left) for left, _ in rows) + 3
    return "".join(f"{left:{width}}{right}\n" for left, right in rows)
