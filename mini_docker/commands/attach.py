"""``attach`` and ``exec``: join a running container, at its main process or beside it."""

from __future__ import annotations

import os

from mini_docker.commands import session, specs
from mini_docker.commands.failure import CommandFailed
from mini_docker.commands.options import LIST, STRING, SWITCH, Command, Flag
from mini_docker.commands.run import exit_code

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options

READ_ESCAPE = "read escape sequence"
"""What is said on detaching from a container that goes on."""


def attach(client: Client, options: Options) -> int:
    """``attach``: carry the streams of the container's main process; the result is its exit code."""
    (container,) = options.args
    path = f"/containers/{container}"
    # Wait first: an exit between the look and the attach would go unseen.
    wait = client.open("POST", f"{path}/wait")
    inspected = client.get(f"{path}/json")
    state, config = inspected["State"], inspected["Config"]
    if not state["Running"]:
        raise CommandFailed("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise CommandFailed("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise CommandFailed("You cannot attach to a restarting container, wait until it is running")
    stdin = bool(config.get("OpenStdin")) and not options["no-stdin"]
    tty = bool(config.get("Tty"))
    session.check_terminal(tty, stdin)
    query = {"stream": True, "stdin": stdin, "stdout": True, "stderr": True, "detachKeys": options["detach-keys"]}
    carrier = session.Session(client.hijack(f"{path}/attach", query), tty, stdin, options["detach-keys"])
    actions = session.kills(client, container) if options["sig-proxy"] else {}
    if tty:
        actions |= session.resizes(client, f"{path}/resize")
        session.resizer(client, f"{path}/resize")()
    with session.SignalProxy(actions):
        try:
            carrier.run()
        except session.Detached:
            raise CommandFailed(READ_ESCAPE) from None
        return exit_code(wait)


def exec_(client: Client, options: Options) -> int:
    """``exec``: run one more process in a running container; the result is its exit code."""
    container, *command = options.args
    tty, stdin = options["tty"], options["interactive"]
    detach = options["detach"]
    if not detach:
        session.check_terminal(tty, stdin)
    words: list[str] = []
    try:
        for path in options["env-file"]:
            with open(path, encoding="utf-8") as file:
                words += specs.parse_env_file(file.read(), path)
        env = specs.parse_env([*words, *options["env"]], os.environ)
    except (ValueError, OSError) as error:
        raise CommandFailed(str(error)) from None
    body = {
        "Cmd": command, "Tty": tty, "AttachStdin": stdin and not detach, "AttachStdout": not detach,
        "AttachStderr": not detach, "Detach": detach, "Env": env, "User": options["user"],
        "WorkingDir": options["workdir"], "Privileged": options["privileged"], "DetachKeys": options["detach-keys"],
    }  # fmt: skip
    made = client.post(f"/containers/{container}/exec", value=body)["Id"]
    path = f"/exec/{made}"
    if detach:
        client.post(f"{path}/start", value={"Detach": True, "Tty": tty})
        return 0
    hijacked = client.hijack(f"{path}/start", value={"Detach": False, "Tty": tty})
    carrier = session.Session(hijacked, tty, stdin, options["detach-keys"])
    if tty:
        session.resizer(client, f"{path}/resize")()
    with session.SignalProxy(session.resizes(client, f"{path}/resize") if tty else {}):
        try:
            carrier.run()
        except session.Detached:
            raise CommandFailed(READ_ESCAPE) from None
    return int(client.get(f"{path}/json").get("ExitCode") or 0)


_DETACH_KEYS = Flag("detach-keys", "", STRING, "Override the key sequence for detaching a container")

COMMANDS: dict[str, Any] = {
    "attach": Command(
        "attach", "[OPTIONS] CONTAINER",
        "Attach local standard input, output, and error streams to a running container",
        attach,
        (
            _DETACH_KEYS,
            Flag("no-stdin", "", SWITCH, "Do not attach STDIN"),
            Flag("sig-proxy", "", SWITCH, "Proxy all received signals to the process", True),
        ),
        (1, 1),
    ),
    "exec": Command(
        "exec", "[OPTIONS] CONTAINER COMMAND [ARG...]", "Execute a command in a running container", exec_,
        (
            Flag("detach", "d", SWITCH, "Detached mode: run command in the background"),
            _DETACH_KEYS,
            Flag("env", "e", LIST, "Set environment variables"),
            Flag("env-file", "", LIST, "Read in a file of environment variables"),
            Flag("interactive", "i", SWITCH, "Keep STDIN open even if not attached"),
            Flag("privileged", "", SWITCH, "Give extended privileges to the command"),
            Flag("tty", "t", SWITCH, "Allocate a pseudo-TTY"),
            Flag("user", "u", STRING, 'Username or UID (format: "<name|uid>[:<group|gid>]")'),
            Flag("workdir", "w", STRING, "Working directory inside the container"),
        ),
        (2, None), stop_at_argument=True,
    ),
}  # fmt: skip
