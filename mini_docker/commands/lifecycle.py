"""The levers of a container's life: start, stop, restart, kill, wait, rm, pause, unpause, rename, update.

Each is one request a container; what failed is said and the others go on.
"""

from __future__ import annotations

from mini_docker.commands import container_config, specs
from mini_docker.commands.failure import CommandFailed, for_each
from mini_docker.commands.options import INT, STRING, SWITCH, Command, Flag
from mini_docker.commands.run import exit_code

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without its 3 ms
if TYPE_CHECKING:
    from typing import Any

    from mini_docker.client import Client
    from mini_docker.commands.options import Options


def start(client: Client, options: Options) -> int:
    """``start``: each container by itself, or one with its streams carried here (``-a``, ``-i``)."""
    if options["attach"] or options["interactive"]:
        return _start_attached(client, options)

    def act(name: str) -> None:
        client.post(f"/containers/{name}/start")
        print(name)

    return for_each(options.args, act)


def _start_attached(client: Client, options: Options) -> int:
    from mini_docker.commands import session

    if len(options.args) > 1:
        raise CommandFailed("you cannot start and attach multiple containers at once")
    inspected = client.get(f"/containers/{options.args[0]}/json")
    path = f"/containers/{inspected['Id']}"
    tty, stdin = bool(inspected["Config"]["Tty"]), options["interactive"] and bool(inspected["Config"]["OpenStdin"])
    session.check_terminal(tty, stdin)
    query = {"stream": True, "stdin": stdin, "stdout": True, "stderr": True, "detachKeys": options["detach-keys"]}
    attached = client.hijack(f"{path}/attach", query)
    removed = bool(inspected.get("HostConfig", {}).get("AutoRemove"))
    wait = client.open("POST", f"{path}/wait", {"condition": "removed" if removed else "next-exit"})
    carrier = session.Session(attached, tty, stdin, options["detach-keys"])
    actions = session.kills(client, inspected["Id"]) if options["sig-proxy"] else {}
    if tty:
        actions |= session.resizes(client, f"{path}/resize")
    with session.SignalProxy(actions):
        client.post(f"{path}/start")
        if tty:
            session.resizer(client, f"{path}/resize")()
        try:
            carrier.run()
        except session.Detached:
            return 0
        return exit_code(wait)


def stop(client: Client, options: Options) -> int:
    """``stop``: ask to end, and after the time-out make it end."""
    return _each(client, options, "stop", {"t": _seconds(options), "signal": options["signal"]})


def restart(client: Client, options: Options) -> int:
    """``restart``: stop and start."""
    return _each(client, options, "restart", {"t": _seconds(options), "signal": options["signal"]})


def kill(client: Client, options: Options) -> int:
    """``kill``: send a signal."""
    return _each(client, options, "kill", {"signal": options["signal"]})


def pause(client: Client, options: Options) -> int:
    """``pause``: freeze all processes."""
    return _each(client, options, "pause", {})


def unpause(client: Client, options: Options) -> int:
    """``unpause``: let them go on."""
    return _each(client, options, "unpause", {})


def _each(client: Client, options: Options, verb: str, query: dict[str, Any]) -> int:
    def act(name: str) -> None:
        client.post(f"/containers/{name}/{verb}", query)
        print(name)

    return for_each(options.args, act)


def _seconds(options: Options) -> int | None:
    for name in ("time", "timeout"):
        if name in options.given:
            return int(options[name])
    return None


def wait(client: Client, options: Options) -> int:
    """``wait``: block until each ends, and print the exit codes."""
    return for_each(options.args, lambda name: print(exit_code(client.open("POST", f"/containers/{name}/wait"))))


def rm(client: Client, options: Options) -> int:
    """``rm``: remove containers."""
    query = {"force": options["force"], "v": options["volumes"], "link": options["link"]}

    def act(name: str) -> None:
        client.delete(f"/containers/{name.strip('/')}", query)
        print(name)

    return for_each(options.args, act)


def rename(client: Client, options: Options) -> int:
    """``rename``: give a container another name."""
    old, new = options.args
    client.post(f"/containers/{old}/rename", {"name": new})
    return 0


def update(client: Client, options: Options) -> int:
    """``update``: change the limits of containers, running ones too."""
    body = container_config.resources(options)
    if "restart" in options.given:
        try:
            body["RestartPolicy"] = specs.parse_restart(options["restart"])
        except ValueError as error:
            raise CommandFailed(str(error)) from None
    if not body:
        raise CommandFailed("you must provide one or more flags when using this command")

    def act(name: str) -> None:
        client.post(f"/containers/{name}/update", value=body)
        print(name)

    return for_each(options.args, act)


_MANY = "[OPTIONS] CONTAINER [CONTAINER...]"
_TIMES = (
    Flag("signal", "s", STRING, "Signal to send to the container"),
    Flag("time", "t", INT, "Seconds to wait before killing the container"),
    Flag("timeout", "", INT, "Seconds to wait before killing the container"),
)

COMMANDS: dict[str, Any] = {
    "start": Command(
        "start", _MANY, "Start one or more stopped containers", start,
        (
            Flag("attach", "a", SWITCH, "Attach STDOUT/STDERR and forward signals"),
            Flag("detach-keys", "", STRING, "Override the key sequence for detaching a container"),
            Flag("interactive", "i", SWITCH, "Attach container's STDIN"),
            Flag("sig-proxy", "", SWITCH, "Proxy received signals to the process", True),
        ),
        (1, None),
    ),
    "stop": Command("stop", _MANY, "Stop one or more running containers", stop, _TIMES, (1, None)),
    "restart": Command("restart", _MANY, "Restart one or more containers", restart, _TIMES, (1, None)),
    "kill": Command(
        "kill", _MANY, "Kill one or more running containers", kill,
        (Flag("signal", "s", STRING, "Signal to send to the container, KILL if not given"),), (1, None),
    ),
    "wait": Command(
        "wait", "CONTAINER [CONTAINER...]", "Block until one or more containers stop, then print their exit codes",
        wait, (), (1, None),
    ),
    "rm": Command(
        "rm", _MANY, "Remove one or more containers", rm,
        (
            Flag("force", "f", SWITCH, "Force the removal of a running container (uses SIGKILL)"),
            Flag("link", "l", SWITCH, "Remove the specified link"),
            Flag("volumes", "v", SWITCH, "Remove anonymous volumes associated with the container"),
        ),
        (1, None),
    ),
    "pause": Command(
        "pause", "CONTAINER [CONTAINER...]", "Pause all processes within one or more containers", pause, (), (1, None)
    ),
    "unpause": Command(
        "unpause", "CONTAINER [CONTAINER...]", "Unpause all processes within one or more containers", unpause, (),
        (1, None),
    ),
    "rename": Command("rename", "CONTAINER NEW_NAME", "Rename a container", rename, (), (2, 2)),
    "update": Command(
        "update", _MANY, "Update configuration of one or more containers", update,
        (
            *container_config.RESOURCE_FLAGS,
            Flag("restart", "", STRING, "Restart policy to apply when a container exits"),
        ),
        (1, None),
    ),
}  # fmt: skip
