"""mini-runc: the commands, each turned into one operation of `Runtime`.

::

    mini-runc [--root DIR] [--log FILE] [--log-format text|json] COMMAND [flags] [arguments]

It knows words and exit codes; what a container is, `runtime.py` knows. Little is loaded before the process runs
from a sealed copy of its interpreter, since it then has to be loaded once more.
"""

from __future__ import annotations

import gc
import os
import sys

from mini_docker.libcontainer.sealed import seal_interpreter

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without loading that module twice
if TYPE_CHECKING:
    from typing import NoReturn

_ENTERS_CONTAINERS = frozenset({"create", "run", "exec"})
"""Commands that fork into a container: only these need the sealed interpreter."""


def entry() -> NoReturn:
    """The console script. It ends without tidying up: the kernel does that in no time."""
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(args: list[str]) -> int:
    """Carry out one command.

    Args:
        args: the words after the program's name.

    Returns:
        0; for ``run`` and ``exec`` in the foreground the command's own exit code; 1 at an error, for ``exec`` 255.
    """
    if not _ENTERS_CONTAINERS.isdisjoint(args):
        seal_interpreter()
    gc.disable()  # nobody lives long enough here for garbage to matter
    from mini_docker.errors import MiniDockerError
    from mini_docker.runc import commands
    from mini_docker.runc.command_line import parse
    from mini_docker.runc.complaint import Complaints

    complaints = Complaints("", "text")
    command = ""
    try:
        line = parse(args)
        command = line.command
        complaints = Complaints(line.flags.text("log"), line.flags.text("log-format", "text"))
        return commands.carry_out(line, complaints.warn)
    except MiniDockerError as error:
        complaints.error(str(error))
    except OSError as error:
        complaints.error(f"{error.strerror or error}" + (f": {os.fsdecode(error.filename)}" if error.filename else ""))
    return 255 if command == "exec" else 1
