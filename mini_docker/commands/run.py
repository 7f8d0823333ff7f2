"""``run`` and ``create``: order a container, and stand by while it runs.

The order of requests is the heart of it, and Docker's:

    create ──(404: pull, and again)──▶ attach ──▶ wait ──▶ start ──▶ resize … output … exit code

Attach comes before start so that not a byte of output is missed, and wait before start so that an
exit (or, with ``--rm``, the removal) cannot come unseen.
"""

from __future__ import annotations

import os
import sys

from mini_docker.commands import container_config
from mini_docker.commands.container_config import CONTAINER_FLAGS
from mini_docker.commands.failure import CommandFailed, error_text
from mini_docker.commands.options import PROGRAM, STRING, SWITCH, Command, Flag
from mini_docker.errors import MiniDockerError
from mini_docker.http.client import ErrorResponse

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options
    from mini_docker.http.client import Response

NOT_RUN = 125
"""Exit code of ``run`` when the container never ran; 126 and 127 are a shell's words for a bad command."""


def run(client: Client, options: Options) -> int:
    """``run``: create, start, and (unless ``-d``) stay until the end; the result is the container's exit code."""
    try:
        return _run(client, options)
    except (MiniDockerError, ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        code = int(getattr(error, "exit_code", 0)) or NOT_RUN
        raise CommandFailed(
            f"{PROGRAM}: {error_text(error)}\n\nRun '{PROGRAM} run --help' for more information", code
        ) from None


def create(client: Client, options: Options) -> int:
    """``create``: like run, but leave the container not started, and print its id."""
    try:
        attach = container_config.attached_streams(options, detach=False)
        print(create_container(client, options, attach))
    except (ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise CommandFailed(f"{PROGRAM}: {error}") from None
    return 0


def _run(client: Client, options: Options) -> int:
    detach = options["detach"]
    attach = container_config.attached_streams(options, detach)
    if attach:
        from mini_docker.commands.session import check_terminal

        check_terminal(options["tty"], "stdin" in attach)
    container = create_container(client, options, attach)
    path = f"/containers/{container}"
    if not attach:
        start(client, path, options["narrate"])
        print(container)
        return 0
    query = {"stream": True, "detachKeys": options["detach-keys"]} | {stream: stream in attach for stream in attach}
    attached = client.hijack(f"{path}/attach", query)
    wait = client.open("POST", f"{path}/wait", {"condition": "removed" if options["rm"] else "next-exit"})
    return _stay(client, options, attach, container, attached, wait)


def _stay(
    client: Client, options: Options, attach: set[str], container: str, attached: Response, wait: Response
) -> int:
    """Start the container and carry its streams until it ends; the result is its exit code."""
    from mini_docker.commands import session

    path = f"/containers/{container}"
    tty = options["tty"]
    carrier = session.Session(
        attached, tty, "stdin" in attach, options["detach-keys"], "stdout" in attach, "stderr" in attach
    )
    actions = session.kills(client, container) if options["sig-proxy"] else {}
    if tty:
        actions |= session.resizes(client, f"{path}/resize")
    with session.SignalProxy(actions):
        try:
            start(client, path, options["narrate"])
        except ErrorResponse as error:
            if not options["rm"]:
                raise
            # The daemon removes what it could not start: be back when that is done. A daemon that does not tell
            # the exit code with its error (dockerd) tells it here.
            ended = exit_code(wait)
            code = error.exit_code or (ended if ended in (126, 127) else NOT_RUN)
            raise CommandFailed(error_text(error), code) from None
        if tty:
            session.resizer(client, f"{path}/resize")()
        try:
            carrier.run()
        except session.Detached:
            return 0
        return exit_code(wait)


def start(client: Client, path: str, narrate: bool) -> None:
    """Start the container; with *narrate* tell on standard error each privileged step as it is made.

    Raises:
        ErrorResponse: as `Client.post`.
        CommandFailed: it failed when the first step had been told already.
    """
    if not narrate:
        client.post(f"{path}/start")
        return
    for line in client.open("POST", f"{path}/start", {"narrate": True}).json_lines():
        if "error" in line:
            raise CommandFailed(f"{PROGRAM}: {line['error']}", line["errorDetail"].get("code") or NOT_RUN)
        _narrate(line["stream"])


def _narrate(text: str) -> None:
    """Tell it; a listener who has heard enough is no reason to lose the command's output and exit code."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # for the rest of this process's life


def exit_code(wait: Response) -> int:
    """The exit code in the answer of a wait.

    Raises:
        CommandFailed: the daemon could not wait to the end.
    """
    answer = wait.json() or {}
    if error := (answer.get("Error") or {}).get("Message"):
        raise CommandFailed(f"Error waiting for container: {error}", NOT_RUN)
    return int(answer.get("StatusCode", 0))


def create_container(client: Client, options: Options, attach: set[str]) -> str:
    """Create a container as *options* say, pulling its image if need be; the result is its id.

    Raises:
        ErrorResponse, CannotConnect: as `Client.open`.
        ValueError, OSError: a flag's value or file is bad.
        CommandFailed: the cidfile exists.
    """
    if options["pull"] not in ("always", "missing", "never", ""):
        raise ValueError(f'invalid pull option: "{options["pull"]}": must be one of "always", "missing" or "never"')
    cidfile = options["cidfile"]
    if cidfile and os.path.exists(cidfile):
        raise CommandFailed(
            f"container ID file found, make sure the other container isn't running or delete {cidfile}", NOT_RUN
        )
    body = container_config.create_request(options, attach, os.environ)
    query = {"name": options["name"], "platform": options["platform"]}
    image = options.args[0]
    if options["pull"] == "always":
        _pull(client, options, image)
    try:
        answer = client.post("/containers/create", query, body)
    except ErrorResponse as error:
        if error.status != 404 or options["pull"] in ("never", "always"):
            raise
        if not options["quiet"]:
            print(f"Unable to find image '{_familiar(image)}' locally", file=sys.stderr)
        _pull(client, options, image)
        answer = client.post("/containers/create", query, body)
    for warning in answer.get("Warnings") or ():
        print(f"WARNING: {warning}", file=sys.stderr)
    container: str = answer["Id"]
    if cidfile:
        with open(cidfile, "x", encoding="ascii") as file:
            file.write(container)
    return container


def _pull(client: Client, options: Options, image: str) -> None:
    from mini_docker.commands.distribution import pull_image

    pull_image(client, image, platform=options["platform"], quiet=options["quiet"], out=sys.stderr)


def _familiar(image: str) -> str:
    """The image's name with the tag that is meant when none is written."""
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


_RUN_FLAGS = (
    *CONTAINER_FLAGS,
    Flag("detach", "d", SWITCH, "Run container in background and print container ID"),
    Flag("detach-keys", "", STRING, "Override the key sequence for detaching a container"),
    Flag("narrate", "", SWITCH, "Tell each privileged step of the start in words, with its manual page"),
    Flag("sig-proxy", "", SWITCH, "Proxy received signals to the process", True),
)

COMMANDS: dict[str, Any] = {
    "run": Command(
        "run", "[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create and run a new container from an image",
        run, _RUN_FLAGS, (1, None), stop_at_argument=True,
    ),
    "create": Command(
        "create", "[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create a new container",
        create, CONTAINER_FLAGS, (1, None), stop_at_argument=True,
    ),
}  # fmt: skip
