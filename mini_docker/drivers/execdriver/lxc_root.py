"""A container's files seen from outside, without ever being led out of its root by a link in them.

Source: openat2(2), RESOLVE_IN_ROOT.
"""

from __future__ import annotations

import os
import stat

from mini_docker.errors import CannotExecute
from mini_docker.libcontainer.config import ProcessSpec
from mini_docker.libcontainer.executable import DEFAULT_PATH, NOT_EXECUTABLE, NOT_FOUND
from mini_docker.linux import constants as c
from mini_docker.linux.errors import SyscallError
from mini_docker.linux.linux_kernel import LinuxKernel

MAX_FILE_BYTES = 1 << 20


class ContainerFiles:
    """The files below a root folder.

    Args:
        root: its path on the host.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._kernel = LinuxKernel()

    def text(self, path: str) -> str:
        """A small file's text; empty when there is no such regular file."""
        descriptor = self._open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        if descriptor < 0:
            return ""
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            return os.read(descriptor, MAX_FILE_BYTES).decode(errors="surrogateescape")
        finally:
            os.close(descriptor)

    def check_executable(self, process: ProcessSpec) -> None:
        """See that the command could be executed.

        Raises:
            CannotExecute: it is not there (127), or is no file that may be executed (126).
        """
        name = process.args[0]
        if "/" in name:
            mode = self._mode(os.path.join(process.cwd, name))
            if mode is None:
                raise CannotExecute(f'exec: "{name}": stat {name}: no such file or directory', NOT_FOUND)
            modes = [mode]
        else:
            path = next((word[5:] for word in process.env if word.startswith("PATH=")), DEFAULT_PATH)
            found = (self._mode(os.path.join(process.cwd, folder, name)) for folder in path.split(":"))
            modes = [mode for mode in found if mode is not None]
            if not modes:
                raise CannotExecute(f'exec: "{name}": executable file not found in $PATH', NOT_FOUND)
        if not any(stat.S_ISREG(mode) and mode & 0o111 for mode in modes):
            raise CannotExecute(f'exec: "{name}": permission denied', NOT_EXECUTABLE)

    def _mode(self, path: str) -> int | None:
        descriptor = self._open(path, c.O_PATH)
        if descriptor < 0:
            return None
        try:
            return os.fstat(descriptor).st_mode
        finally:
            os.close(descriptor)

    def _open(self, path: str, flags: int) -> int:
        """A descriptor, or -1 where nothing is to be opened."""
        root = os.open(self._root, c.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return self._kernel.openat2(root, path, flags, resolve=c.RESOLVE_IN_ROOT)
        except SyscallError:
            return -1
        finally:
            os.close(root)
