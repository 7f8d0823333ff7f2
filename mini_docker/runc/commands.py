"""The commands' bodies: words → wishes → an operation → what is printed.

It knows the flags by name and the operations by theirs, and makes the machine's doors.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Callable
from typing import Any

from mini_docker import VERSION
from mini_docker.errors import Conflict, Invalid, Unsupported
from mini_docker.libcontainer.cgroups.hierarchy import find_hierarchy
from mini_docker.libcontainer.cgroups.manager import CgroupManager
from mini_docker.linux.linux_kernel import LinuxKernel
from mini_docker.runc.command_line import COMMANDS, CommandLine, Flags
from mini_docker.runc.oci import OCI_VERSION
from mini_docker.runc.runtime import Runtime
from mini_docker.runc.state_folder import DEFAULT_ROOT
from mini_docker.runc.wishes import Wishes

_ARGUMENTS = {"list": (0, 0), "spec": (0, 0), "kill": (1, 2), "ps": (1, 99), "exec": (1, 9999)}
"""How many arguments a command takes, (least, most); one, the container's id, where it is not listed."""


def carry_out(line: CommandLine, warn: Callable[[str], None]) -> int:
    """Do what the command line says; returns the exit code.

    Raises:
        MiniDockerError: it cannot be done.
    """
    if line.flags.on("version"):
        print(f"mini-runc version {VERSION}\nspec: {OCI_VERSION}")
        return 0
    if line.flags.on("help") or not line.command:
        print(f"usage: mini-runc [--root DIR] [--log FILE] [--log-format text|json] {'|'.join(sorted(COMMANDS))} ...")
        return 0
    if line.flags.on("systemd-cgroup"):
        raise Unsupported("--systemd-cgroup: mini-runc makes cgroups itself: use the cgroupfs driver of your engine")
    least, most = _ARGUMENTS.get(line.command, (1, 1))
    if not least <= len(line.arguments) <= most:
        raise Invalid(f"{line.command} takes {least} to {most} arguments, not {len(line.arguments)}")
    if line.command == "spec":
        return _spec(line.command_flags)
    kernel = LinuxKernel()
    root = os.path.abspath(line.flags.text("root", DEFAULT_ROOT))
    runtime = Runtime(root, kernel, CgroupManager(kernel, find_hierarchy()), warn)
    return _operate(runtime, line)


def _operate(runtime: Runtime, line: CommandLine) -> int:
    flags, arguments = line.command_flags, line.arguments
    match line.command:
        case "create":
            runtime.create(arguments[0], _bundle(flags), _wishes(flags))
        case "run":
            return runtime.run(arguments[0], _bundle(flags), _wishes(flags))
        case "start":
            runtime.start(arguments[0])
        case "state":
            print(json.dumps(runtime.state(arguments[0]), indent=2))
        case "kill":
            runtime.kill(arguments[0], signal_number(arguments[1] if arguments[1:] else "TERM"), flags.on("all"))
        case "delete":
            runtime.delete(arguments[0], flags.on("force"))
        case "pause":
            runtime.pause(arguments[0])
        case "resume":
            runtime.resume(arguments[0])
        case "exec":
            return _exec(runtime, flags, arguments)
        case "ps":
            from mini_docker.runc.listing import list_processes

            print(list_processes(runtime.pids(arguments[0]), flags.text("format"), arguments[1:]), end="")
        case "list":
            from mini_docker.runc.listing import list_containers

            print(list_containers(runtime.states(), flags.on("quiet"), flags.text("format")), end="")
    return 0


def signal_number(word: str) -> int:
    """``9``, ``KILL`` or ``SIGKILL`` as a number.

    Raises:
        Invalid: there is no such signal.
    """
    if word.isascii() and word.isdigit():
        number = int(word)
    else:
        name = word.upper()
        number = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", 0)
    if number not in signal.valid_signals():
        raise Invalid(f"unknown signal {word!r}")
    return int(number)


def _bundle(flags: Flags) -> str:
    return os.path.abspath(flags.text("bundle", "."))


def _wishes(flags: Flags) -> Wishes:
    if flags.on("no-pivot"):
        raise Unsupported("--no-pivot: a root file system that cannot be pivoted into is no wall: mini-runc does not")
    return Wishes(
        detach=flags.on("detach"),
        console_socket=flags.text("console-socket"),
        pid_file=flags.text("pid-file"),
        preserved=_preserved(flags),
        new_keyring=not flags.on("no-new-keyring"),
    )


def _preserved(flags: Flags) -> int:
    """How many descriptors from 3 on are handed on: those asked for, and those that socket activation passed us."""
    count = flags.count("preserve-fds")
    listen = os.environ.get("LISTEN_FDS", "")
    if listen.isdigit():
        count = max(count, int(listen))
    for descriptor in range(3, 3 + count):
        # What is not open now would be opened by ourselves, and our own would go to the container.
        try:
            fcntl.fcntl(descriptor, fcntl.F_GETFD)
        except OSError:
            raise Invalid(f"--preserve-fds {count}: descriptor {descriptor} is not open") from None
    return count


def _exec(runtime: Runtime, flags: Flags, arguments: list[str]) -> int:
    id_, *command = arguments
    if not command and not flags.text("process"):
        raise Invalid("exec needs a command, or --process with a file that has one")

    def process(own: dict[str, Any]) -> Any:
        if flags.text("process"):
            return _read_process(flags.text("process"))
        return _exec_process(own, flags, command)

    return runtime.exec(id_, process, _wishes(flags), flags.on("ignore-paused"))


def _read_process(path: str) -> Any:
    with open(path, "rb") as file:
        try:
            return json.loads(file.read())
        except ValueError as error:
            raise Invalid(f"{path}: {error}") from None


def _exec_process(own: dict[str, Any], flags: Flags, command: list[str]) -> dict[str, Any]:
    """The container's own process object with the flags' wishes in it."""
    user, _, group = flags.text("user").partition(":")
    if not all(word.isdigit() for word in (user, group, *flags.texts("additional-gids")) if word):
        raise Invalid("users and groups of an exec are numbers: --user UID[:GID], --additional-gids GID")
    wished: dict[str, Any] = {**own, "args": command, "terminal": flags.on("tty")}
    if user:
        wished["user"] = {"uid": int(user), "gid": int(group or 0)}
    if flags.texts("additional-gids"):
        groups = [int(word) for word in flags.texts("additional-gids")]
        wished["user"] = {**(wished.get("user") or {}), "additionalGids": groups}
    if flags.text("cwd"):
        wished["cwd"] = flags.text("cwd")
    wished["env"] = [*(own.get("env") or []), *flags.texts("env")]
    if flags.on("no-new-privs"):
        wished["noNewPrivileges"] = True
    for flag, name in (("apparmor", "apparmorProfile"), ("process-label", "selinuxLabel")):
        if flags.text(flag):
            wished[name] = flags.text(flag)
    if flags.texts("cap"):
        sets = own.get("capabilities") or {}
        wished["capabilities"] = {
            name: [*(sets.get(name) or []), *flags.texts("cap")] for name in ("bounding", "effective", "permitted")
        }
    return wished


def _spec(flags: Flags) -> int:
    from mini_docker.runc.template import example_config

    path = os.path.join(_bundle(flags), "config.json")
    try:
        with open(path, "x") as file:
            json.dump(example_config(), file, indent=4)
            file.write("\n")
    except FileExistsError:
        raise Conflict(f"file {path} exists. Remove it first") from None
    return 0
