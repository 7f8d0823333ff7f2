"""``inspect``: everything that the daemon knows of a thing, as JSON or through a template."""

from __future__ import annotations

import sys

from mini_docker.commands.failure import CommandFailed
from mini_docker.commands.options import STRING, SWITCH, Command, Flag
from mini_docker.http.client import ErrorResponse

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options

PATHS = {
    "container": "/containers/{}/json", "image": "/images/{}/json", "network": "/networks/{}", "volume": "/volumes/{}",
}  # fmt: skip
"""Where each type of thing is asked for; tried in this order."""

FORMAT = Flag("format", "f", STRING, "Format output using a Go template, or 'json'")


def inspect(client: Client, options: Options) -> int:
    """``inspect``: containers, images, networks and volumes by name."""
    wanted: str = options["type"]
    if wanted and wanted not in PATHS:
        raise CommandFailed(f'unknown type: "{wanted}": must be one of {", ".join(PATHS)}')

    def find(name: str) -> Any:
        for kind in [wanted] if wanted else PATHS:
            try:
                query = {"size": True} if options["size"] and kind == "container" else {}
                return client.get(PATHS[kind].format(name), query)
            except ErrorResponse as error:
                if error.status != 404:
                    raise
        raise CommandFailed(f"Error: No such {wanted or 'object'}: {name}")

    return show_all(options.args, find, options["format"])


def inspect_container(client: Client, options: Options) -> int:
    """``container inspect``: containers only."""
    query = {"size": options["size"]}
    return show_all(options.args, lambda name: client.get(f"/containers/{name}/json", query), options["format"])


def inspect_image(client: Client, options: Options) -> int:
    """``image inspect``: images only."""
    return show_all(options.args, lambda name: client.get(f"/images/{name}/json"), options["format"])


def show_all(names: Iterable[str], find: Callable[[str], Any], format: str) -> int:
    """Print what ``find(name)`` gives for each name; those that are missing are named on standard error.

    Returns:
        1 if any is missing, else 0.
    """
    from mini_docker.commands.failure import error_text
    from mini_docker.commands.template import Template, TemplateError

    try:
        template = Template("{{json .}}" if format == "json" else format) if format else None
        found, problems = [], []
        for name in names:
            try:
                found.append(find(name))
            except (ErrorResponse, CommandFailed) as error:
                problems.append(error_text(error))
        if template is not None:
            sys.stdout.write("".join(f"{template.render(value)}\n" for value in found))
            if not found:
                print()
        else:
            import json

            print(json.dumps(found, indent=4, ensure_ascii=False))
    except TemplateError as error:
        raise CommandFailed(f"template parsing error: {error}") from None
    sys.stdout.flush()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


_SIZE = Flag("size", "s", SWITCH, "Display total file sizes if the type is container")

COMMANDS: dict[str, Any] = {
    "container inspect": Command(
        "container inspect", "[OPTIONS] CONTAINER [CONTAINER...]",
        "Display detailed information on one or more containers", inspect_container, (FORMAT, _SIZE), (1, None),
    ),
    "image inspect": Command(
        "image inspect", "[OPTIONS] IMAGE [IMAGE...]", "Display detailed information on one or more images",
        inspect_image, (FORMAT,), (1, None),
    ),
    "inspect": Command(
        "inspect", "[OPTIONS] NAME|ID [NAME|ID...]", "Return low-level information on Docker objects", inspect,
        (
            FORMAT,
            _SIZE,
            Flag("type", "", STRING, "Only inspect objects of the given type"),
        ),
        (1, None),
    ),
}  # fmt: skip
