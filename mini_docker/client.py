"""The Docker Client: turns a command into requests to the daemon, and answers into words for a person.

It is the counter clerk of the house: it knows which form to fill in (`mini_docker.commands`), and
nothing of containers, images or how anything is done. One module of commands is imported a run.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from mini_docker import VERSION
from mini_docker.commands.failure import error_text
from mini_docker.commands.options import PROGRAM, STRING, SWITCH, Command, Flag, Options, UsageError, parse_flags
from mini_docker.errors import MiniDockerError
from mini_docker.http import quick_json
from mini_docker.http.client import Connection, Response, target
from mini_docker.remote_api import API_VERSION, DEFAULT_HOST

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mini_docker.http.client import Body

MODULES = {
    "system": ("version", "info", "events", "system df", "system prune"),
    "run": ("run", "create"),
    "lifecycle": ("start", "stop", "restart", "kill", "wait", "rm", "pause", "unpause", "rename", "update"),
    "attach": ("attach", "exec"),
    "containers": ("ps", "logs", "top", "diff", "port", "container prune"),
    "stats": ("stats",),
    "inspect": ("inspect", "container inspect", "image inspect"),
    "copy": ("cp", "export"),
    "images": ("images", "rmi", "tag", "history", "commit", "import", "load", "save", "image prune"),
    "distribution": ("pull", "push", "search", "login", "logout"),
    "network": (
        "network ls", "network create", "network inspect", "network connect", "network disconnect", "network rm",
        "network prune", "network show",
    ),
    "volume": ("volume ls", "volume create", "volume inspect", "volume rm", "volume prune"),
    "jobs": ("jobs",),
}  # fmt: skip
"""Which module of `mini_docker.commands` has which commands."""

ALIASES = {
    "container ls": "ps", "container list": "ps", "image ls": "images", "image list": "images", "image rm": "rmi",
    "image remove": "rmi", "system info": "info", "system events": "events", "network list": "network ls",
    "network remove": "network rm", "volume list": "volume ls", "volume remove": "volume rm",
    **{f"container {name}": name for name in (
        "run", "create", "start", "stop", "restart", "kill", "wait", "rm", "pause", "unpause", "rename", "update",
        "attach", "exec", "logs", "top", "diff", "port", "stats", "cp", "export", "commit",
    )},
    **{f"image {name}": name for name in (
        "tag", "history", "import", "load", "save", "pull", "push",
    )},
}  # fmt: skip
"""Docker's newer names for the same commands."""

GLOBAL_FLAGS = (
    Flag("host", "H", STRING, "Daemon socket to connect to: unix:///path or tcp://name:port"),
    Flag("debug", "D", SWITCH, "Show the requests that the command makes"),
    Flag("version", "v", SWITCH, "Print version information and quit"),
)


class Client:
    """What a command has in its hands: the daemon's address, and the streams of the terminal.

    Args:
        host: ``unix:///path`` or ``tcp://name:port``.
        debug: say each request on standard error.
    """

    def __init__(self, host: str, debug: bool = False) -> None:
        self.host = host
        self.debug = debug

    def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
    ) -> Response:
        """Make one request and return its answer, with the body still to be read.

        Args:
            path: without the version, such as ``/containers/json``.
            query: parameters; those that are None, False or empty are left out.

        Raises:
            ErrorResponse: the daemon said no.
            CannotConnect, Denied, BadResponse: there is no daemon to talk to.
        """
        where = f"/v{API_VERSION}{target(path, query or {})}"
        if self.debug:
            print(f"{method} {where}", file=sys.stderr)
        response = Connection(self.host).request(method, where, headers, body)
        response.raise_for_error()
        return response

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        """GET *path* and decode the answer. Raises as `open` does."""
        return self.open("GET", path, query).json()

    def post(self, path: str, query: Mapping[str, object] | None = None, value: Any = None) -> Any:
        """POST *value* as JSON (or no body when None) and decode the answer. Raises as `open` does."""
        return self.send_json("POST", path, query, value).json()

    def delete(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        """DELETE *path* and decode the answer. Raises as `open` does."""
        return self.open("DELETE", path, query).json()

    def send_json(
        self, method: str, path: str, query: Mapping[str, object] | None = None, value: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:  # fmt: skip
        """Like `open`, with *value* as the JSON body (none when None)."""
        if value is None:
            return self.open(method, path, query, headers)
        headers = {"Content-Type": "application/json"} | dict(headers or {})
        return self.open(method, path, query, headers, quick_json.dumps(value).encode())

    def hijack(self, path: str, query: Mapping[str, object] | None = None, value: Any = None) -> Response:
        """POST *path* asking for the raw connection; the answer's `Response.hijack` gives it."""
        return self.send_json("POST", path, query, value, {"Connection": "Upgrade", "Upgrade": "tcp"})


def module_of(name: str) -> str | None:
    """The module of `mini_docker.commands` that has the command *name*; None when none has."""
    return next((module for module, names in MODULES.items() if name in names), None)


def find_command(words: list[str]) -> tuple[Command, list[str]] | None:
    """The command that *words* start with, and the words after its name; None when there is none."""
    for length in (2, 1):
        name = " ".join(words[:length])
        name = ALIASES.get(name, name)
        module = module_of(name) if len(words) >= length else None
        if module is not None:
            commands: dict[str, Command] = import_module(f"mini_docker.commands.{module}").COMMANDS
            return commands[name], words[length:]
    return None


def main(argv: list[str]) -> int:
    """Run one command line of the client and return its exit code."""
    try:
        return _main(argv)
    except MiniDockerError as error:
        text = error_text(error)
        if text:
            _say(text)
        return int(getattr(error, "exit_code", 0)) or 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`mini-docker ps | head -1`): leave as quietly as SIGPIPE would.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141


def _say(text: str) -> None:
    sys.stdout.flush()
    print(text, file=sys.stderr)


def _main(argv: list[str]) -> int:
    try:
        options = parse_flags(GLOBAL_FLAGS, argv, stop_at_argument=True)
    except ValueError as error:
        raise UsageError(str(error), f"Usage:  {PROGRAM} [OPTIONS] COMMAND [ARG...]", "", 125) from None
    if options is not None and options["version"]:
        print(f"mini-docker version {VERSION}")
        return 0
    words = [] if options is None else options.args
    if options is None or not words or words == ["help"]:
        return _show_help("")
    if words[0] == "help":
        words = [*words[1:], "--help"]
    found = find_command(words)
    if found is None:
        return _unknown(words)
    command, rest = found
    parsed = command.parse(rest)
    if parsed is None:
        sys.stdout.write(command.help())
        return 0
    status = command.run(Client(_host(options), options["debug"]), parsed)
    sys.stdout.flush()
    return status


def _host(options: Options) -> str:
    return options["host"] or os.environ.get("DOCKER_HOST", "") or DEFAULT_HOST


def _unknown(words: list[str]) -> int:
    """No command has this name: it is a family (``network``), or a mistake."""
    family = words[0]
    if any(name.startswith(f"{family} ") for names in (*MODULES.values(), ALIASES) for name in names):
        if len(words) == 1 or words[1] == "--help":
            return _show_help(family)
        family_words = f"{PROGRAM} {family}"
        asked = f"{family_words} {words[1]}"
    else:
        family_words, asked = PROGRAM, f"{PROGRAM} {family}"
    _say(f"{PROGRAM}: unknown command: {asked}\n\nRun '{family_words} --help' for more information")
    return 1


def _show_help(family: str) -> int:
    from mini_docker.commands.overview import overview

    sys.stdout.write(overview(family, MODULES, ALIASES, GLOBAL_FLAGS))
    return 0
