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
        _check(name, name)
        return name
    path = next((word[5:] for word in env if word.startswith("PATH=")), DEFAULT_PATH)
    denied: CannotExecute | None = None
    for folder in path.split(":"):
        candidate = os.path.join(folder or ".", name)
        try:
            _check(name, candidate)
        except CannotExecute as error:
            if error.exit_code == NOT_EXECUTABLE:
                denied = error
            continue
        return candidate
    raise denied or CannotExecute(f'exec: "{name}": executable file not found in $PATH', NOT_FOUND)


def explain(name: str, number: int) -> CannotExecute:
    """What execve's failing with this errno means to the user."""
    reason = os.strerror(number).lower()
    found = number not in (errno.ENOENT, errno.ENOTDIR)
    return CannotExecute(f'exec: "{name}": {reason}', NOT_EXECUTABLE if found else NOT_FOUND)


def _check(name: str, path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        # A folder of PATH that may not be searched counts as one that lacks the file, as in a shell.
        reason = os.strerror(error.errno or errno.EIO).lower()
        raise CannotExecute(f'exec: "{name}": stat {path}: {reason}', NOT_FOUND) from None
    if stat.S_ISDIR(mode):
        raise CannotExecute(f'exec: "{name}": is a directory', NOT_EXECUTABLE)
    if not mode & 0o111:
        raise CannotExecute(f'exec: "{name}": permission denied', NOT_EXECUTABLE)
