"""Finding the command: what `execvp` does, with the container's PATH, and with errors that users know.

It looks at the file system it stands in: init calls it after the pivot.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from mini_docker.errors import CannotExecute, Invalid

NOT_FOUND, NOT_EXECUTABLE = 127, 126
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find(args: Sequence[str], env: Sequence[str]) -> str:
    """The path of the program to execute.

    Raises:
        Invalid: no command at all.
        CannotExecute: it is not there (127), or is no file that may be executed (126).
    """
    if not args or not args[0]:
        raise Invalid("no command specified")
    name = args[0]
    if "/" in name:
        try:
            reason = _objection(name)
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO).lower()
            raise CannotExecute(f'exec: "{name}": stat {name}: {reason}', NOT_FOUND) from None
        if reason:
            raise CannotExecute(f'exec: "{name}": {reason}', NOT_EXECUTABLE)
        return name
    path = next((word[5:] for word in env if word.startswith("PATH=")), DEFAULT_PATH)
    denied = ""
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        try:
            reason = _objection(candidate)
        except OSError:
            continue  # a folder that may not be searched counts as one that lacks the file, as in a shell
        if not reason:
            return candidate
        denied = reason
    if denied:
        raise CannotExecute(f'exec: "{name}": {denied}', NOT_EXECUTABLE)
    raise CannotExecute(f'exec: "{name}": executable file not found in $PATH', NOT_FOUND)


def explain(name: str, number: int) -> CannotExecute:
    """What execve's failing with this errno means to the user."""
    reason = os.strerror(number).lower()
    found = number not in (errno.ENOENT, errno.ENOTDIR)
    return CannotExecute(f'exec: "{name}": {reason}', NOT_EXECUTABLE if found else NOT_FOUND)


def _objection(path: str) -> str:
    """Why what lies there cannot be executed; empty when it can.

    Raises:
        OSError: nothing lies there.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        return "is a directory"
    return "" if mode & 0o111 else "permission denied"
