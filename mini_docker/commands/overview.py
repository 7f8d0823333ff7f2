"""The table of contents: ``mini-docker --help`` and ``mini-docker network --help``.

The one place that imports every module of commands, since it quotes each one's summary.
"""

from __future__ import annotations

from importlib import import_module

from mini_docker.commands.options import PROGRAM, flags_help

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mini_docker.commands.options import Command, Flag

PROGRAM_SUMMARIES = {
    "daemon": "Run the Docker Daemon (classic spelling: mini-docker -d)",
    "registry": "Run a private registry",
    "lab": "Learn by doing: the exercises",
    "doctor": "Say what this machine offers and what it lacks",
}


def overview(
    family: str, modules: Mapping[str, Sequence[str]], aliases: Mapping[str, str], global_flags: Sequence[Flag]
) -> str:
    """The help text for a family of commands, or for all when *family* is empty."""
    commands: dict[str, Command] = {}
    for module in modules:
        commands |= import_module(f"mini_docker.commands.{module}").COMMANDS
    if family:
        prefix = f"{family} "
        rows = {name.removeprefix(prefix): command.summary for name, command in commands.items() if prefix in name}
        for alias, name in aliases.items():
            if alias.startswith(prefix):
                rows.setdefault(alias.removeprefix(prefix), commands[name].summary)
        head = f"Usage:  {PROGRAM} {family} COMMAND\n\nCommands:\n"
        tail = f"\nRun '{PROGRAM} {family} COMMAND --help' for more information on a command.\n"
    else:
        rows = {name: command.summary for name, command in commands.items()} | PROGRAM_SUMMARIES
        head = (
            f"Usage:  {PROGRAM} [OPTIONS] COMMAND\n\nDocker's classic architecture as a book that runs\n\nCommands:\n"
        )
        tail = (
            f"\nGlobal options:\n{flags_help(global_flags)}"
            f"\nRun '{PROGRAM} COMMAND --help' for more information on a command.\n"
        )
    width = max(map(len, rows)) + 2
    return head + "".join(f"  {name:{width}}{rows[name]}\n" for name in sorted(rows)) + tail
